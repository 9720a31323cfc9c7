import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openExplainedPod, type PodOptions } from '../../cli/explained-pod.ts';
import { cacheResult } from '../../lib/runtime/cache.ts';
import { parseNetwork } from '../../lib/runtime/network.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';

const listOf = (cniVersion: string, ...types: string[]) =>
  parseNetwork({ cniVersion, name: 'blue', plugins: types.map((type) => ({ type })) }, 'x');
const LIST = listOf('1.0.0', 'bridge', 'ours');
const isOurs = (type: string) => type === 'ours';
const NOTHING = 'no pod is inspected, only the configs: see --netns and --prev-result';
const resultFor = (sandbox: string) => ({
  cniVersion: '1.0.0',
  interfaces: [{ name: 'br0' }, { name: 'eth0', sandbox }],
  ips: [{ address: '10.0.0.5/24', interface: 1 }],
});

t.test('a pod that nobody names is none in particular', async (t) => {
  const { attachment, close, ...others } = openExplainedPod(LIST, {}, {}, isOurs);
  t.strictSame(others, { prevResult: undefined, observed: undefined, notes: [NOTHING] });
  t.match(attachment, { netns: '/nonexistent', ifname: 'eth0' });
  close();
});

t.test('a pod that a result describes has the links of the result', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'result');
  const explained = (result: unknown, list = LIST) => {
    writeFileSync(file, JSON.stringify(result));
    return openExplainedPod(list, { prevResult: file }, {}, isOurs);
  };
  const { attachment, prevResult, observed, notes } = explained(resultFor('/run/netns/x'));
  t.equal(attachment.netns, '/run/netns/x');
  t.strictSame(prevResult, resultFor('/run/netns/x'));
  t.ok(observed?.linkNamed('eth0'));
  t.strictSame(notes, []);
  for (const interfaces of [undefined, 'none', [null, {}, { sandbox: '' }, { sandbox: 5 }]])
    t.match(explained({ cniVersion: '1.0.0', interfaces }).attachment, { netns: '/nonexistent' });
  t.equal(
    explained({ cniVersion: '1.0.0', ips: 5 }).observed,
    undefined,
    'a result that is wrong is the plugins’ to tell',
  );
  t.equal(explained(resultFor('/n'), listOf('9.0.0', 'ours')).observed, undefined, 'as is a version');
});

t.test('a pod in a namespace', { skip: noNamespaces }, async (t) => {
  const { path, ip } = scratchPod(t);
  ip('link set dev lo up');
  const folder = scratchFolder(t);
  const cacheDir = join(folder, 'cache');
  const explained = (options: PodOptions = {}, env = {}, list = LIST) => {
    const pod = openExplainedPod(list, { netns: path, cacheDir, ...options }, env, isOurs);
    t.teardown(pod.close);
    return pod;
  };
  const unknown = 'the result of bridge and its gateways are unknown: see --prev-result';

  t.test('that nobody has cached has what it has, and says what is unknown', async (t) => {
    const { attachment, prevResult, observed, notes } = explained();
    t.match(attachment, { netns: path, ifname: 'eth0' });
    t.equal(prevResult, undefined);
    t.ok(observed?.linkNamed('eth0'));
    t.strictSame(notes, [unknown]);
    t.strictSame(explained({}, {}, listOf('1.0.0', 'ours')).notes, [], 'one of ours waits for nobody');
  });

  t.test('without the interface has only its configs validated, if another plugin makes it', async (t) => {
    const { observed, notes } = explained({ ifname: 'net1' });
    t.equal(observed, undefined);
    t.strictSame(notes, ['the pod has no net1, which bridge would create: only the configs are validated']);
    const own = explained({ ifname: 'net1' }, {}, listOf('1.0.0', 'ours'));
    t.ok(own.observed);
    t.strictSame(own.notes, []);
  });

  t.test('with a result of the caller’s has that', async (t) => {
    const prevResult = join(folder, 'result');
    writeFileSync(prevResult, JSON.stringify(resultFor(path)));
    const pod = explained({ prevResult });
    t.strictSame(pod.prevResult, resultFor(path));
    t.ok(pod.observed);
    t.strictSame(pod.notes, []);
  });

  t.test('with a cached result has that: the one that is asked for, or the only one', async (t) => {
    const put = (ifname: string) =>
      cacheResult(
        cacheDir,
        LIST,
        { containerID: 'c', netns: path, ifname, args: [['A', ifname]], capabilityArgs: {} },
        resultFor(ifname),
      );
    put('net1');
    const only = explained();
    t.match(only.attachment, { containerID: 'c', netns: path, ifname: 'net1', args: [['A', 'net1']] });
    t.strictSame(only.prevResult, resultFor('net1'));
    t.strictSame(only.notes, ['with the cached result of this attachment, net1']);
    for (const pod of [explained({ ifname: 'eth0' }), explained({}, { CNI_IFNAME: 'eth0' })])
      t.match(pod, { prevResult: undefined, attachment: { ifname: 'eth0' }, notes: [unknown] });
    put('eth0');
    t.match(explained(), { prevResult: resultFor('eth0'), attachment: { ifname: 'eth0' } });
    t.match(explained({ ifname: 'net1' }), { prevResult: resultFor('net1'), attachment: { ifname: 'net1' } });
    t.match(explained({ cacheDir: join(folder, 'other') }), { prevResult: undefined });
  });
});

t.test('a namespace that is none is refused', { skip: noNamespaces }, async (t) => {
  t.throws(() => openExplainedPod(LIST, { netns: '/dev/null' }, {}, isOurs), { code: 4 });
});
