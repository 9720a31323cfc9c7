import t from 'tap';
import {
  type Change,
  describe,
  describeDifference,
  effectOf,
  holds,
  inverseOf,
  isAlreadyUndone,
  kindOf,
  meaningOf,
  parseChange,
} from '../../../lib/change/change.ts';
import { NetlinkError } from '../../../lib/netlink/errors.ts';
import { type Route, routeVia } from '../../../lib/netlink/route.ts';
import type { Rule } from '../../../lib/netlink/rule.ts';
import { Observation } from '../../../lib/observation/observation.ts';
import { observed } from '../../support/plugins/observed.ts';

const LINK = 2;
const ROUTE = routeVia('10.0.0.1', { dst: '10.1.0.0/16', family: 4, link: LINK, protocol: 87 });
const V6 = routeVia('fd00::1', { dst: '2001:db8::/48', family: 6, link: LINK, protocol: 87 });
const TWO_HOPS: Route = {
  ...V6,
  hops: [
    { gw: 'fd00::1', oif: LINK },
    { gw: 'fd00::2', oif: LINK },
  ],
};
const withHops = (...gateways: string[]): Route => ({ ...ROUTE, hops: gateways.map((gw) => ({ gw, oif: LINK })) });
const [V4_HOPS, OTHER_V4_HOPS] = [withHops('10.0.0.1', '10.0.0.2'), withHops('10.0.0.1', '10.0.0.3')];

const RULE: Rule = { family: 4, priority: 7, action: 'lookup', table: 100, protocol: 87, from: '10.0.0.5/32' };

const { protocol: _, ...OF_OLD }: Rule = RULE;

function withRules(rules: Rule[]): Observation {
  return Observation.ofData({ links: [], addresses: [], routes: [], rules });
}

const CHANGES: { readonly [O in Change['op']]: Change & { op: O } } = {
  'add-route': { op: 'add-route', route: ROUTE },
  'delete-route': { op: 'delete-route', route: ROUTE },
  'add-rule': { op: 'add-rule', rule: RULE },
  'delete-rule': { op: 'delete-rule', rule: RULE },
  'add-altname': { op: 'add-altname', link: LINK, name: 'green' },
  'delete-altname': { op: 'delete-altname', link: LINK, name: 'green' },
  'rename-link': { op: 'rename-link', link: LINK, from: 'eth0', to: 'green' },
};

const NUMBERS = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENETDOWN: 100,
  ENETUNREACH: 101,
} as const;

function refusal(code: keyof typeof NUMBERS): NetlinkError {
  return new NetlinkError('do it', NUMBERS[code]);
}

function pod(routes: Route[] = [], eth0: { name?: string; altnames?: string[] } = {}) {
  return observed({ lo: [], eth0: ['10.0.0.5/24'] }, routes, { eth0 });
}

// What the inverse of each is, its line, its difference, whether undoing it gives back, whether CHECK insists on it.
const FACTS: [
  op: Change['op'],
  inverse: object,
  line: string,
  difference: string,
  givesBack: boolean,
  checked: boolean,
][] = [
  [
    'add-route',
    { op: 'delete-route', route: ROUTE },
    'add route 10.1.0.0/16 via 10.0.0.1 dev eth0',
    'route 10.1.0.0/16 via 10.0.0.1 dev eth0 is missing',
    false,
    true,
  ],
  [
    'delete-route',
    { op: 'add-route', route: ROUTE },
    'delete route 10.1.0.0/16 via 10.0.0.1 dev eth0',
    'route 10.1.0.0/16 via 10.0.0.1 dev eth0 is still there',
    true,
    false,
  ],
  [
    'add-rule',
    { op: 'delete-rule', rule: RULE },
    'add rule priority 7 from 10.0.0.5/32 lookup 100',
    'rule priority 7 from 10.0.0.5/32 lookup 100 is missing',
    false,
    true,
  ],
  [
    'delete-rule',
    { op: 'add-rule', rule: RULE },
    'delete rule priority 7 from 10.0.0.5/32 lookup 100',
    'rule priority 7 from 10.0.0.5/32 lookup 100 is still there',
    true,
    false,
  ],
  [
    'add-altname',
    { op: 'delete-altname', link: LINK, name: 'green' },
    'add altname green to eth0',
    'interface eth0 has no altname green',
    false,
    true,
  ],
  [
    'delete-altname',
    { op: 'add-altname', link: LINK, name: 'green' },
    'delete altname green of eth0',
    'interface eth0 still has the altname green',
    true,
    true,
  ],
  [
    'rename-link',
    { op: 'rename-link', link: LINK, from: 'green', to: 'eth0' },
    'rename interface eth0 to green',
    'interface eth0 is not named green',
    true,
    true,
  ],
];

for (const [op, inverse, line, difference, givesBack, checked] of FACTS) {
  t.test(op, async (t) => {
    const change = CHANGES[op];
    t.strictSame(inverseOf(change), inverse);
    t.strictSame(inverseOf(inverseOf(change)), change, 'the inverse of the inverse is the change');
    t.equal(describe(change, pod()), line);
    t.equal(describeDifference(change, pod()), difference);
    t.equal(kindOf(change).undoGivesBack, givesBack);
    t.equal(kindOf(change).isChecked, checked);
    t.strictSame(parseChange(JSON.parse(JSON.stringify(change))), change, 'it survives the journal');
    t.equal(parseChange({ op }), undefined, 'and is not read without its fields');
  });
}

t.test('a change of a newer build is not read', async (t) => {
  t.equal(parseChange({ op: 'add-tunnel', tunnel: {} }), undefined);
  t.equal(parseChange({ op: 'toString' }), undefined);
  t.equal(parseChange({}), undefined);
});

const HOLDS: [what: string, change: Change, routes: Route[], there: boolean][] = [
  ['a route is there', CHANGES['add-route'], [ROUTE], true],
  ['a route exists, whoever added it', CHANGES['add-route'], [{ ...ROUTE, protocol: 3 }], true],
  ['a route with another metric is another', CHANGES['add-route'], [{ ...ROUTE, priority: 7 }], false],
  ['a route with another mtu is another', CHANGES['add-route'], [{ ...ROUTE, mtu: 1400 }], false],
  ['an IPv6 route with a hop appended still goes where ours goes', { op: 'add-route', route: V6 }, [TWO_HOPS], true],
  ['an IPv6 route that lost a hop does not', { op: 'add-route', route: TWO_HOPS }, [V6], false],
  ['a route is gone', CHANGES['delete-route'], [], true],
  ['a route is not gone with another mtu', CHANGES['delete-route'], [{ ...ROUTE, mtu: 1400 }], false],
  ['a route of another protocol is not ours to delete', CHANGES['delete-route'], [{ ...ROUTE, protocol: 3 }], true],
  ['an IPv6 route is not gone while one of its hops is there', { op: 'delete-route', route: TWO_HOPS }, [V6], false],
  ['an IPv4 route is one with all of its hops', { op: 'delete-route', route: V4_HOPS }, [OTHER_V4_HOPS], true],
  ['an IPv4 route with its hops is not gone', { op: 'delete-route', route: V4_HOPS }, [V4_HOPS], false],
];

for (const [what, change, routes, there] of HOLDS) {
  t.test(what, async (t) => t.equal(holds(change, pod(routes)), there));
}

const HOLDS_RULE: [what: string, op: 'add-rule' | 'delete-rule', rules: Rule[], there: boolean][] = [
  ['a rule is there', 'add-rule', [RULE], true],
  ['a rule is there whoever added it', 'add-rule', [{ ...RULE, protocol: 4 }], true],
  ['a rule of another table is another', 'add-rule', [{ ...RULE, table: 101 }], false],
  ['a rule whose link has gone selects nothing', 'add-rule', [{ ...RULE, detached: true }], false],
  ['a rule is gone', 'delete-rule', [], true],
  ['a rule is not gone while its link is', 'delete-rule', [{ ...RULE, detached: true }], false],
  ['a rule of another protocol is not ours to delete', 'delete-rule', [{ ...RULE, protocol: 4 }], true],
  [
    'a rule of which an old kernel does not say whose it is, is the one that was recorded',
    'delete-rule',
    [OF_OLD],
    false,
  ],
];

for (const [what, op, rules, there] of HOLDS_RULE) {
  t.test(what, async (t) => t.equal(holds(CHANGES[op], withRules(rules)), there));
}

t.test('a rule is known by the config alone, but where the kernel does not say whose it is', async (t) => {
  const isKnown = (rules: Rule[]) => kindOf(CHANGES['add-rule']).isKnownByConfig(CHANGES['add-rule'], withRules(rules));
  t.ok(isKnown([RULE]));
  t.ok(isKnown([]));
  t.notOk(isKnown([OF_OLD]));
  t.notOk(kindOf(CHANGES['delete-rule']).isKnownByConfig(CHANGES['delete-rule'], withRules([RULE])));
});

t.test('names hold by what the link is called', async (t) => {
  t.notOk(holds(CHANGES['add-altname'], pod()));
  t.ok(holds(CHANGES['add-altname'], pod([], { altnames: ['green'] })));
  t.ok(holds(CHANGES['delete-altname'], pod()));
  t.notOk(holds(CHANGES['delete-altname'], pod([], { altnames: ['green'] })));
  t.notOk(holds(CHANGES['rename-link'], pod()));
  t.ok(holds(CHANGES['rename-link'], pod([], { name: 'green' })));
  const lost = { addresses: [], routes: [], neighbours: [] };
  t.notOk(holds({ ...CHANGES['rename-link'], lost }, pod([], { name: 'green' })), 'not while it is under way');
});

t.test('effects', async (t) => {
  t.strictSame(effectOf(CHANGES['add-route']), { adds: ROUTE });
  t.strictSame(effectOf(CHANGES['delete-route']), { deletes: ROUTE });
  t.strictSame(effectOf(CHANGES['add-rule']), { addsRule: RULE });
  t.strictSame(effectOf(CHANGES['delete-rule']), { deletesRule: RULE });
  const [, eth0] = pod([], { altnames: ['green', 'blue'] }).links();
  if (eth0 === undefined) throw new Error('the pod has two links');
  const after = (change: Change) => effectOf(change).link?.after(eth0);
  t.strictSame(after(CHANGES['add-altname'])?.altnames, ['blue', 'green'], 'once, and last');
  t.strictSame(after(CHANGES['delete-altname'])?.altnames, ['blue']);
  t.equal(after(CHANGES['rename-link'])?.name, 'green');
});

t.test('refusals', async (t) => {
  t.match(meaningOf(CHANGES['add-route'], refusal('EEXIST')), { code: 103 }, 'a route came in the way');
  t.match(meaningOf(CHANGES['add-rule'], refusal('EEXIST')), { code: 103 }, 'a rule came in the way');
  for (const op of ['add-altname', 'rename-link'] as const) {
    t.match(meaningOf(CHANGES[op], refusal('EEXIST')), { code: 105 }, 'a name was taken');
  }
  for (const change of Object.values(CHANGES)) {
    t.equal(meaningOf(change, refusal('EPERM')), undefined, 'others mean no more than that the kernel refused');
    const isOfLink = !change.op.endsWith('-rule');
    t.equal(isAlreadyUndone(change, refusal('ENODEV')), isOfLink, 'nothing is left to undo on a link that is gone');
    t.notOk(isAlreadyUndone(change, refusal('EPERM')));
  }
  t.ok(isAlreadyUndone(CHANGES['delete-route'], refusal('ESRCH')), 'the route has gone before');
  t.notOk(isAlreadyUndone(CHANGES['add-route'], refusal('ESRCH')));
  t.ok(isAlreadyUndone(CHANGES['add-route'], refusal('ENETUNREACH')));
  t.ok(isAlreadyUndone(CHANGES['add-rule'], refusal('EEXIST')), 'the rule has come back before');
  t.ok(isAlreadyUndone(CHANGES['delete-rule'], refusal('ENOENT')), 'the rule has gone before');
  t.ok(isAlreadyUndone(CHANGES['add-altname'], refusal('EEXIST')));
  t.notOk(isAlreadyUndone(CHANGES['rename-link'], refusal('EEXIST')));
});

t.test(
  'only an IPv4 route without a metric and a rule could be taken for others, and a rename takes a detour',
  async (t) => {
    const needsLook = (change: Change) => kindOf(change).needsLook(change);
    t.ok(needsLook({ op: 'delete-route', route: ROUTE }));
    t.notOk(needsLook({ op: 'delete-route', route: { ...ROUTE, priority: 5 } }));
    t.notOk(needsLook({ op: 'delete-route', route: V6 }));
    t.notOk(needsLook(CHANGES['add-route']));
    t.notOk(needsLook(CHANGES['add-rule']));
    t.ok(needsLook(CHANGES['delete-rule']), 'a rule may be any that has more selectors');
    t.ok(needsLook(CHANGES['rename-link']));
  },
);
