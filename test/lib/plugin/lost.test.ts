import t from 'tap';
import type { Change } from '../../../lib/change/change.ts';
import type { RecordedAttachment } from '../../../lib/inventory/records.ts';
import { type Link, plainLink } from '../../../lib/netlink/link.ts';
import { type Route, routeVia } from '../../../lib/netlink/route.ts';
import type { Rule } from '../../../lib/netlink/rule.ts';
import { Observation } from '../../../lib/observation/observation.ts';
import { describeHolder, describeLost, lostChanges, lostHops, rivalsOf } from '../../../lib/plugin/lost.ts';

const LINKS: Link[] = [plainLink('lo', 1), plainLink('eth0', 2), plainLink('net1', 3)];
const pod = (routes: readonly Route[] = [], rules: readonly Rule[] = []) =>
  Observation.ofData({ links: LINKS, addresses: [], routes, rules });

const via = (gw: string, link = 2) => routeVia(gw, { dst: '10.1.0.0/16', family: 4, link, protocol: 87 });
const OURS = via('10.0.0.1');
const OTHER: Route = { ...via('10.0.0.9'), protocol: 4 };
const RULE: Rule = { family: 4, priority: 7, action: 'lookup', table: 100, protocol: 87, from: '10.0.0.5/32' };
const added = (route: Route): Change => ({ op: 'add-route', route });
const deleted = (route: Route): Change => ({ op: 'delete-route', route });
const addedRule = (rule: Rule): Change => ({ op: 'add-rule', rule });
const deletedRule = (rule: Rule): Change => ({ op: 'delete-rule', rule });

const attachment = (...changes: Change[]): RecordedAttachment => ({
  ...{ plugin: 'static-route', containerID: 'c', ifname: 'eth0', network: 'net', journal: '/j', namespace: 'n' },
  ...{ attached: undefined, isIncomplete: false, isLocked: false },
  changes: changes.map((change) => ({ change, source: undefined })),
});

const LOST: [what: string, recorded: Change[], by: Change[], there: Observation, lost: Change[]][] = [
  ['what is missing, in its order', [added(OURS), addedRule(RULE)], [], pod(), [added(OURS), addedRule(RULE)]],
  ['what is there is not', [added(OURS), addedRule(RULE)], [], pod([OURS], [RULE]), []],
  ['one of another is in its place', [added(OURS)], [], pod([OTHER]), [added(OURS)]],
  ['a route that was deleted is not missed', [deleted(OTHER)], [], pod(), []],
  ['what a later change took back is not', [added(OURS), deleted(OURS)], [], pod(), []],
  ['whatever metrics it had got by then', [added(OURS), deleted({ ...OURS, mtu: 1400 })], [], pod(), []],
  ['what was deleted before it was added is', [deleted(OURS), added(OURS)], [], pod(), [added(OURS)]],
  [
    'what another attachment took is not',
    [added(OURS), addedRule(RULE)],
    [deleted(OURS), deletedRule(RULE)],
    pod(),
    [],
  ],
  ['a rule is the same whoever’s it is', [addedRule(RULE)], [deletedRule({ ...RULE, protocol: 4 })], pod(), []],
  [
    'a rule of another table is another',
    [addedRule(RULE)],
    [deletedRule({ ...RULE, table: 9 })],
    pod(),
    [addedRule(RULE)],
  ],
  ['a route of another family is another', [added(OURS)], [deleted({ ...OURS, family: 6 })], pod(), [added(OURS)]],
  ['a route whose link has gone is not', [added(via('10.0.0.1', 9)), added(OURS)], [], pod(), [added(OURS)]],
  [
    'nor a rule that names one',
    [addedRule({ ...RULE, iif: 'gone' }), addedRule({ ...RULE, oif: 'gone' })],
    [],
    pod(),
    [],
  ],
  [
    'a rule of a link that is there is',
    [addedRule({ ...RULE, iif: 'eth0' })],
    [],
    pod(),
    [addedRule({ ...RULE, iif: 'eth0' })],
  ],
  ['names are no matter of this', [{ op: 'add-altname', link: 2, name: 'x' }], [], pod(), []],
];

for (const [what, recorded, by, there, lost] of LOST) {
  t.test(`lost: ${what}`, async (t) => {
    const own = attachment(...recorded);
    t.strictSame(lostChanges(own, [own, attachment(...by)], there), lost);
  });
}

t.test('in its place are a route of the same key, and rules for the same packets', async (t) => {
  const beside = { ...OTHER, table: 9 };
  t.strictSame(rivalsOf(added(OURS), pod([OTHER, beside])), [added(OTHER)]);
  const other = { ...RULE, table: 9 };
  t.strictSame(rivalsOf(addedRule(RULE), pod([OTHER], [other, { ...other, priority: 8 }])), [addedRule(other)]);
  t.strictSame(rivalsOf(deleted(OURS), pod([OTHER], [other])), []);
});

const V6 = (...gws: string[]): Route => ({
  ...routeVia('fd00::1', { dst: '2001:db8::/32', family: 6, link: 2, protocol: 87 }),
  hops: gws.map((gw) => ({ gw, oif: 2 })),
});
const BOTH = V6('fd00::1', 'fd00::2');
const HOPS: [what: string, change: Change, there: Route[], missing: string[] | undefined][] = [
  ['the one that is not there', added(BOTH), [V6('fd00::1')], ['fd00::2']],
  ['none where nothing is left of it', added(BOTH), [], undefined],
  ['none where all are there', added(BOTH), [BOTH], undefined],
  ['none beside a hop of another', added(BOTH), [V6('fd00::1', 'fd00::9')], undefined],
  ['none beside the route of another', added(BOTH), [{ ...V6('fd00::1'), protocol: 4 }], undefined],
  ['none beside one that leads nowhere', added(BOTH), [{ ...V6(), type: 'blackhole' }], undefined],
  ['none of IPv4', added({ ...OURS, hops: [...OURS.hops, { gw: '10.0.0.2', oif: 2 }] }), [OURS], undefined],
  ['none of what is no route', addedRule(RULE), [V6('fd00::1')], undefined],
];

for (const [what, change, there, missing] of HOPS) {
  t.test(`hops to append: ${what}`, async (t) => {
    t.strictSame(
      lostHops(change, pod(there))?.hops.map(({ gw }) => gw),
      missing,
    );
  });
}

t.test('what is lost, and who has its place, is said in the words of ip', async (t) => {
  t.equal(describeLost(added(OURS), pod()), '10.1.0.0/16 via 10.0.0.1 dev eth0');
  t.equal(describeLost(addedRule(RULE), pod()), 'rule priority 7 from 10.0.0.5/32 lookup 100');
  t.equal(describeLost(deleted(OURS), pod()), '');
  t.equal(describeHolder(added(OTHER), pod()), '10.1.0.0/16 via 10.0.0.9 dev eth0 proto static');
  t.equal(
    describeHolder(addedRule({ ...RULE, protocol: 16 }), pod()),
    'rule priority 7 from 10.0.0.5/32 lookup 100 proto dhcp',
  );
  const { protocol: _, ...old } = RULE;
  t.match(describeHolder(addedRule(old), pod()), /proto 0$/);
  t.equal(describeHolder(deleted(OURS), pod()), '');
});

t.test('protocols have the names of iproute2’s table', async (t) => {
  // /etc/iproute2/rt_protos of iproute2 6.
  const names = {
    ...{ 1: 'redirect', 2: 'kernel', 3: 'boot', 4: 'static', 9: 'ra', 11: 'zebra', 12: 'bird', 16: 'dhcp' },
    ...{ 17: 'mrouted', 18: 'keepalived', 42: 'babel', 84: 'ovn', 99: 'openr', 186: 'bgp', 187: 'isis' },
    ...{ 188: 'ospf', 189: 'rip', 192: 'eigrp', 87: '87', 200: '200' },
  };
  for (const [protocol, name] of Object.entries(names))
    t.match(describeHolder(added({ ...OTHER, protocol: Number(protocol) }), pod()), new RegExp(` proto ${name}$`));
});
