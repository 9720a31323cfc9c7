import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type HotPlugNode, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// Plugins, disks and pods that come to a bad end. The stand-ins are those of controller.test.ts.

const onNode = (title: string, body: (t: Test) => Promise<void>) => t.test(title, { skip: noReferencePlugins }, body);

/** Puts a shell script among the node's plugins, and defines a network of its name. */
function definePlugin(node: HotPlugNode, name: string, script: string): void {
  const bin = join(node.folder, 'bin');
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  node.define(name, { cniVersion: '1.0.0', type: name });
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

const FAILS = `echo '{"code":999,"msg":"out of order"}'; exit 1`;
const SUCCEEDS = `echo '{"cniVersion":"1.0.0"}'`;
const leases = (node: HotPlugNode) => node.leftovers().filter((file) => file.startsWith('leases/'));

onNode('a plugin that fails ADD and DEL is called once per pause, not without end', async (t) => {
  const node = await hotPlugNode(t);
  definePlugin(node, 'broken', FAILS);
  node.pod('web', 'broken@net1', { isAskedFor: true });
  const failed = () => node.events('FailedRemovingInterface').length + node.api.count('PATCH', /\/events\//);
  await until(() => failed() >= 1);
  const calls = node.cri.calls;
  await until(() => failed() >= 2);
  t.ok(node.cri.calls - calls <= 20, `${node.cri.calls - calls} calls of the runtime between two tries`);
});

onNode('forgets a failure when its pod ends, goes, or does not want the network any more', async (t) => {
  const node = await hotPlugNode(t);
  const ends = {
    ended: (path: string) => node.api.put(path, { ...node.api.get(path), status: { phase: 'Succeeded' } }),
    deleted: (path: string) => node.api.delete(path),
    'another mind': (path: string) => {
      const { metadata, ...rest } = node.api.get(path) ?? {};
      node.api.put(path, { ...rest, metadata: { ...metadata, annotations: {} } });
    },
  };
  await until(() => node.api.watching === 1);
  for (const [title, end] of Object.entries(ends)) {
    const pod = node.pod(title.replace(' ', '-'), 'missing@net1');
    await until(() => node.api.watching === 2 && node.controller.status().pending.length === 1);
    end(pod.path);
    await until(() => node.api.watching === 1, `${title}: the definition is still watched`);
    await until(() => node.controller.status().pending.length === 0, `${title}: it is still pending`);
    node.api.delete(pod.path);
  }
});

onNode('a sandbox that cannot be released does not hold up another of the same pod name', async (t) => {
  const node = await hotPlugNode(t);
  definePlugin(node, 'sticky', `[ "$CNI_COMMAND" = ADD ] || { ${FAILS}; }; ${SUCCEEDS}`);
  node.define('blue');
  const first = node.pod('db-0', 'sticky@net1', { uid: 'first' });
  await until(() => node.events('AddedInterface').length === 1);
  for (const sandbox of node.cri.sandboxes) sandbox.ready = false;
  node.api.delete(first.path);
  const second = node.pod('db-0', 'blue@net1', { uid: 'second' });
  await second.has('net1');
  for (const sandbox of node.cri.sandboxes) sandbox.ready = false;
  node.api.delete(second.path);
  await until(() => leases(node).length === 0, 'the lease of the second stays');
  const records = () => node.leftovers().filter((file) => file.startsWith('state/attachments/'));
  await until(() => records().join() === 'state/attachments/cfirst.json', 'the record of the first, and no other');
});

onNode('detaches although nothing can be written, neither a record nor a result', async (t) => {
  const node = await hotPlugNode(t);
  node.define('blue');
  node.define('green');
  const pod = node.pod('web', 'blue@net1,green@net2');
  await pod.has('net1', 'net2');
  // Stands in for a full disk: what is there can be removed, and nothing can be written.
  for (const folder of ['attachments', 'results']) {
    rmSync(join(node.folder, 'state', folder), { recursive: true });
    symlinkSync('/nowhere/at/all', join(node.folder, 'state', folder));
  }
  pod.select('green@net2');
  await pod.has('net2');
  pod.select('');
  await pod.has();
  t.strictSame(leases(node), []);
  t.strictSame(node.events('FailedRemovingInterface'), []);
});

onNode('a plugin that forks for ever ends with all that it has started', async (t) => {
  const node = await hotPlugNode(t, { deadlineMs: 1000 });
  // So many seconds are nobody else's.
  const seconds = `31337.${process.pid}`;
  definePlugin(node, 'forks', `while :; do sleep ${seconds} & sleep 0.02; done`);
  node.define('blue');
  const pod = node.pod('web', 'forks@net1,blue@net2');
  await pod.has('net2');
  const isSaid = (text: string) => /net1 to network: forks: .*did not end within 1 s/.test(text);
  await until(() => node.events('FailedAddingInterface').some(isSaid));
  await node.controller.stop();
  const left = () => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(seconds));
  await until(() => left().length === 0, 'what it has started is still there');
});

onNode('args of a selection cannot set what is the node’s to decide', async (t) => {
  const node = await hotPlugNode(t);
  // Echoes what it was given, as a plugin of ours would read it.
  definePlugin(node, 'echo', `cat > ${node.folder}/given; ${SUCCEEDS}`);
  const args = { dataDir: '/etc', type: '../../bin/sh', name: 'x', prevResult: {}, runtimeConfig: { mac: 'x' } };
  node.pod('web', [{ name: 'echo', interface: 'net1', 'cni-args': args }]);
  await until(() => node.events('AddedInterface').length === 1);
  const given = JSON.parse(readFileSync(join(node.folder, 'given'), 'utf8'));
  t.match(given, { type: 'echo', name: 'echo', args: { cni: args } });
  for (const key of ['dataDir', 'prevResult', 'runtimeConfig']) t.notOk(key in given, key);
});

onNode('begins no further step once it stops', async (t) => {
  const node = await hotPlugNode(t);
  const called = join(node.folder, 'called');
  mkdirSync(called);
  const waits = `while [ ! -e ${node.folder}/go ]; do sleep 0.02; done`;
  definePlugin(node, 'slow', `touch ${called}/$CNI_IFNAME; ${waits}; ${SUCCEEDS}`);
  node.pod('web', 'slow@a,slow@b,slow@c');
  await until(() => existsSync(join(called, 'a')));
  const stopped = node.controller.stop();
  writeFileSync(join(node.folder, 'go'), '');
  await stopped;
  t.strictSame(readdirSync(called), ['a']);
  await node.restart();
  await until(() => readdirSync(called).length === 3, 'the next agent does not go on');
});

onNode('what waits for its turn is not begun once it stops, and has not failed', async (t) => {
  const node = await hotPlugNode(t);
  const called = join(node.folder, 'called');
  mkdirSync(called);
  const waits = `while [ ! -e ${node.folder}/go ]; do sleep 0.02; done`;
  definePlugin(node, 'slow', `touch ${called}/$CNI_CONTAINERID; ${waits}; ${SUCCEEDS}`);
  // Of one network, 8 run at the same time.
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];
  for (const name of names) node.pod(name, 'slow@net1');
  await until(() => readdirSync(called).length === 8 && node.controller.status().delegatesWaiting === 2);
  const stopped = node.controller.stop();
  writeFileSync(join(node.folder, 'go'), '');
  await stopped;
  t.equal(readdirSync(called).length, 8);
  t.strictSame(node.events('FailedAddingInterface'), []);
  t.equal(node.leftovers().filter((file) => file.startsWith('state/attachments/')).length, 8);
  await node.restart();
  await until(() => readdirSync(called).length === names.length, 'the next agent does not go on');
});
