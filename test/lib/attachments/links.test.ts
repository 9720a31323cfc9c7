import { readdirSync } from 'node:fs';
import t from 'tap';
import { gatewaysIn, linkNamed, linkNames, linksIn, type PodLink } from '../../../lib/attachments/links.ts';
import * as errors from '../../../lib/netlink/errors.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { noNamespaces, scratchNamespace, settle } from '../../support/namespaces/namespace.ts';

const link = (name: string, ...altnames: string[]): PodLink => ({ name, altnames, mtu: 1500, addresses: [] });
const LINKS = [link('lo'), link('eth0', 'net1'), link('net1')];

t.test('a link is found by its name before another by its altname', async (t) => {
  t.equal(linkNamed(LINKS, 'net1'), LINKS[2]);
  t.equal(linkNamed(LINKS.slice(0, 2), 'net1'), LINKS[1]);
  t.equal(linkNamed(LINKS, 'net2'), undefined);
});

t.test(
  'the links of an attachment are those of its result, or the interface itself where that names none',
  async (t) => {
    const result = { interfaces: [{ name: 'br0' }, { name: 'a', sandbox: '/n' }] };
    t.strictSame(linkNames('eth0', result, LINKS), ['a']);
    t.strictSame(linkNames('eth0', { interfaces: [] }, LINKS), ['eth0']);
    t.strictSame(linkNames('eth9', {}, LINKS), []);
    t.strictSame(linkNames('eth0', undefined, LINKS), [], 'nothing is known of it');
  },
);

t.test('what a namespace has', { skip: noNamespaces }, async (t) => {
  const pod = scratchNamespace(t);
  pod.ip('link add eth0 address 02:00:00:00:00:01 mtu 1400 type veth peer name peer');
  pod.ip('link property add dev eth0 altname first');
  for (const name of ['peer', 'eth0']) pod.ip(`link set ${name} up`);
  pod.ip('address add 10.1.0.5/24 dev eth0');
  pod.ip('address add 10.2.0.5/24 dev eth0 scope link');
  pod.ip('address add 10.3.0.5/24 dev eth0 valid_lft 1000 preferred_lft 1000');
  pod.ip('-6 address add fd00:1::5/64 dev eth0 nodad');
  settle(pod);
  const named = (withAddresses?: boolean) => linkNamed(linksIn(pod.path, withAddresses), 'eth0');
  const plain = { name: 'eth0', altnames: ['first'], mac: '02:00:00:00:00:01', mtu: 1400 };
  t.strictSame(named(), { ...plain, addresses: ['10.1.0.5', 'fd00:1::5'] }, 'lasting ones that lead further');
  t.strictSame(named(false), { ...plain, addresses: [] });

  t.strictSame(gatewaysIn(pod.path), new Map());
  pod.ip('route add default via 10.1.0.1');
  pod.ip('-6 route add default via fd00:1::1');
  pod.ip('route add default via 10.1.0.9 metric 50');
  t.strictSame(gatewaysIn(pod.path), new Map([['eth0', ['10.1.0.1', 'fd00:1::1']]]));
  pod.ip('route replace default dev eth0');
  t.strictSame(gatewaysIn(pod.path), new Map([['eth0', ['fd00:1::1']]]), 'one without a gateway');
});

t.test('the node’s own namespace is never a pod’s', async (t) => {
  for (const path of ['/proc/self/ns/net', '/proc/thread-self/ns/net']) {
    const message = `${path} is the node's own network namespace`;
    t.throws(() => linksIn(path), { message });
    t.throws(() => gatewaysIn(path), { message });
  }
});

t.test('nothing that was looked at stays open', { skip: noNamespaces }, async (t) => {
  const pod = scratchNamespace(t);
  const open = () => readdirSync('/proc/self/fd').length;
  linksIn(pod.path);
  const before = open();
  linksIn(pod.path);
  gatewaysIn(pod.path);
  t.throws(() => linksIn('/proc/self/ns/net'));
  t.equal(open(), before);
});

t.test('a table of more than a mebibyte is not read; any other failure is one', { skip: noNamespaces }, async (t) => {
  const pod = scratchNamespace(t);
  const limits: unknown[] = [];
  const open = (...args: Parameters<typeof RouteSocket.open>) => {
    limits.push(args[1]);
    return RouteSocket.open(...args);
  };
  const failing = async (error: Error) => {
    const findDefaultRoutes = () => {
      throw error;
    };
    return await t.mockImport<typeof import('../../../lib/attachments/links.ts')>('../../../lib/attachments/links.ts', {
      '../../../lib/netlink/default-routes.ts': { findDefaultRoutes },
      '../../../lib/netlink/socket.ts': { RouteSocket: { open } },
      '../../../lib/netlink/errors.ts': errors,
    });
  };
  const tooLarge = await failing(new errors.DumpTooLarge('routes', 1_048_576));
  t.equal(tooLarge.gatewaysIn(pod.path), undefined);
  t.strictSame(limits, [{ dumpBytes: 1_048_576 }]);
  const odd = await failing(new Error('odd'));
  t.throws(() => odd.gatewaysIn(pod.path), { message: 'odd' });
});
