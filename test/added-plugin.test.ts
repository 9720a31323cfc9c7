import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { agentProcess, noRoot, page, shimEnv } from './support/agent/agent.ts';
import { sums } from './support/build/installer.ts';
import { output } from './support/build/scripts.ts';
import { noSingle, start } from './support/build/single.ts';
import { copyTree } from './support/build/tree.ts';
import { scratchFolder, scratchPod } from './support/namespaces/namespace.ts';
import { variables } from './support/plugins/call.ts';
import { previousResult } from './support/plugins/previous-result.ts';

// A plugin is a folder and a line in plugins/index.ts. Here one is added to a copy of the tree, which is then built: a copy
// of consistent-ifname under another name.

const ROOT = join(import.meta.dirname, '..');
const NAME = 'added-ifname';

function treeWithPlugin(t: Test): string {
  const tree = join(scratchFolder(t), 'waymark');
  copyTree(tree);
  const folder = join(tree, 'plugins', NAME);
  cpSync(join(tree, 'plugins/consistent-ifname'), folder, { recursive: true });
  for (const file of readdirSync(folder)) {
    const text = readFileSync(join(folder, file), 'utf8');
    writeFileSync(
      join(folder, file),
      text.replaceAll('consistent-ifname', NAME).replaceAll('consistentIfname', 'added'),
    );
  }
  const registry = join(tree, 'plugins/index.ts');
  const lines = readFileSync(registry, 'utf8').replace('= [', '= [added, ');
  writeFileSync(registry, `import { added } from './${NAME}/main.ts';\n${lines}`);
  symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  return tree;
}

const skip = noSingle || noRoot;

t.test('a folder and a line in the registry make a plugin', { skip }, async (t) => {
  const tree = treeWithPlugin(t);
  output('env', ['-u', 'NODE_OPTIONS', 'bash', join(tree, 'scripts/build.sh')]);
  const dist = join(tree, 'dist');
  const waymark = join(dist, 'bin/waymark');

  t.test('it is built: a bundle, a single-file executable, a shim', async (t) => {
    // Without an agent, the shim runs the single-file executable.
    const env = { PATH: process.env.PATH, WAYMARK_SOCKET: '/nonexistent', WAYMARK_STANDALONE: waymark };
    for (const folder of ['bin', 'shim', `bundle/${NAME}`]) {
      const { stderr } = start(join(dist, folder, NAME), env);
      t.match(stderr, `CNI plugin ${NAME} `, folder);
    }
  });

  t.test('it has a JSON Schema, which that of lists refers to', async (t) => {
    const schema = JSON.parse(readFileSync(join(dist, `schema/${NAME}.schema.json`), 'utf8'));
    t.match(schema, { title: NAME, properties: { type: { const: NAME }, scheme: { enum: ['kactus', 'kubevirt'] } } });
    t.match(readFileSync(join(dist, 'schema/conflist.schema.json'), 'utf8'), `"${NAME}.schema.json"`);
  });

  for (const [mode, from] of [
    ['standalone', 'bin'],
    ['agent', 'shim'],
  ] as const) {
    t.test(`waymark install --mode ${mode} installs it`, async (t) => {
      const binDir = scratchFolder(t);
      const { code, stderr } = start(waymark, {}, '', ['install', '--once', '--mode', mode, '--bin-dir', binDir]);
      t.equal(code, 0, stderr);
      t.equal(sums(join(binDir, NAME), join(dist, from, NAME)).length, 1);
    });
  }

  t.test('waymark explain explains it', async (t) => {
    const file = join(scratchFolder(t), 'green.conflist');
    writeFileSync(file, JSON.stringify({ cniVersion: '1.1.0', name: 'green', plugins: [{ type: NAME }] }));
    const { stdout } = start(waymark, {}, '', ['explain', file]);
    t.match(stdout, `plugins[0] ${NAME}:`);
    t.match(stdout, /would .*net9f27410725ab/);
  });

  t.test('the agent serves its shim', async (t) => {
    const pod = scratchPod(t);
    const { socket } = await agentProcess(t, { command: [waymark, 'agent'] });
    const config = {
      cniVersion: '1.1.0',
      name: 'green',
      type: NAME,
      dataDir: scratchFolder(t),
      prevResult: previousResult('1.1.0', pod.path),
    };
    const { code, stdout } = start(join(dist, 'shim', NAME), shimEnv(socket, variables('ADD', pod.path)), config);
    t.equal(code, 0, stdout);
    t.match(pod.ipJson('link show net9f27410725ab'), [{ altnames: ['eth0'] }]);
    const status = JSON.parse((await page({ socketPath: socket }, '/status')).body);
    t.match(status.calls, [{ plugin: NAME, verb: 'ADD', code: 0, count: 1 }]);
  });
});
