import t from 'tap';
import {
  addNeighbourRequest,
  decodeNeighbour,
  deleteNeighbourRequest,
  listNeighbours,
  type Neighbour,
  resolveNeighbourRequest,
} from '../../../lib/netlink/neighbour.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { golden, indexByName, neighbourOf } from '../../support/namespaces/ip-json.ts';
import { noNamespaces, run, scratchPod } from '../../support/namespaces/namespace.ts';
import { attribute, replay, socketIn } from '../../support/namespaces/transport.ts';

t.test('the recorded dumps are decoded to what ip -j neighbour printed of the same links', async (t) => {
  const { ip, received } = golden('neighbours');
  const indexOf = indexByName(golden('links').ip);
  const found = Object.entries(received).flatMap(([index, datagrams]) =>
    listNeighbours(new RouteSocket(replay(datagrams)), Number(index)),
  );
  t.strictSame(sorted(found), sorted(ip.map((printed) => neighbourOf(printed, indexOf))));
  for (const state of ['PERMANENT', 'STALE', 'NOARP', 'REACHABLE'] as const) {
    t.ok(
      found.some((neighbour) => neighbour.state === state),
      state,
    );
  }
});

t.test('decodeNeighbour', async (t) => {
  // struct ndmsg: family, 3 bytes of padding, s32 link, u16 state, flags, type.
  const decode = (family: number, state: number, ...attributes: Buffer[]) => {
    const header = Buffer.of(family, 0, 0, 0, 9, 0, 0, 0, state, 0, 0, 1);
    return decodeNeighbour({ type: 28, flags: 0, seq: 1, port: 0, data: Buffer.concat([header, ...attributes]) });
  };
  const destination = attribute(1, Buffer.of(10, 0, 0, 1));

  // linux/neighbour.h
  const states: [number, Neighbour['state']][] = [
    [0x00, 'NONE'],
    [0x01, 'INCOMPLETE'],
    [0x02, 'REACHABLE'],
    [0x04, 'STALE'],
    [0x08, 'DELAY'],
    [0x10, 'PROBE'],
    [0x20, 'FAILED'],
    [0x40, 'NOARP'],
    [0x80, 'PERMANENT'],
  ];
  for (const [bits, state] of states) {
    t.test(`reads state ${bits} as ${state}, and no mac if there is none`, async (t) => {
      t.strictSame(decode(2, bits, destination), { link: 9, address: '10.0.0.1', state });
    });
  }
  t.test('is undefined for a bridge entry, and for one without an address', async (t) => {
    t.equal(decode(7, 0x80, destination), undefined);
    t.equal(decode(2, 0x80), undefined);
  });
});

t.test('in a real namespace', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const socket = socketIn(t, pod);
  const link = indexByName(pod.ipJson('link show'))('eth0');
  const mac = '02:00:00:00:02:01';
  const permanent = () =>
    pod.ipJson('neighbour show nud permanent').map(({ dst, dev, lladdr, state }) => ({ dst, dev, lladdr, state }));

  for (const address of ['10.244.1.9', 'fd00:244:1::9']) {
    t.test(`${address} is added as ip neighbour shows it, is not added twice, and is deleted once`, async (t) => {
      const change = (request: Parameters<RouteSocket['change']>[0][number]) =>
        socket.change([request], () => 'change');
      t.strictSame(await change(addNeighbourRequest({ link, address, mac })), { sent: 1, refusals: [] });
      t.strictSame(permanent(), [{ dst: address, dev: 'eth0', lladdr: mac, state: ['PERMANENT'] }]);
      t.strictSame(
        listNeighbours(socket, link).filter(({ state }) => state === 'PERMANENT'),
        [{ link, address, mac, state: 'PERMANENT' }],
      );
      t.match(await change(addNeighbourRequest({ link, address, mac })), { refusals: [{ error: { code: 'EEXIST' } }] });
      t.strictSame(await change(deleteNeighbourRequest({ link, address })), { sent: 1, refusals: [] });
      t.strictSame(permanent(), []);
      t.match(await change(deleteNeighbourRequest({ link, address })), { refusals: [{ error: { code: 'ENOENT' } }] });
    });
  }

  // Nobody answers. The kernel asks for a long time, instead of three seconds.
  run('ip', [
    'netns',
    'exec',
    pod.name,
    'sh',
    '-c',
    'for f in /proc/sys/net/ipv[46]/neigh/eth0/mcast_solicit; do echo 1000 >$f; done',
  ]);
  for (const address of ['10.244.1.30', 'fd00:244:1::30']) {
    t.test(`${address} is resolved by the kernel, as far as anybody answers`, async (t) => {
      const outcome = await socket.change([resolveNeighbourRequest({ link, address })], () => 'resolve');
      t.strictSame(outcome, { sent: 1, refusals: [] });
      t.strictSame(
        listNeighbours(socket, link).filter((neighbour) => neighbour.address === address),
        [{ link, address, state: 'INCOMPLETE' }],
      );
    });
  }

  t.test('only the entries of the link that is asked for are listed', async (t) => {
    pod.ip('neighbour add 10.244.1.20 lladdr 02:00:00:00:02:02 dev peer');
    pod.ip('neighbour add 10.244.1.21 lladdr 02:00:00:00:02:03 dev eth0');
    const found = listNeighbours(socket, link).filter(({ state }) => state === 'PERMANENT');
    t.strictSame(
      found.map(({ address }) => address),
      ['10.244.1.21'],
    );
  });
});

function sorted(neighbours: Neighbour[]): Neighbour[] {
  const key = ({ link, address }: Neighbour) => `${link} ${address}`;
  return [...neighbours].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
