import t from 'tap';
import { parsePrefix } from '../../../lib/address/prefix.ts';
import {
  addAddressRequest,
  decodeAddress,
  deleteAddressRequest,
  isNotYetUsable,
  isUsable,
  type LinkAddress,
  lastingAddress,
  listAddresses,
  updateAddressRequest,
} from '../../../lib/netlink/address.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { buildExampleState } from '../../support/namespaces/example-state.ts';
import { addressOf, golden, type IpObject } from '../../support/namespaces/ip-json.ts';
import { noNamespaces, run, scratchNamespace } from '../../support/namespaces/namespace.ts';
import { attribute, message, replay, socketIn } from '../../support/namespaces/transport.ts';

t.test('the recorded dumps are decoded to what ip -j -d address printed of the same links', async (t) => {
  const { ip, received } = golden('addresses');
  const all: LinkAddress[] = [];
  for (const printed of ip) {
    const found = listAddresses(
      new RouteSocket(replay(received[String(printed.ifindex)] ?? [])),
      Number(printed.ifindex),
    );
    t.strictSame(found.map(withoutFlags), addressesOf(printed), String(printed.ifname));
    all.push(...found);
  }
  // The recording holds every case that there is.
  for (const key of ['peer', 'broadcast', 'label'] as const)
    t.ok(
      all.some((address) => address[key] !== undefined),
      key,
    );
  for (const key of ['secondary', 'deprecated'] as const)
    t.ok(
      all.some((address) => address[key]),
      key,
    );
  t.ok(all.some(({ permanent }) => !permanent));
  t.ok(all.some(({ peer, prefix }) => peer !== undefined && prefix.family === 6));
});

t.test('in a real namespace', { skip: noNamespaces }, async (t) => {
  const pod = scratchNamespace(t);
  buildExampleState(pod.ip);
  const socket = socketIn(t, pod);

  t.test('listAddresses is what ip -j -d address prints of each link', async (t) => {
    for (const printed of pod.ipJson('-d address show')) {
      const found = listAddresses(socket, Number(printed.ifindex));
      t.strictSame(found.map(withoutFlags).map(rounded), addressesOf(printed).map(rounded), String(printed.ifname));
    }
  });

  t.test('an IPv6 address of a link that was never up is tentative, one with nodad is not', async (t) => {
    pod.ip('link add new type veth peer name newpeer');
    run('ip', ['netns', 'exec', pod.name, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv6/conf/new/accept_dad']);
    pod.ip('-6 address add fd00:5::1/64 dev new');
    pod.ip('-6 address add fd00:5::2/64 dev new nodad');
    const [printed] = pod.ipJson('-d address show dev new');
    const found = listAddresses(socket, Number(printed?.ifindex));
    t.strictSame(found.map(withoutFlags), addressesOf(printed ?? {}));
    const tentative = found.filter((address) => address.tentative).map(({ prefix }) => prefix.address);
    t.strictSame(tentative, ['fd00:5::1']);
  });

  t.test('a link without addresses has none, and so has a link that is not there', async (t) => {
    const [ifb] = pod.ipJson('link show dev ifb0');
    t.strictSame(listAddresses(socket, Number(ifb?.ifindex)), []);
    t.throws(() => listAddresses(socket, 9999), { name: 'NetlinkError', code: 'ENODEV' });
  });
});

t.test('decodeAddress', async (t) => {
  // struct ifaddrmsg: family, prefix length, flags, scope, u32 link; IFA_F_TENTATIVE is 0x40, IFA_F_PERMANENT 0x80.
  const header = (family: number, flags: number) => Buffer.of(family, 24, flags, 0, 7, 0, 0, 0);
  const decode = (type: number, ...data: Uint8Array[]) =>
    decodeAddress({ type, flags: 0, seq: 1, port: 0, data: message({ type, seq: 1 }, ...data).subarray(16) });
  const local = attribute(2, Buffer.of(10, 0, 0, 1));

  t.test('takes the flags of the header where there is no IFA_FLAGS, and of IFA_FLAGS where there is', async (t) => {
    t.match(decode(20, header(2, 0xc0), local), { tentative: true, permanent: true, secondary: false, link: 7 });
    t.match(decode(20, header(2, 0xc0), local, attribute(8, Buffer.of(0x21, 0, 0, 0))), {
      tentative: false,
      permanent: false,
      secondary: true,
      deprecated: true,
    });
  });
  t.test('gives an address without IFA_CACHEINFO lifetimes for ever', async (t) => {
    t.match(decode(20, header(2, 0), local), { preferredLifetime: 4294967295, validLifetime: 4294967295 });
  });
  t.test('takes IFA_ADDRESS where there is no IFA_LOCAL, as for IPv6, and then there is no peer', async (t) => {
    const address = decode(20, header(10, 0x80), attribute(1, Buffer.from('fd000000000000000000000000000001', 'hex')));
    t.strictSame(address?.prefix, { family: 6, address: 'fd00::1', length: 24 });
    t.notOk(address && 'peer' in address);
  });
  t.test('is undefined for other messages, other families and messages without an address', async (t) => {
    t.equal(decode(21, header(2, 0), local), undefined);
    t.equal(decode(20, header(7, 0), local), undefined);
    t.equal(decode(20, header(2, 0)), undefined);
  });
});

t.test('requests have an address as it was read, by the layout of linux/if_addr.h', async (t) => {
  const address: LinkAddress = {
    ...lastingAddress(parsePrefix('10.0.0.5/24'), 7),
    ...{ peer: '10.0.0.6', broadcast: '10.0.0.255', label: 'eth0:1', metric: 9, protocol: 3, scope: 253 },
    // IFA_F_PERMANENT, which is the kernel's to give, and IFA_F_NOPREFIXROUTE, which is not.
    ...{ flags: 0x280, preferredLifetime: 1000, validLifetime: 2000 },
  };
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  const local = attribute(2, Buffer.of(10, 0, 0, 5));
  const lifetimes = Buffer.concat([number(1000), number(2000), Buffer.alloc(8)]);
  const whole = Buffer.concat([
    ...[Buffer.of(2, 24, 0, 253, 7, 0, 0, 0), local, attribute(1, Buffer.of(10, 0, 0, 6))],
    ...[attribute(4, Buffer.of(10, 0, 0, 255)), attribute(3, Buffer.from('eth0:1\0')), attribute(9, number(9))],
    ...[attribute(11, Buffer.of(3)), attribute(8, number(0x200)), attribute(6, lifetimes)],
  ]);
  const hex = ({ type, flags, payload }: ReturnType<typeof addAddressRequest>) => [
    type,
    flags,
    Buffer.from(payload).toString('hex'),
  ];
  // RTM_NEWADDR with NLM_F_CREATE and NLM_F_EXCL, or with NLM_F_REPLACE; RTM_DELADDR.
  t.strictSame(hex(addAddressRequest(address)), [20, 0x600, whole.toString('hex')]);
  t.strictSame(hex(updateAddressRequest(address)), [20, 0x100, whole.toString('hex')]);
  const least = Buffer.concat([Buffer.of(2, 24, 0, 0, 7, 0, 0, 0), local]);
  t.strictSame(hex(deleteAddressRequest(address)), [21, 0, least.toString('hex')]);

  const v6 = lastingAddress(parsePrefix('fd00::5/64'), 7);
  const bytes = Buffer.from('fd000000000000000000000000000005', 'hex');
  const flagsOf = (flags: number) =>
    Buffer.concat([
      ...[Buffer.of(10, 64, 0, 0, 7, 0, 0, 0), attribute(2, bytes), attribute(1, bytes), attribute(8, number(flags))],
      attribute(6, Buffer.concat([Buffer.alloc(8, 0xff), Buffer.alloc(8)])),
    ]).toString('hex');
  // IFA_F_NODAD.
  t.equal(hex(addAddressRequest(v6))[2], flagsOf(2));
  t.equal(hex(updateAddressRequest(v6))[2], flagsOf(0));
});

t.test('an address is usable, will be, or neither', async (t) => {
  const global = lastingAddress(parsePrefix('fd00::5/64'), 7);
  const tentative = { ...global, tentative: true };
  const [optimistic, failed] = [4, 8].map((flag) => ({ ...tentative, flags: tentative.flags | flag }));
  const cases: [address: LinkAddress | undefined, isUsable: boolean, isNotYet: boolean][] = [
    [global, true, false],
    [tentative, false, true],
    [optimistic, true, false],
    [failed, false, false],
    [lastingAddress(parsePrefix('fe80::5/64'), 7), false, false],
    [{ ...global, secondary: true }, false, false],
    [{ ...global, deprecated: true }, false, false],
    [{ ...tentative, deprecated: true }, false, false],
  ];
  for (const [address = global, now, later] of cases)
    t.strictSame([isUsable(address), isNotYetUsable(address)], [now, later], JSON.stringify(address));
});

type Shown = Omit<LinkAddress, 'flags' | 'protocol'>;

// `ip -j` prints the flags one by one, as the other fields have them; the protocol only from 6.3 on.
function withoutFlags({ flags: _, protocol: __, ...address }: LinkAddress): Shown {
  return address;
}

function addressesOf(printed: IpObject): Shown[] {
  return (printed.addr_info as IpObject[]).map((info) => addressOf(info, Number(printed.ifindex)));
}

// Lifetimes count down between two readings.
function rounded(address: Shown): Shown {
  const { preferredLifetime, validLifetime } = address;
  const round = (seconds: number) => Math.ceil(seconds / 1000) * 1000;
  return { ...address, preferredLifetime: round(preferredLifetime), validLifetime: round(validLifetime) };
}
