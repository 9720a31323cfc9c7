import t from 'tap';
import { NetlinkError } from '../../../lib/netlink/errors.ts';
import { decodeLink, findLink, listLinks, macText } from '../../../lib/netlink/link.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { buildExampleState } from '../../support/namespaces/example-state.ts';
import { golden, indexByName, linkOf } from '../../support/namespaces/ip-json.ts';
import { noNamespaces, scratchNamespace } from '../../support/namespaces/namespace.ts';
import { replay, socketIn } from '../../support/namespaces/transport.ts';

t.test('the recorded dump is decoded to what ip -j -d link printed of the same links', async (t) => {
  const { ip, received } = golden('links');
  const links = listLinks(new RouteSocket(replay(received.all ?? [])));
  t.strictSame(
    links.map(({ name }) => name),
    ip.map(({ ifname }) => ifname),
  );
  for (const [i, printed] of ip.entries()) {
    t.strictSame(links[i], linkOf(printed, indexByName(ip)), String(printed.ifname));
  }
  t.ok(links.some(({ altnames }) => altnames.length === 3));
  t.ok(links.some(({ master }) => master !== undefined));
  t.strictSame([...new Set(links.map(({ kind }) => kind))].sort(), [
    'bridge',
    'ifb',
    'macvlan',
    'veth',
    'vxlan',
    undefined,
  ]);
});

t.test('a message of another type is not decoded', async (t) => {
  const message = { type: 20, flags: 0, seq: 1, port: 0, data: Buffer.alloc(64) };
  t.equal(decodeLink(message), undefined);
});

t.test('a VRF has its table', async (t) => {
  // struct rtattr (linux/rtnetlink.h): length and type, then the value, up to a multiple of four.
  const attribute = (type: number, value: Buffer) => {
    const head = Buffer.alloc(4);
    head.writeUInt16LE(4 + value.length, 0);
    head.writeUInt16LE(type, 2);
    return Buffer.concat([head, value, Buffer.alloc(-value.length & 3)]);
  };
  const vrf = (kind: string) => {
    const [IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_VRF_TABLE] = [3, 18, 1, 2, 1];
    const data = attribute(IFLA_INFO_DATA, attribute(IFLA_VRF_TABLE, Buffer.from([10, 1, 0, 0])));
    const info = Buffer.concat([attribute(IFLA_INFO_KIND, Buffer.from(`${kind}\0`)), data]);
    const attributes = [attribute(IFLA_IFNAME, Buffer.from('red\0')), attribute(IFLA_LINKINFO, info)];
    return { type: 16, flags: 0, seq: 1, port: 0, data: Buffer.concat([Buffer.alloc(16), ...attributes]) };
  };
  t.match(decodeLink(vrf('vrf')), { name: 'red', kind: 'vrf', vrfTable: 266 });
  t.equal(decodeLink(vrf('other'))?.vrfTable, undefined, 'of another kind, this is something else');
});

t.test('in a real namespace', { skip: noNamespaces }, async (t) => {
  const pod = scratchNamespace(t);
  buildExampleState(pod.ip);
  const socket = socketIn(t, pod);
  const printed = pod.ipJson('-d link show');
  const wanted = printed.map((link) => linkOf(link, indexByName(printed)));

  t.test('listLinks is what ip -j -d link prints', async (t) => {
    t.strictSame(listLinks(socket), wanted);
  });

  t.test('findLink finds each link by its index, its name and every altname, short or long', async (t) => {
    for (const link of wanted) {
      for (const key of [link.index, link.name, ...link.altnames]) t.strictSame(findLink(socket, key), link, `${key}`);
    }
    const eth0 = wanted.find(({ name }) => name === 'eth0');
    t.strictSame(eth0?.altnames, ['net1', 'an-altname-that-is-longer-than-fifteen-bytes', 'änders']);
  });

  t.test('findLink is undefined for a name that no link has, and for the start of a name', async (t) => {
    for (const key of [
      9999,
      'eth',
      'eth00',
      'net',
      'an-altname-that-is-longer',
      'x'.repeat(15),
      'x'.repeat(16),
      'x'.repeat(127),
    ]) {
      t.equal(findLink(socket, key), undefined, `${key}`);
    }
  });

  t.test('findLink throws NetlinkError for a name that is longer than any altname can be', async (t) => {
    const error = t.throws(() => findLink(socket, 'x'.repeat(128)), NetlinkError) as NetlinkError;
    t.match(error, { code: 'ERANGE', operation: `look up link ${'x'.repeat(128)}` });
  });

  t.test('a link that is taken down, renamed or loses an altname is read as it is then', async (t) => {
    pod.ip('link set ifb0 name renamed mtu 1234');
    pod.ip('link set eth0 down');
    pod.ip('link property del dev br0 altname bridge');
    t.equal(findLink(socket, 'ifb0'), undefined);
    t.match(findLink(socket, 'renamed'), { name: 'renamed', mtu: 1234, up: false });
    t.match(findLink(socket, 'eth0'), { up: false });
    t.equal(findLink(socket, 'bridge'), undefined);
    t.strictSame(findLink(socket, 'br0')?.altnames, []);
  });
});

t.test('only the links of its own namespace are seen', { skip: noNamespaces }, async (t) => {
  const [full, empty] = [scratchNamespace(t), scratchNamespace(t)];
  full.ip('link add eth0 type veth peer name peer');
  t.strictSame(
    listLinks(socketIn(t, empty)).map(({ name, loopback, mac }) => [name, loopback, mac]),
    [['lo', true, '00:00:00:00:00:00']],
  );
  t.equal(listLinks(socketIn(t, full)).length, 3);
});

t.test('macText is two digits for each byte, of any length', async (t) => {
  t.equal(macText(Uint8Array.of(0, 0x11, 0xab, 0xc, 0xd, 0xff)), '00:11:ab:0c:0d:ff');
  t.equal(macText(Uint8Array.of(10, 0, 0, 1)), '0a:00:00:01');
  t.equal(macText(new Uint8Array()), '');
});
