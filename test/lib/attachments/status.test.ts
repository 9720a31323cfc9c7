import t from 'tap';
import {
  type Attached,
  defaultOf,
  formatStatus,
  isOfDefinition,
  isSameStatus,
  parseStatus,
  statusOf,
} from '../../../lib/attachments/status.ts';

const DEFAULT = { name: 'cluster', interface: 'eth0', ips: ['10.1.0.7'], default: true, dns: { domain: 'x' } };
const link = (name: string, addresses: string[] = [], altnames: string[] = []) => ({
  ...{ name, altnames, addresses },
  mac: `02:00:00:00:00:0${name.at(-1)}`,
  mtu: 1500,
});
const own = (ifname: string, result: object = {}, links = [ifname]): Attached => ({
  ...{ network: 'shop/blue', ifname, links },
  result: result as Attached['result'],
});

t.test('the default entry first and as it was, the attachments in order, then what others wrote', async (t) => {
  const others = [{ name: 'node-wide', interface: 'x0' }];
  const stale = [{ name: 'shop/gone', interface: 'net9' }];
  const links = [link('eth0'), link('net2', ['10.2.0.2', 'fd00::2']), link('net1', ['10.2.0.1'])];
  const result = { dns: { nameservers: ['10.0.0.1'] }, routes: [{ dst: '0.0.0.0/0', gw: '10.2.0.254' }] };
  const attached = [own('net2', result), own('net1')];
  t.strictSame(statusOf([...stale, ...others, DEFAULT], [], attached, links), [
    DEFAULT,
    {
      name: 'shop/blue',
      interface: 'net2',
      ips: ['10.2.0.2', 'fd00::2'],
      mac: '02:00:00:00:00:02',
      mtu: 1500,
      dns: { nameservers: ['10.0.0.1'] },
      gateway: ['10.2.0.254'],
    },
    { name: 'shop/blue', interface: 'net1', ips: ['10.2.0.1'], mac: '02:00:00:00:00:01', mtu: 1500, dns: {} },
    ...others,
  ]);
});

t.test('a default entry that is gone comes back; one that is there is not replaced', async (t) => {
  t.strictSame(statusOf([], [DEFAULT], [], []), [DEFAULT]);
  t.strictSame(statusOf([{ ...DEFAULT, mtu: 9000 }], [DEFAULT], [], []), [{ ...DEFAULT, mtu: 9000 }]);
  t.match(defaultOf([link('lo'), link('eth0', ['10.1.0.7'])], 'cluster'), [
    { name: 'cluster', interface: 'eth0', ips: ['10.1.0.7'], default: true },
  ]);
  t.strictSame(defaultOf([link('lo')], 'cluster'), []);
});

t.test('a link without addresses has none in its entry', async (t) => {
  const [bare, { mac: _, ...rest }] = [link('eth0'), link('net1')];
  const { mac } = bare;
  t.strictSame(defaultOf([bare], 'cluster'), [
    { name: 'cluster', interface: 'eth0', mac, mtu: 1500, default: true, dns: {} },
  ]);
  t.strictSame(defaultOf([{ ...rest, name: 'eth0' }], 'cluster'), [
    { name: 'cluster', interface: 'eth0', mtu: 1500, default: true, dns: {} },
  ]);
  t.strictSame(statusOf([], [], [own('net1')], [rest]), [{ name: 'shop/blue', interface: 'net1', mtu: 1500, dns: {} }]);
});

t.test('an entry of others stays as they wrote it, but for what is not so', async (t) => {
  const entry = { name: 'shop/blue', interface: 'net1', ips: ['10.2.0.9'], 'device-info': { type: 'pci' }, dns: {} };
  const birth: Attached = { network: 'shop/blue', ifname: 'net1', links: ['net1'], result: undefined };
  t.strictSame(statusOf([entry], [], [birth], [link('net1', ['10.2.0.1'])]), [{ ...entry, ips: ['10.2.0.1'] }]);
  const swapped = { ...entry, ips: ['fd00::1', '10.2.0.1'] };
  t.strictSame(statusOf([swapped], [], [birth], [link('net1', ['10.2.0.1', 'fd00::1'])]), [swapped], 'another order');
});

t.test('a renamed link has its new name, and an attachment without a link one entry', async (t) => {
  const links = [link('blue1', ['10.2.0.1'], ['net1'])];
  t.match(statusOf([], [], [own('net1', {}, ['net1', 'blue1'])], links), [{ interface: 'blue1' }]);
  t.equal(statusOf([], [], [own('net1', {}, ['net1', 'blue1'])], links).length, 1);
  t.match(statusOf([], [], [own('net1', {}, [])], []), [{ name: 'shop/blue', interface: 'net1', dns: {} }]);
  t.strictSame(statusOf([], [], [own('net1')], []), [], 'its link is lost');
});

t.test('reads what others write, and says when two are the same', async (t) => {
  for (const text of [undefined, '', 'x', '{}', '7']) t.equal(parseStatus(text), undefined, String(text));
  t.strictSame(parseStatus('[1,{"name":"a"},null]'), [{ name: 'a' }]);
  t.ok(isSameStatus([{ a: 1, b: 2 }], [{ b: 2, a: 1 }]));
  t.notOk(isSameStatus([{ a: 1 }, { b: 2 }], [{ b: 2 }, { a: 1 }]));
  t.strictSame(parseStatus(formatStatus([DEFAULT])), [DEFAULT]);
  const entry = { name: 'shop/blue', interface: 'net1' };
  t.ok(isOfDefinition(entry));
  for (const changes of [
    { name: 'blue' },
    { interface: 'eth0' },
    { interface: 'lo' },
    { default: true },
    { name: 7 },
  ]) {
    t.notOk(isOfDefinition({ ...entry, ...changes }), JSON.stringify(changes));
  }
});
