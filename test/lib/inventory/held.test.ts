import t from 'tap';
import type { Change } from '../../../lib/change/change.ts';
import { heldChanges } from '../../../lib/inventory/held.ts';
import type { RecordedAttachment } from '../../../lib/inventory/records.ts';
import { plainLink } from '../../../lib/netlink/link.ts';
import { type Route, routeVia } from '../../../lib/netlink/route.ts';
import { Observation } from '../../../lib/observation/observation.ts';

const ROUTE = routeVia('10.0.0.1', { dst: '10.1.0.0/16', family: 4, link: 2, protocol: 87 });
const LOST = routeVia('10.0.0.1', { dst: '10.2.0.0/16', family: 4, link: 2, protocol: 87 });
const pod = (routes: Route[], ...altnames: string[]) =>
  Observation.ofData({ links: [plainLink('lo', 1), { ...plainLink('eth0', 2), altnames }], addresses: [], routes });
const add = (route: Route): Change => ({ op: 'add-route', route });
const remove = (route: Route): Change => ({ op: 'delete-route', route });

const attachment = (...changes: Change[]): RecordedAttachment => ({
  ...{ plugin: 'static-route', containerID: 'c', ifname: 'eth0', network: 'net', journal: '/j', namespace: 'n' },
  ...{ attached: undefined, isIncomplete: false, isLocked: false },
  changes: changes.map((change, index) => ({ change, source: `routes[${index}]` })),
});

function statesOf(observed: Observation, own: Change[], others: Change[] = []): string[] {
  const mine = attachment(...own);
  return heldChanges(mine, [attachment(...others), mine], observed).map(({ state }) => state);
}

t.test('a change holds, is missing, or is one that was taken away and is there again', async (t) => {
  const own = [add(ROUTE), add(LOST), remove(LOST), remove(ROUTE)];
  t.strictSame(statesOf(pod([ROUTE]), own.slice(0, 2)), ['holds', 'missing']);
  t.strictSame(statesOf(pod([ROUTE]), [remove(LOST), remove(ROUTE)]), ['holds', 'returned']);
  const mine = attachment(add(ROUTE), add(LOST));
  t.strictSame(heldChanges(mine, [mine], pod([ROUTE])), [
    { text: 'add route 10.1.0.0/16 via 10.0.0.1 dev eth0', source: 'routes[0]', state: 'holds' },
    { text: 'route 10.2.0.0/16 via 10.0.0.1 dev eth0 is missing', source: 'routes[1]', state: 'missing' },
  ]);
});

t.test('what a later change took back is replaced, not what an earlier one did', async (t) => {
  const gone = remove({ ...LOST, mtu: 1400 });
  t.strictSame(statesOf(pod([]), [add(LOST), gone]), ['replaced', 'holds'], 'whatever metrics it had by then');
  t.strictSame(statesOf(pod([]), [gone, add(LOST)]), ['holds', 'missing']);
  t.strictSame(statesOf(pod([]), [add(LOST)], [gone]), ['replaced'], 'whoever took it');
  t.strictSame(statesOf(pod([]), [add(LOST)], [remove(ROUTE)]), ['missing']);
});

t.test('so is a name that the same link got later', async (t) => {
  const rename = (link: number, from: string, to: string): Change => ({ op: 'rename-link', link, from, to });
  const altname = (name: string): Change => ({ op: 'add-altname', link: 2, name });
  t.strictSame(statesOf(pod([]), [rename(2, 'x', 'y'), rename(2, 'y', 'eth0')]), ['replaced', 'holds']);
  t.strictSame(statesOf(pod([]), [rename(2, 'x', 'y')], [rename(1, 'y', 'lo')]), ['missing'], 'not of another one');
  t.strictSame(statesOf(pod([]), [rename(2, 'x', 'y'), altname('z')]), ['missing', 'missing'], 'nor by another kind');
  t.strictSame(statesOf(pod([], 'z'), [altname('z'), add(ROUTE)]), ['holds', 'missing']);
});
