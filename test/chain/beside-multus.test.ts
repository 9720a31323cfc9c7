import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { installed } from '../support/build/single.ts';
import { ASKED, type Asked, type Fate } from '../support/multus/annotations.ts';
import { entry, type Made } from '../support/multus/entry.ts';
import { works } from '../support/namespaces/namespace.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';

// The same annotations and configs through Multus' daemon and its shim ("thick"), and through multi-network, each on a node of
// its own. scripts/cluster/build-peer.sh builds Multus.

const TOOLS = join(import.meta.dirname, '../../.tools');
const BUILT = existsSync(TOOLS) ? readdirSync(TOOLS).find((name) => name.startsWith('multus-')) : undefined;
const [SHIM, DAEMON] = ['multus-shim', 'multus-daemon'].map((name) => join(TOOLS, BUILT ?? 'multus', name)) as [
  string,
  string,
];
const THEIRS = { program: SHIM, type: 'multus-shim', keys: { logToStderr: false }, daemon: DAEMON };
const skip =
  noReferencePlugins ||
  (!existsSync(DAEMON) && 'needs Multus, as scripts/cluster builds it') ||
  (works('openssl', ['version']) ? false : 'needs openssl');

t.setTimeout(900_000);

t.test('pods get what Multus gives them, or the difference is known', { skip }, async (t) => {
  const multus = await entry(t, THEIRS);
  const waymark = await entry(t, { program: join(installed(t), 'multi-network'), type: 'multi-network' });
  for (const [index, asked] of ASKED.entries()) {
    const [theirs, ours] = await Promise.all([multus.make(asked, index), waymark.make(asked, index)]);
    t.equal(ours.left, '', `${asked.title}: DEL leaves nothing`);
    if (theirs.left !== '') t.comment(`${asked.title}: DEL of Multus: ${theirs.left}`);
    compare(t, asked, theirs.made, ours.made);
    if (!('refused' in ours.made)) isExact(t, asked, ours.made);
  }
});

// A cluster changes from one to the other while pods run.
t.test('either deletes what the other made', { skip }, async (t) => {
  const ours = { program: join(installed(t), 'multi-network'), type: 'multi-network' };
  for (const [by, pair] of [
    ['Waymark', await entry(t, THEIRS, ours)],
    ['Multus', await entry(t, ours, THEIRS)],
  ] as const) {
    for (const [index, asked] of ASKED.entries()) {
      if (!HANDED_OVER.includes(asked.title)) continue;
      const { made, left } = await pair.make(asked, index);
      t.equal(fateOf(made), 'starts', asked.title);
      t.equal(left, '', `${asked.title}: ${by} leaves nothing`);
    }
  }
  for (const title of HANDED_OVER)
    t.ok(
      ASKED.some((asked) => asked.title === title),
      title,
    );
});

const HANDED_OVER = [
  'no annotation',
  'short form with both',
  'three networks',
  'one network twice',
  'addresses of both families',
  'another default network and others',
  'two delegates and an annotation',
  'a list as delegate',
  'clusterNetwork and defaultNetworks',
  'an entry of 0.3.1',
];

t.test('the page says how many rows there are, and how many differ', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/multi-network.md'), 'utf8').replaceAll('\n', ' ');
  const equal = ASKED.filter(({ differs }) => differs === undefined).length;
  t.match(page, `gives ${ASKED.length} annotations and configs`);
  t.match(page, `${equal} are equal, refusals included; ${ASKED.length - equal} differ`);
});

function compare(t: Test, { title, fails, differs }: Asked, theirs: Made, ours: Made): void {
  if (differs !== undefined) {
    const expected = [differs.multus, differs.waymark];
    t.strictSame([fateOf(theirs), fateOf(ours)], expected, `${title}: ${differs.why}`);
  } else if (fails !== undefined) {
    t.equal(fateOf(theirs), 'is refused', `${title}: by Multus too`);
    t.match('refused' in ours ? ours.refused : 'starts', fails, title);
  } else t.strictSame(compared(ours), compared(theirs), title);
}

function fateOf(made: Made): Fate {
  return 'refused' in made ? 'is refused' : 'starts';
}

function compared(made: Made): object {
  if ('refused' in made) return made;
  const { links, routes, status, result } = made;
  return { links, routes, status, result };
}

// What Multus leaves to the last plugin: the result is of the version that was asked for, and the status says what is there.
function isExact(t: Test, { title, config, defaults }: Asked, made: Exclude<Made, { refused: string }>): void {
  t.equal(made.version, config?.cniVersion ?? '1.0.0', `${title}: the version of the result`);
  const said = made.written.map(({ interface: name, mac, mtu }) => [String(name), { mac, mtu }]);
  if (defaults !== undefined) {
    const lines = made.routes.flatMap((line) => /^default (via \S+ dev \S+)/.exec(line)?.[1] ?? []);
    t.strictSame(lines, defaults, `${title}: the default routes`);
  }
  t.strictSame(Object.fromEntries(said), made.kernel, `${title}: the status has each interface as the kernel has it`);
}
