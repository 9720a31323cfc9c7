import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { updateAttachment } from '../../cli/cni-update.ts';
import { cachedAttachments, cacheResult } from '../../lib/runtime/cache.ts';
import { parseNetwork } from '../../lib/runtime/network.ts';
import { type Scratch, scratchFolder } from '../support/namespaces/namespace.ts';
import { openStreams } from '../support/namespaces/tcp.ts';
import { BRIDGE, type ListPlugin, noCnitool, scratchNode } from '../support/plugins/chain.ts';

// `waymark cni update`: an edited list on a pod that runs.

const GATEWAY: ListPlugin = { type: 'seamless-gateway', hostAddresses: ['10.0.32.2'] };
const NAME: ListPlugin = { type: 'consistent-ifname' };
const routes = (...dsts: string[]): ListPlugin => ({ type: 'static-route', routes: dsts.map((dst) => ({ dst })) });

function worldOf(t: Test, ...plugins: ListPlugin[]) {
  const world = scratchNode(t);
  const before = world.pod.routes();
  const write = (...list: ListPlugin[]) =>
    world.writeList({ cniVersion: '1.1.0', name: 'net', plugins: [BRIDGE, ...list] });
  const refused = () => {
    const { status, stderr } = world.drive('waymark cni', 'update', 'net');
    t.not(status, 0);
    return stderr;
  };
  write(...plugins);
  return { ...world, before, write, refused };
}

/** A cache that has the attachment of `eth0`, at `/n`, to a list with these plugins; and its update to others. */
function cacheWith(t: Test, had: ListPlugin[], more: { netns?: string; sandbox?: string } = {}) {
  const cacheDir = scratchFolder(t);
  const listOf = (plugins: ListPlugin[]) => parseNetwork({ cniVersion: '1.0.0', name: 'net', plugins }, 'the test');
  const input = { containerID: 'c', ifname: 'eth0', netns: '/n', args: [], capabilityArgs: {}, ...more };
  const result = { cniVersion: '1.0.0', interfaces: [{ name: 'eth0', sandbox: more.sandbox ?? '/n' }] };
  cacheResult(cacheDir, listOf(had), input, result);
  const update = (now: ListPlugin[], at = { netns: '/n', ifname: 'eth0' }) =>
    updateAttachment(listOf(now), at, { cacheDir, env: {}, log: () => undefined });
  const cached = () => cachedAttachments(cacheDir, 'net');
  return { cacheDir, result, update, cached };
}

t.test('without a plugin of ours, the list must be as it was, and is cached anew', async (t) => {
  const { result, update, cached, cacheDir } = cacheWith(t, [BRIDGE], { netns: '/old', sandbox: '/n' });
  t.match(await update([BRIDGE]), result);
  t.match(cached(), [{ input: { netns: '/n' } }], 'by the path that was named now');
  const another = {
    message: /^only static-route and seamless-gateway can be updated .* another plugin of the list has/,
  };
  for (const now of [[{ ...BRIDGE, mtu: 1400 }], [BRIDGE, NAME], [NAME]]) await t.rejects(update(now), another);
  const absent = 'network "net" is not attached to /n as net1';
  await t.rejects(update([BRIDGE], { netns: '/n', ifname: 'net1' }), { message: absent });
  await t.rejects(update([BRIDGE], { netns: '/m', ifname: 'eth0' }), { message: /is not attached to \/m as eth0/ });
  const [file = ''] = readdirSync(join(cacheDir, 'results'));
  const path = join(cacheDir, 'results', file);
  const document = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify({ ...document, config: '{' }));
  await t.rejects(update([BRIDGE]), { message: 'the cached config of network "net" cannot be read' });
  const single = { cniVersion: '1.0.0', name: 'net', type: 'static-route' };
  writeFileSync(path, JSON.stringify({ ...document, config: Buffer.from(JSON.stringify(single)).toString('base64') }));
  await t.rejects(update([GATEWAY]), { message: /^static-route cannot come to a running pod, or go from it/ });
});

t.test('a plugin of ours neither comes nor goes, and another order of others is another list', async (t) => {
  const moved = (type: string) => ({
    message: new RegExp(`^${type} cannot come to a running pod, or go from it; leave`),
  });
  const { update } = cacheWith(t, [BRIDGE, NAME, GATEWAY]);
  await t.rejects(update([BRIDGE, NAME]), moved('seamless-gateway'));
  await t.rejects(update([BRIDGE, NAME, GATEWAY, routes('10.1.0.0/16')]), moved('static-route'));
  await t.rejects(update([NAME, BRIDGE, GATEWAY]), { message: /another plugin of the list has changed/ });
  // As far as the namespace, which is not there.
  await t.rejects(update([BRIDGE, NAME, { ...GATEWAY, hostAddresses: ['10.0.32.3'] }]), {
    message: /^plugin type="seamless-gateway" failed \(update/,
  });
});

function ours(pod: Scratch): string[] {
  return pod
    .ipJson('route show proto 87')
    .map(({ dst, gateway, type }) => `${dst} ${gateway ?? type}`)
    .sort();
}

t.test('an edited list', { skip: noCnitool }, async (t) => {
  for (const driver of ['cnitool', 'waymark cni'] as const) {
    await t.test(`of what ${driver} attached is applied, and ${driver} checks and deletes it`, async (t) => {
      const { pod, must, write, before, leftovers, folder } = worldOf(t, routes('10.10.0.0/16'), GATEWAY);
      must(driver, 'add', 'net');
      write(routes('10.20.0.0/16', '10.30.0.0/16'), { ...GATEWAY, hostAddresses: ['10.0.32.3'] });
      const result = must('waymark cni', 'update', 'net');
      const wanted = ['10.0.32.3 10.131.0.1', '10.20.0.0/16 10.131.0.1', '10.30.0.0/16 10.131.0.1'];
      t.strictSame(ours(pod), wanted);
      t.strictSame(result.routes?.map(({ dst }) => dst).sort(), ['10.0.32.3/32', '10.20.0.0/16', '10.30.0.0/16']);
      must(driver, 'check', 'net');
      t.strictSame(must('waymark cni', 'update', 'net'), result, 'a second time there is nothing to do');
      const [cache = ''] = leftovers().filter((name) => name.startsWith('net-'));
      const { config } = JSON.parse(readFileSync(join(folder, 'lib/cni/results', cache), 'utf8'));
      t.match(Buffer.from(config, 'base64').toString(), '10.20.0.0/16', 'the cache has the edited list');
      must(driver, 'del', 'net');
      t.equal(pod.routes(), before);
      t.strictSame(leftovers(), []);
    });
  }

  await t.test('is applied to an interface that consistent-ifname has renamed', async (t) => {
    const { pod, must, write, before } = worldOf(t, NAME, routes('10.10.0.0/16'));
    must('waymark cni', 'add', 'net');
    write(NAME, { ...routes('10.20.0.0/16'), sourceRouting: true });
    must('waymark cni', 'update', 'net');
    t.strictSame(ours(pod), ['10.20.0.0/16 10.131.0.1']);
    must('waymark cni', 'check', 'net');
    must('waymark cni', 'del', 'net');
    t.equal(pod.routes(), before);
  });

  await t.test('leaves connections that use other routes alone', async (t) => {
    const { pod, node, must, write } = worldOf(t, routes('10.10.0.0/16'));
    must('waymark cni', 'add', 'net');
    const [address = ''] = pod.ipJson('-4 address show dev eth0').flatMap((link) => {
      return (link.addr_info as { local: string }[]).map(({ local }) => local);
    });
    const streams = await openStreams(t, pod, [node], address);
    t.equal(await streams.goOn(), '1 go on, 0 are broken');
    write(routes('10.20.0.0/16'));
    must('waymark cni', 'update', 'net');
    t.strictSame(ours(pod), ['10.20.0.0/16 10.131.0.1']);
    t.equal(await streams.goOn(), '1 go on, 0 are broken');
  });

  await t.test('that cannot be made changes nothing, in no plugin', async (t) => {
    const { pod, must, write, refused } = worldOf(t, routes('10.10.0.0/16'), GATEWAY);
    must('waymark cni', 'add', 'net');
    const before = pod.routes();
    const impossible = { ...GATEWAY, gateway: '203.0.113.1' };
    write(routes('10.20.0.0/16'), impossible);
    t.match(refused(), /plugin type="seamless-gateway" failed \(update, error 104\): hostAddresses\[0\]: /);
    t.equal(pod.routes(), before, 'what static-route had changed is back');
    write(routes('10.10.0.0/16'), GATEWAY);
    must('waymark cni', 'check', 'net');
  });

  await t.test('of which another plugin has changed is refused', async (t) => {
    const { pod, must, write, refused, writeList } = worldOf(t, NAME, routes('10.10.0.0/16'));
    must('waymark cni', 'add', 'net');
    const before = pod.routes();
    const only =
      /only static-route and seamless-gateway can be updated on a running pod, and another plugin of the list has/;
    write({ ...NAME, prefix: 'eth' }, routes('10.20.0.0/16'));
    t.match(refused(), only);
    writeList({ cniVersion: '1.1.0', name: 'net', plugins: [{ ...BRIDGE, mtu: 1400 }, NAME, routes('10.20.0.0/16')] });
    t.match(refused(), only);
    write(NAME);
    t.match(refused(), /static-route cannot come to a running pod, or go from it/);
    write(NAME, routes('10.20.0.0/16'), GATEWAY);
    t.match(refused(), /seamless-gateway cannot come to a running pod, or go from it/);
    t.equal(pod.routes(), before);
  });

  await t.test('of what is not attached is refused', async (t) => {
    t.match(worldOf(t, routes('10.10.0.0/16')).refused(), /network "net" is not attached to .* as eth0/);
  });
});
