import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { run } from '../../../lib/cni/runner.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';
import { dyingCall } from '../../support/plugins/killed.ts';

// Random lists of rules in a pod that has rules of others, with `ip -j rule` as the oracle.

type Printed = { [key: string]: unknown };

/** A selector: its key in the config, and what `ip -j rule` prints of it. */
type Selector = { readonly config: object; readonly printed: Printed };

const families = { 4: ['10.0.0.5', '10.7.0.0/16', '192.168.0.0/24'], 6: ['fd00::5', 'fd07::/32', '2001:db8::/64'] };

function prefixOf(key: 'from' | 'to', text: string): Selector {
  const [address, length] = text.split('/');
  const [name, lengthName] = key === 'from' ? ['src', 'srclen'] : ['dst', 'dstlen'];
  return { config: { [key]: text }, printed: { [name]: address, ...(length && { [lengthName]: Number(length) }) } };
}

function portsOf(key: 'sport' | 'dport', [first, last]: readonly [number, number]): Selector {
  if (first === last) return { config: { [key]: first }, printed: { [key]: first } };
  return { config: { [key]: `${first}-${last}` }, printed: { [`${key}_start`]: first, [`${key}_end`]: last } };
}

const hex = (number: number) => (number === 0 ? '0' : `0x${number.toString(16)}`);
const none: Selector = { config: {}, printed: {} };
const one = (...selectors: Selector[]) => fc.constantFrom(none, none, ...selectors);
const range = fc.constantFrom([80, 80], [5000, 5999], [1, 65534], [53, 53]) as fc.Arbitrary<readonly [number, number]>;

const rest = fc
  .tuple(
    one(...['eth0', 'lo', 'net1'].map((iif) => ({ config: { iif }, printed: { iif: iif === 'net1' ? 'eth0' : iif } }))),
    one({ config: { oif: 'eth0' }, printed: { oif: 'eth0' } }),
    fc
      .option(fc.tuple(fc.nat(0xffff), fc.constantFrom(undefined, 0xff, 0xffff, 0xffffff00)), { nil: undefined })
      .map(markOf),
    one(
      { config: { ipproto: 'tcp' }, printed: { ipproto: 'tcp' } },
      { config: { ipproto: 17 }, printed: { ipproto: 'udp' } },
    ),
    fc.option(
      range.map((ports) => portsOf('sport', ports)),
      { nil: none },
    ),
    fc.option(
      range.map((ports) => portsOf('dport', ports)),
      { nil: none },
    ),
  )
  .map((selectors) => selectors.reduce(both, none));

function markOf(given: [number, number | undefined] | undefined): Selector {
  if (given === undefined) return none;
  const [bits, mask] = given;
  const mark = mask === undefined ? bits || 1 : (bits & mask) >>> 0;
  const config = { fwmark: mask === undefined ? mark : `${mark}/0x${mask.toString(16)}` };
  return { config, printed: { fwmark: hex(mark), ...(mask !== undefined && { fwmask: hex(mask) }) } };
}

function both(a: Selector, b: Selector): Selector {
  return { config: { ...a.config, ...b.config }, printed: { ...a.printed, ...b.printed } };
}

const action = fc.oneof(
  fc.constantFrom(7, 100, 254, 5000, 4294967295).map((table) => ({
    config: { table },
    printed: { table: table === 254 ? 'main' : String(table) },
  })),
  fc
    .constantFrom('blackhole', 'unreachable', 'prohibit')
    .map((action) => ({ config: { action }, printed: { action } })),
);

/** A rule of the config, and what must be printed of it for each family that it is of. */
type Wanted = { readonly config: object; readonly printed: { readonly 4?: Printed; readonly 6?: Printed } };

const rule: fc.Arbitrary<Wanted> = fc
  .record({
    addresses: fc.oneof(
      fc.constant({ of: [4, 6] as (4 | 6)[], ...none }),
      ...([4, 6] as const).map((family) =>
        fc
          .tuple(
            fc.option(fc.constantFrom(...families[family]), { nil: undefined }),
            fc.constantFrom(...families[family]),
            fc.boolean(),
          )
          .map(([from, to, hasTo]) => ({
            of: [family] as (4 | 6)[],
            ...both(
              from === undefined ? none : prefixOf('from', from),
              hasTo || from === undefined ? prefixOf('to', to) : none,
            ),
          })),
      ),
    ),
    rest: fc.oneof(fc.constant(none), rest),
    action,
    priority: fc.option(fc.constantFrom(1, 50, 20000, 32000, 4294967295), { nil: undefined }),
  })
  .map(({ addresses, rest, action, priority }) => {
    const printed = {
      priority: priority ?? 20000,
      src: 'all',
      ...addresses.printed,
      ...rest.printed,
      ...action.printed,
      protocol: '87',
    };
    return {
      config: { ...addresses.config, ...rest.config, ...action.config, ...(priority !== undefined && { priority }) },
      printed: Object.fromEntries(addresses.of.map((family) => [family, printed])),
    };
  });

/** Rules of others: of other owners, of our protocol, at our priorities, for what random rules select. */
const OTHERS = [
  'rule add from 10.0.0.5 table 100 pref 20000 proto static',
  'rule add from 10.7.0.0/16 blackhole pref 50 proto 87',
  'rule add from 10.7.0.0/16 iif eth0 table 7 pref 20000 proto 87',
  'rule add not from 10.7.0.0/16 table 7 pref 50',
  'rule add from 10.0.0.5 table 100 pref 32765',
  '-6 rule add from fd00::5 table 100 pref 20000 proto 87',
  '-6 rule add to fd07::/32 dport 80 ipproto tcp table 9 pref 50 proto static',
  '-6 rule add fwmark 1 table 100 pref 1 proto bgp',
];

function printedRules(pod: Scratch, family: 4 | 6): Printed[] {
  return pod.ipJson(`-d -${family} rule show`);
}

function allRules(pod: Scratch) {
  return { 4: printedRules(pod, 4), 6: printedRules(pod, 6) };
}

/** Runs ADD as a process that dies after so many changes: each is a write of its own, and the next one never comes. */
async function addAndDie(pod: Scratch, config: object, changes: number): Promise<void> {
  let slices = 0;
  await run(staticRoute, {
    env: variables('ADD', pod.path),
    args: [],
    readStdin: () => Buffer.from(JSON.stringify(config)),
    writeStdout: () => {},
    writeStderr: () => {},
    pacing: {
      sliceBytes: 1,
      breathe: async () => {
        slices++;
        if (slices === changes) throw new Error('the process dies here');
      },
    },
  });
}

const outcomes = { taken: 0, refused: 0, deaths: 0 };

for (const batch of [1, 2, 3]) {
  t.test(`100 random lists of rules, part ${batch}`, { skip: noNamespaces }, async (t) => {
    const pod = scratchPod(t);
    pod.ip('link property add dev eth0 altname net1');
    for (const other of OTHERS) pod.ip(other);
    const before = allRules(pod);
    const dataDir = join(scratchFolder(t), 'data');
    const property = fc.asyncProperty(fc.array(rule, { minLength: 1, maxLength: 3 }), async (wanted) => {
      const config = {
        cniVersion: '1.1.0',
        name: 'net',
        type: 'static-route',
        dataDir,
        rules: wanted.map((each) => each.config),
      };
      const verb = (verb: string) => call(staticRoute, variables(verb, pod.path), config);
      // What is of one family only cannot be seen in the other, which is looked at in the end.
      const concerned = ([4, 6] as const).filter((family) => wanted.some(({ printed }) => printed[family]));
      const see = () => concerned.map((family) => printedRules(pod, family));
      const asBefore = (when: string) =>
        same(
          see(),
          concerned.map((family) => before[family]),
          when,
        );

      const { code, document } = await verb('ADD');
      if (code !== 0) {
        if (document?.code !== 7 && document?.code !== 103) throw new Error(document?.msg);
        outcomes.refused++;
        return asBefore('a refused ADD');
      }
      outcomes.taken++;
      const made = see();
      const ours = (family: 4 | 6) =>
        wanted.map(({ printed }) => printed[family]).filter((printed) => printed !== undefined);
      same(
        made,
        concerned.map((family) => withOurs(before[family], ours(family))),
        'ADD',
      );
      success(await verb('CHECK'));
      success(await verb('ADD'));
      success(await verb('CHECK'));
      same(see(), made, 'ADD twice');
      success(await verb('DEL'));
      asBefore('DEL');

      const changes = made.flat().length - concerned.flatMap((family) => before[family]).length;
      for (let dead = 1; dead < changes; dead++) {
        outcomes.deaths++;
        await addAndDie(pod, config, dead);
        success(await verb('ADD'));
        same(see(), made, `ADD after a death after ${dead} changes`);
        success(await verb('DEL'));
        await addAndDie(pod, config, dead);
        success(await verb('DEL'));
        asBefore(`DEL after a death after ${dead} changes`);
      }
    });
    await fc.assert(property, { numRuns: 100 });
    t.strictSame(allRules(pod), before);
    t.strictSame(readdirSync(join(dataDir, 'static-route')), [], 'no journal is left');
  });
}

t.test('most lists were taken, and many ADDs died', { skip: noNamespaces }, async (t) => {
  t.comment(JSON.stringify(outcomes));
  t.equal(outcomes.taken + outcomes.refused, 300);
  t.ok(outcomes.taken > 100);
  t.ok(outcomes.deaths > 100);
});

// Rules that are there already, whoever added them, are not added again.
function withOurs(others: Printed[], ours: Printed[]): Printed[] {
  const isThere = (own: Printed) =>
    others.some((other) => JSON.stringify(sorted({ ...other, protocol: '87' })) === JSON.stringify(sorted(own)));
  const added = ours.filter((own) => !isThere(own));
  return [...others, ...added].sort((a, b) => Number(a.priority) - Number(b.priority));
}

function sorted(object: Printed): Printed {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function same(found: unknown, wanted: unknown, when: string): void {
  const [a, b] = [found, wanted].map((each) =>
    JSON.stringify(each, (_, value) => (isObject(value) ? sorted(value) : value), 1),
  );
  if (a !== b) throw new Error(`${when}: found ${a}, wanted ${b}`);
}

function isObject(value: unknown): value is Printed {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

t.test(
  'a process that is killed after any change of rules leaves what DEL and ADD can work with',
  { skip: noNamespaces },
  async (t) => {
    const pod = scratchPod(t);
    for (const other of OTHERS) pod.ip(other);
    pod.ip('rule add from 10.3.0.0/16 table 9 pref 60 proto static');
    const before = allRules(pod);
    const rules = [
      { fwmark: 7, table: 100 },
      { from: '10.9.0.0/16', action: 'prohibit' },
      { from: '10.3.0.0/16', table: 10, priority: 60 },
    ];
    const dataDir = join(scratchFolder(t), 'data');
    const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, rules, onConflict: 'replace' };
    const verb = async (name: string) => success(await call(staticRoute, variables(name, pod.path), config));
    for (let made = 1; made < 5; made++) {
      t.equal(dyingCall('static-route', made, variables('ADD', pod.path), config), 'SIGKILL');
      await verb('DEL');
      t.strictSame(allRules(pod), before, `DEL after ${made} changes of ADD`);
      t.equal(dyingCall('static-route', made, variables('ADD', pod.path), config), 'SIGKILL');
      await verb('ADD');
      await verb('CHECK');
      t.equal(dyingCall('static-route', made, variables('DEL', pod.path), config), 'SIGKILL');
      await verb('DEL');
      t.strictSame(allRules(pod), before, `DEL after ${made} changes of DEL`);
    }
  },
);
