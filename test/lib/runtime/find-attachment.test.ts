import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { cacheResult } from '../../../lib/runtime/cache.ts';
import { attachmentsIn, CACHE_DIRS } from '../../../lib/runtime/find-attachment.ts';
import { parseNetwork } from '../../../lib/runtime/network.ts';
import { noNamespaces, scratchNamespace } from '../../support/namespaces/namespace.ts';

const LIST = parseNetwork({ cniVersion: '1.0.0', name: 'blue', plugins: [{ type: 'a' }] }, 'x');

t.test('an attachment is in the namespace at its path, whoever has cached it', async (t) => {
  const folder = t.testdir({ broken: 'a file' });
  const [a, b] = [join(folder, 'a'), join(folder, 'b')];
  const put = (where: string, ifname: string, netns: string, result: object, list = LIST) =>
    cacheResult(where, list, { containerID: 'c', netns, ifname, args: [], capabilityArgs: {} }, result);
  put(a, 'eth0', '/nowhere/one', {});
  put(a, 'eth1', '/nowhere/two', {});
  put(b, 'eth2', '', { interfaces: [null, { name: 'br0' }, { name: 'eth2', sandbox: '/nowhere/one' }] });
  put(b, 'eth3', '', { interfaces: 'none' });
  put(b, 'eth4', '/nowhere/one', {}, parseNetwork({ cniVersion: '1.0.0', name: 'red', plugins: [{ type: 'a' }] }, 'x'));
  const found = (netns: string, ...caches: string[]) =>
    attachmentsIn(netns, 'blue', caches).map(({ input }) => input.ifname);
  t.strictSame(found('/nowhere/one', a, join(folder, 'broken'), join(folder, 'none'), b), ['eth0', 'eth2']);
  t.strictSame(found('/nowhere/three', a, b), []);
  t.strictSame(found('', a, b), []);
  t.strictSame(CACHE_DIRS, ['/var/lib/cni', '/var/lib/cni/multus']);
});

t.test('two paths of one namespace are one place, those of two are not', { skip: noNamespaces }, async (t) => {
  const [pod, other] = [scratchNamespace(t), scratchNamespace(t)];
  const folder = t.testdir();
  const input = { containerID: 'c', netns: pod.path, ifname: 'eth0', args: [], capabilityArgs: {} };
  cacheResult(folder, LIST, input, {});
  const asSeen = `/proc/self/root${pod.path}`;
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  t.equal(attachmentsIn(asSeen, 'blue', [folder]).length, 1);
  t.equal(attachmentsIn(other.path, 'blue', [folder]).length, 0);
  t.equal(open(), before, 'nothing stays open');
});
