import { join } from 'node:path';
import t from 'tap';
import { parsePrefix } from '../../../lib/address/prefix.ts';
import type { Change } from '../../../lib/change/change.ts';
import type { CniError } from '../../../lib/cni/errors.ts';
import type { Call } from '../../../lib/cni/runner.ts';
import { type Route, routeVia } from '../../../lib/netlink/route.ts';
import type { Rule } from '../../../lib/netlink/rule.ts';
import { assertUnprotected, PROTECTED_FILE, readProtected } from '../../../lib/plugin/protection.ts';
import { observed } from '../../support/plugins/observed.ts';

// What hostile annotations come to on a real node is in test/agent/protect.test.ts.

const POD = observed({ lo: [], eth0: ['10.244.0.5/24'] });
const PROTECTED = ['10.96.0.0/12', 'fd00:96::/108'].map(parsePrefix);

const route = (dst: string): Route =>
  routeVia(dst.includes(':') ? 'fd00::1' : '10.244.0.1', {
    dst,
    family: dst.includes(':') ? 6 : 4,
    link: 2,
    protocol: 87,
  });
const add = (dst: string): Change => ({ op: 'add-route', route: route(dst) });
const remove = (dst: string): Change => ({ op: 'delete-route', route: route(dst) });
const rule = (more: Partial<Rule>): Change => ({
  op: 'add-rule',
  rule: { family: 4, priority: 7, action: 'lookup', table: 100, protocol: 87, ...more },
});

/** What is said of changes whose place is `source`, of a plugin that an annotation asks for `keys`; '' if they may be. */
function refusal(changes: Change[], source = 'routes[0]', keys: object = { routes: [] }, shapedBy?: string[]): string {
  const document = Object.keys(keys).length === 0 ? {} : { args: { cni: keys } };
  const call = { request: { document }, pacing: { protectedPrefixes: PROTECTED } } as unknown as Call;
  const planned = changes.map((change) => ({ change, source }));
  try {
    assertUnprotected({ ...(shapedBy && { shapedBy }) }, call, planned, POD);
    return '';
  } catch (error) {
    const { code, message } = error as CniError;
    t.equal(code, 108);
    return message;
  }
}

const REFUSED: Change[] = [
  add('10.96.0.0/12'),
  add('10.100.1.0/24'),
  add('10.0.0.0/8'),
  add('0.0.0.0/1'),
  remove('10.96.0.1/32'),
  add('fd00:96::/64'),
  add('fd00:96::5/128'),
  // The same to the kernel, which routes mapped addresses by IPv4.
  add('::ffff:10.96.0.0/108'),
  rule({ to: '10.96.0.0/16' }),
  rule({ from: '10.244.0.5/32' }),
  { op: 'delete-rule', rule: (rule({}) as { rule: Rule }).rule },
  rule({ family: 6 }),
];

const FREE: Change[] = [
  add('10.112.0.0/12'),
  add('0.0.0.0/0'),
  add('::/0'),
  remove('0.0.0.0/0'),
  add('fd00:97::/64'),
  add('::ffff:10.112.0.0/108'),
  rule({ to: '10.112.0.0/16' }),
  rule({ family: 6, to: 'fd00:97::/64' }),
  { op: 'rename-link', link: 2, from: 'eth0', to: 'net1' },
];

t.test('what leads packets to a protected prefix elsewhere is refused, and what does not is not', async (t) => {
  for (const change of REFUSED) t.not(refusal([change]), '', JSON.stringify(change));
  for (const change of FREE) t.equal(refusal([change]), '', JSON.stringify(change));
});

t.test('each is named by its place, the prefix and the change', async (t) => {
  t.equal(
    refusal([add('10.112.0.0/12'), add('10.96.0.0/16')]),
    'args.cni.routes[0]: 10.96.0.0/12 is protected on this node, so it does not add route 10.96.0.0/16 via 10.244.0.1 dev eth0',
  );
  t.match(
    refusal([rule({ from: '10.244.0.5/32' })]),
    /^args\.cni\.routes\[0\]: 10\.96\.0\.0\/12 is protected .* add rule /,
  );
});

t.test('only what an annotation asks for, or shapes', async (t) => {
  const bad = [add('10.96.0.0/16')];
  t.equal(refusal(bad, 'routes[0]', {}), '', 'without args.cni');
  t.equal(refusal(bad, 'routes[0]', { rules: [] }), '', 'the list’s own route');
  t.not(refusal(bad, 'rules[0]', { rules: [] }), '');
  t.not(refusal(bad, 'flushroutes', { flushroutes: true }), '');
  t.not(refusal(bad, 'routes[0]', { interface: 'net1' }, ['interface']), '', 'a key that shapes all of them');
  t.equal(refusal(bad, 'routes[0]', { rules: [] }, ['interface']), '');
  t.equal(refusal(bad, 'toString', { routes: [] }), '');
});

t.test('what is protected is looked up for what an annotation asks for, and for nothing else', async (t) => {
  let lookedUp = 0;
  const pacing = {
    get protectedPrefixes() {
      lookedUp++;
      return PROTECTED;
    },
  };
  const ask = (cni: object) => {
    const call = { request: { document: { args: { cni } } }, pacing } as unknown as Call;
    assertUnprotected({}, call, [{ change: add('10.112.0.0/12'), source: 'routes[0]' }], POD);
    return lookedUp;
  };
  t.strictSame([ask({}), ask({ rules: [] }), ask({ routes: [] })], [0, 0, 1]);
});

t.test(
  'what is protected is read from the agent’s file; none protects nothing, and a wrong one is an error',
  async (t) => {
    const folder = t.testdir({
      good: '["10.96.0.0/12","fd00:96::/108"]',
      none: '[]',
      object: '{}',
      text: 'x',
      odd: '["10.96.0.0"]',
    });
    const read = (name: string) => readProtected(join(folder, name));
    t.strictSame(read('good'), PROTECTED);
    t.strictSame([read('none'), read('absent')], [[], []]);
    for (const name of ['object', 'text', 'odd'])
      t.throws(() => read(name), { name: 'FileError', message: /does not say what is protected: / }, name);
    t.equal(PROTECTED_FILE, 'protected.json');
  },
);
