import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { parse } from 'yaml';
import { bundleFolder } from './support/call.ts';
import { BRIDGE, type List, type Node, noReferencePlugins, scratchNode } from './support/chain.ts';
import type { Scratch } from './support/namespace.ts';

// Every example in the documents is run, and every link leads somewhere.

const ROOT = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'docs', 'plugins', 'conf', 'manifests'].flatMap(
  (place) =>
    place.endsWith('.md')
      ? [place]
      : readdirSync(join(ROOT, place), { recursive: true, encoding: 'utf8' })
          .filter((name) => name.endsWith('.md'))
          .map((name) => join(place, name)),
);

const lists = readdirSync(join(ROOT, 'conf')).filter((name) => name.endsWith('.conflist'));

t.test('every list in conf/ is added, checked and deleted without a trace', { skip: noReferencePlugins }, async (t) => {
  t.ok(lists.length > 0);
  for (const file of lists) {
    const list: List = JSON.parse(read(`conf/${file}`));
    const world = nodeWithUplink(t);
    const before = stateOf(world.pod);
    world.writeList(list);
    world.must('waymark cni', 'add', list.name);
    t.not(stateOf(world.pod), before, `${file} changes the pod`);
    world.must('waymark cni', 'check', list.name);
    world.must('waymark cni', 'del', list.name);
    t.equal(stateOf(world.pod), before, file);
    t.strictSame(world.leftovers(), []);
  }
});

t.test(
  'every NetworkAttachmentDefinition in manifests/ is added, checked and deleted without a trace',
  { skip: noReferencePlugins },
  async (t) => {
    for (const file of readdirSync(join(ROOT, 'manifests')).filter((name) => name.endsWith('.yaml'))) {
      const list: List = JSON.parse(parse(read(`manifests/${file}`)).spec.config);
      const world = nodeWithUplink(t);
      // What the examples have for a second interface of the node.
      world.node.ip('link add eth1 type veth peer name switch');
      world.node.ip('link set eth1 up');
      world.node.ip('link set switch up');
      const before = world.pod.routes();
      world.writeList(list);
      world.must('waymark cni', 'add', list.name);
      world.must('waymark cni', 'check', list.name);
      t.ok(world.pod.ipJson('route show proto 87').length > 0, `${file} adds routes`);
      world.must('waymark cni', 'del', list.name);
      t.equal(world.pod.routes(), before, file);
    }
  },
);

t.test('the README’s list is the one in conf/', async (t) => {
  const [example = ''] = codeBlocks(read('README.md'), 'json');
  t.strictSame(JSON.parse(example), JSON.parse(read('conf/40-all-three.conflist')));
});

t.test('the README’s example of explain is what it prints', { skip: noReferencePlugins }, async (t) => {
  const example =
    codeBlocks(read('README.md'), 'console').find((block) => block.startsWith('$ waymark explain ')) ?? '';
  const [command = '', ...output] = example.trimEnd().split('\n');
  const [, , file = '', ...args] = command.slice(2).split(' ');
  const world = nodeWithUplink(t);
  const list: List = JSON.parse(read(file));
  // What the plugins in front of ours answer.
  world.writeList({ ...list, plugins: list.plugins.slice(0, 1) });
  const result = world.must('waymark cni', 'add', list.name);
  writeFileSync(join(world.folder, 'result.json'), JSON.stringify(result));
  const before = stateOf(world.pod);
  const waymark = [join(bundleFolder('waymark'), 'waymark'), 'explain', join(ROOT, file), ...args];
  const { status, stdout } = spawnSync('ip', ['netns', 'exec', world.node.name, ...waymark], {
    cwd: world.folder,
    encoding: 'utf8',
  });
  t.equal(status, 0);
  t.strictSame(stdout.trimEnd().split('\n'), output);
  t.equal(stateOf(world.pod), before);
});

t.test(
  'the example of each plugin’s README works behind the reference bridge',
  { skip: noReferencePlugins },
  async (t) => {
    for (const plugin of readdirSync(join(ROOT, 'plugins'))) {
      for (const example of codeBlocks(read(`plugins/${plugin}/README.md`), 'json')) {
        const world = nodeWithUplink(t);
        const before = stateOf(world.pod);
        world.writeList({ cniVersion: '1.1.0', name: 'net', plugins: [BRIDGE, JSON.parse(example)] });
        world.must('waymark cni', 'add', 'net');
        world.must('waymark cni', 'check', 'net');
        world.must('waymark cni', 'del', 'net');
        t.equal(stateOf(world.pod), before, plugin);
      }
    }
  },
);

t.test('every link in the documents leads to a file or a heading', async (t) => {
  t.ok(documents.length > 8);
  for (const document of documents) {
    for (const [, target = ''] of read(document).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = '', heading] = target.split('#');
      const file = path === '' ? document : join(dirname(document), path);
      if (!existsSync(join(ROOT, file))) t.fail(`${document}: ${target}`);
      else if (heading !== undefined && !headingsOf(read(file)).includes(heading)) t.fail(`${document}: ${target}`);
    }
  }
});

t.test('every npm script that a document names is there', async (t) => {
  const { scripts } = JSON.parse(read('package.json'));
  for (const document of documents) {
    for (const [, script = ''] of read(document).matchAll(/npm run ([a-z-]+)/g))
      t.hasOwnProp(scripts, script, document);
  }
});

/** A node as the examples have it: an uplink with addresses of both families, and a default route out of it. */
function nodeWithUplink(t: Test): Node {
  const world = scratchNode(t);
  const commands = [
    'link add uplink0 type veth peer name wire0',
    'link set wire0 up',
    'link set uplink0 up',
    'address add 10.0.32.2/24 dev uplink0',
    'address add fd00:32::2/64 dev uplink0',
    'route add default via 10.0.32.1 dev uplink0',
  ];
  for (const command of commands) world.node.ip(command);
  return world;
}

function stateOf(pod: Scratch): string {
  return `${JSON.stringify(pod.ipJson('link show'))}\n${pod.routes()}`;
}

function codeBlocks(markdown: string, language: string): string[] {
  return [...markdown.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, 'g'))].map(([, code = '']) => code);
}

function headingsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
    text
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replace(/\s/g, '-'),
  );
}
