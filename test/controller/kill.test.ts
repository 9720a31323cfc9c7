import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { installed } from '../support/build/single.ts';
import { isBusy, startDying } from '../support/kubernetes/dying-agent.ts';
import { type HotPlugNode, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { noReferencePlugins, REFERENCE_FOLDER } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// Something is attached, something detached, and something swapped, each way.
const WANTED = ['blue@net1,green@net2', 'red@net1,blue@net3'];

/** Kills an agent at one boundary after the other, each time while it follows an edit, and lets the next one go on. */
async function killedEverywhere(
  t: Test,
  node: HotPlugNode,
  { begin, isRight, check }: { begin(at: number): void; isRight(): boolean; check(at: number): Promise<void> },
): Promise<void> {
  for (let at = 1, wasKilled = true; wasKilled; at++) {
    await node.controller.stop();
    begin(at);
    const child = startDying(node, at);
    let isGone = false;
    const gone = once(child, 'exit').then(() => {
      isGone = true;
    });
    await until(() => isGone || isRight());
    // It may still have to do something after the status is there.
    await until(async () => isGone || !(await isBusy(child)));
    wasKilled = isGone;
    child.kill('SIGKILL');
    await gone;
    await node.restart();
    await until(isRight, `killed at boundary ${at}: not right in the end`);
    await check(at);
    if (!wasKilled) t.comment(`${at - 1} boundaries`);
    if (!t.passing()) break;
  }
}

t.test(
  'an agent that is killed between any two effects loses, doubles and leaks nothing',
  { skip: noReferencePlugins },
  async (t) => {
    const node = await hotPlugNode(t);
    for (const name of ['blue', 'green', 'red']) node.define(name);
    const pod = node.pod('web', WANTED[0]);
    const leases = () => node.leftovers().filter((file) => file.startsWith('leases/')).length;
    const names = (wanted: string) => wanted.split(',').map((item) => item.split('@')[1] ?? '');
    const isRight = (wanted: string) => {
      const entries = wanted.split(',').map((item) => `default/${item}`);
      const said = pod
        .status()
        .slice(1)
        .map(({ name, interface: ifname }) => `${name}@${ifname}`);
      return said.join() === entries.join() && leases() === entries.length;
    };
    await pod.has(...names(WANTED[0] ?? ''));
    const { mac } = pod.links().net1 ?? {};

    let wanted = '';
    await killedEverywhere(t, node, {
      begin: (at) => {
        wanted = WANTED[at % 2] ?? '';
        pod.select(wanted);
      },
      isRight: () => isRight(wanted),
      check: async (at) => {
        await pod.has(...names(wanted)).catch((error: Error) => t.fail(`killed at boundary ${at}: ${error.message}`));
        t.equal(pod.links().net1?.mac, mac, `killed at boundary ${at}: the hardware address is kept`);
        t.equal(leases(), 2, `killed at boundary ${at}: no lease is lost or doubled`);
      },
    });
    pod.select('');
    await pod.has();
    t.strictSame(node.leftovers(), []);
  },
);

t.test(
  'a default route that an agent was killed at is finished or undone, and the one before comes back',
  { skip: noReferencePlugins },
  async (t) => {
    const node = await hotPlugNode(t);
    const ipam = { type: 'host-local', dataDir: join(node.folder, 'leases'), ranges: [[{ subnet: '10.78.1.0/24' }]] };
    node.define('blue', { cniVersion: '1.0.0', type: 'bridge', bridge: 'br-blue', ipam });
    const pod = node.pod('web', '');
    pod.scratch.ip('route add default via 10.250.0.1 dev eth0');
    const route = () => pod.scratch.ip('route show default').trim();
    const BEFORE = 'default via 10.250.0.1 dev eth0';
    let wanted: unknown[] = [];
    const isRight = () => {
      const said = pod.status().map(({ interface: ifname }) => ifname);
      const expected = wanted.length === 0 ? BEFORE : 'default via 10.78.1.1 dev net1 proto 87';
      return said.length === wanted.length + 1 && route() === expected;
    };
    await killedEverywhere(t, node, {
      begin: (at) => {
        wanted = at % 2 === 1 ? [{ name: 'blue', interface: 'net1', 'default-route': ['10.78.1.1'] }] : [];
        pod.select(wanted);
      },
      isRight,
      check: async (at) => {
        const journals = () => node.leftovers().filter((file) => file.startsWith('data/')).length;
        const what = `killed at boundary ${at}: a journal for what is there, and no other`;
        await until(() => journals() === wanted.length).catch(() => t.equal(journals(), wanted.length, what));
      },
    });
    pod.select('');
    await until(() => route() === BEFORE && node.leftovers().length === 0);
  },
);

t.test(
  'an update of routes that an agent was killed at is finished, or undone where the edit was taken back',
  { skip: noReferencePlugins },
  async (t) => {
    const node = await hotPlugNode(t, { cacheFolders: [] });
    installed(t, join(node.folder, 'bin'));
    const ipam = { type: 'host-local', dataDir: join(node.folder, 'leases'), ranges: [[{ subnet: '10.78.3.0/24' }]] };
    const define = (...dsts: string[]) => {
      const routes = dsts.map((dst) => ({ dst, gw: '10.78.3.1' }));
      const own = { type: 'static-route', dataDir: join(node.folder, 'data'), routes };
      node.define('blue', { cniVersion: '1.0.0', plugins: [{ type: 'bridge', bridge: 'br-blue', ipam }, own] });
    };
    const pod = node.pod('web', 'blue@net1');
    const ours = () =>
      pod.scratch
        .ipJson('route show proto 87')
        .map(({ dst }) => dst)
        .sort()
        .join();
    define('10.1.0.0/16');
    await until(() => ours() === '10.1.0.0/16');
    const recorded = () => {
      const [name = ''] = node.leftovers().filter((file) => file.startsWith('state/attachments/'));
      return name === '' ? '' : readFileSync(join(node.folder, name), 'utf8');
    };
    let wanted = ['10.1.0.0/16'];
    await killedEverywhere(t, node, {
      begin: (at) => {
        wanted = at % 2 === 1 ? ['10.2.0.0/16', '10.3.0.0/16'] : ['10.1.0.0/16'];
        define(...wanted);
      },
      isRight: () => ours() === wanted.join() && wanted.every((dst) => recorded().includes(dst)),
      check: async (at) => {
        t.strictSame(node.events('FailedUpdatingRoutes'), [], `killed at boundary ${at}: nothing was refused`);
        if (at > 3) return;
        // The edit is taken back while no agent runs.
        await node.controller.stop();
        define('10.9.0.0/16');
        const child = startDying(node, at);
        let isGone = false;
        const gone = once(child, 'exit').then(() => {
          isGone = true;
        });
        await until(() => isGone || ours() === '10.9.0.0/16');
        child.kill('SIGKILL');
        await gone;
        define(...wanted);
        await node.restart();
        await until(() => ours() === wanted.join(), `killed at boundary ${at}: the edit is not undone`);
      },
    });
    pod.select('');
    await pod.has();
    t.strictSame(node.leftovers(), []);
    t.strictSame(readdirSync(join(node.folder, 'data/static-route')), [], 'nor a journal');
  },
);

t.test(
  'what a killed agent left running is ended before its work is undone; what a plugin has left running on purpose is not',
  { skip: noReferencePlugins },
  async (t) => {
    const node = await hotPlugNode(t);
    const bin = join(node.folder, 'bin');
    const file = (name: string) => join(node.folder, name);
    mkdirSync(bin);
    // The first ADD of an interface hangs, and would make it much later; the next one leaves a daemon.
    const script = `#!/bin/sh
pids=${file('pids')}.$CNI_IFNAME
if [ "$CNI_COMMAND" = ADD ] && ! [ -e $pids ]; then
  sleep 1000 & echo "$$ $!" >$pids.new; mv $pids.new $pids; wait
elif [ "$CNI_COMMAND" = ADD ]; then
  setsid sleep 1000 >/dev/null 2>&1 & echo $! >${file('daemon')}.$CNI_IFNAME
fi
exec ${REFERENCE_FOLDER}/bridge
`;
    writeFileSync(join(bin, 'slow'), script, { mode: 0o755 });
    const ipam = { type: 'host-local', dataDir: file('leases'), ranges: [[{ subnet: '10.78.2.0/24' }]] };
    node.define('blue', { cniVersion: '1.0.0', type: 'slow', bridge: 'br-blue', ipam });
    const pidsIn = (name: string) => readFileSync(file(name), 'utf8').trim().split(' ').map(Number);
    const pod = node.pod('web', '');
    for (const [ifname, networks] of [
      ['net1', 'blue@net1'],
      ['net2', 'blue@net1,blue@net2'],
    ] as const) {
      await node.controller.stop();
      pod.select(networks);
      const child = startDying(node, 0);
      await until(() => existsSync(file(`pids.${ifname}`)));
      child.kill('SIGKILL');
      await once(child, 'exit');
      await node.restart();
      await until(() => ifname in pod.links());
    }
    await pod.has('net1', 'net2');
    for (const pid of [...pidsIn('pids.net1'), ...pidsIn('pids.net2')])
      await until(() => !runs(pid), 'what hung has not ended');
    const daemons = [...pidsIn('daemon.net1'), ...pidsIn('daemon.net2')];
    for (const pid of daemons) t.ok(runs(pid), 'the daemon runs');
    for (const pid of daemons) process.kill(pid, 'SIGKILL');
    pod.select('');
    await pod.has();
    t.strictSame(node.leftovers(), []);
  },
);

// What has ended, and waits for its parent to notice, has no command.
function runs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}
