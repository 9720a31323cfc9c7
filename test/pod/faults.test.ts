import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import { agentStatus } from '../support/agent/node-agent.ts';
import type { ContainerdNode } from '../support/containerd/containerd.ts';
import { ANY_SET, PLUGIN_SETS, type PluginSet, placeScript, putInPlace } from '../support/containerd/plugin-set.ts';
import { CONFIGURED, GREEN_PLUGINS, greenList, look, traces } from '../support/containerd/pod-network.ts';
import { podTier } from '../support/containerd/pod-tier.ts';
import { many, podNames } from '../support/containerd/pods.ts';
import { noStrace } from '../support/plugins/killed.ts';

// Faults of real nodes while a real containerd starts and stops pods.

const tier = await podTier(t);

/** On a busy machine, or a slow disk, many pods start and stop before something has happened often enough. */
const CHURN_MINUTES = 4;

/** On a disk, so that it survives a reboot. */
const ON_DISK = '/var/lib/waymark';

for (const set of PLUGIN_SETS) {
  await tier(`the ${set.name} are replaced while pods start and stop`, async (t, node) => {
    await putInPlace(t, set, node);
    await node.writeLists(greenList());
    const before = await traces(node);

    const begin = Date.now();
    let isOver = false;
    let replacements = 0;
    const replacing = (async () => {
      while (!isOver) {
        replacements++;
        await set.replace(node, replacements);
      }
    })();
    const { failed, seen } = await churn(node, () => replacements > 3).finally(() => {
      isOver = true;
    });
    await replacing;

    t.strictSame(failed, [], 'none fails');
    t.strictSame(seen, Array(seen.length).fill(CONFIGURED), 'each pod has its names and routes');
    t.ok(replacements > 3, 'they were replaced several times');
    const changed = PLUGIN_NAMES.filter((name) => statSync(join(node.binDir, name)).ctimeMs > begin);
    t.strictSame(changed, PLUGIN_NAMES, 'all of them');
    t.comment(`${replacements} replacements while ${seen.length} pods started and stopped`);
    t.strictSame(await traces(node), before, 'nothing is left');
  });
}

await tier(
  'a plugin is killed during ADD',
  async (t, node) => {
    await ANY_SET.install(node, join(node.machine.folder, 'opt/cni/real'));
    for (const plugin of GREEN_PLUGINS) await placeScript(join(node.binDir, plugin), dyingScript(plugin));
    node.machine.run('mkdir', ['-p', '/run/killed']);
    await node.writeLists(greenList());
    const before = await traces(node);

    // From the first observation of the pod to the end, with the journal's rename and the changes in between.
    const points = ['write.3', 'write.5', 'rename.1', 'write.6', 'write.7', 'exit_group.1'];
    const names = GREEN_PLUGINS.flatMap((plugin) => points.map((point) => `${plugin}.${point}`));
    const first = await many(names, 6, (name) => node.runPod(name));
    t.equal(first.failed.length, names.length, 'the pods do not start');
    const deaths = node.machine.run('sh', ['-c', "grep -l '+++ killed by SIGKILL +++' /run/killed/*/trace"]);
    t.equal(deaths.trim().split('\n').length, names.length, 'each because a plugin was killed');
    t.strictSame(await traces(node), before, 'DEL leaves nothing behind');

    const second = await many(names, 6, (name) => node.runPod(name, 1));
    t.strictSame(second.failed, [], 'they start on the next attempt');
    t.strictSame(
      second.done.map(look),
      names.map(() => CONFIGURED),
      'with names and routes',
    );
    await many(second.done, 6, ({ id }) => node.deletePod(id));
    t.strictSame(await traces(node), before, 'nothing is left');
  },
  { skip: noStrace },
);

for (const set of PLUGIN_SETS.filter(({ agent }) => agent)) {
  await tier(
    `${set.name}: the agent is killed repeatedly in the middle of a call`,
    async (t, node) => {
      await putInPlace(t, set, node);
      await node.writeLists(greenList());
      const before = await traces(node);

      const points = ['write.2', 'rename.1', 'write.5', 'unlink.1', 'write.9', 'rename.3'];
      let isOver = false;
      let deaths = 0;
      const killing = (async () => {
        while (!isOver) {
          if (await diesAt(node, set, points[deaths % points.length] ?? '', () => isOver)) deaths++;
          await set.agent?.start(node);
        }
      })();
      // How often it was killed while they started, and while they stopped.
      const died = { come: 0, go: 0 };
      const { failed, seen } = await churn(
        node,
        () => died.come > 3 && died.go > 1,
        async (phase, acts) => {
          const until = deaths;
          await acts;
          died[phase] += deaths - until;
        },
      ).finally(() => {
        isOver = true;
      });
      await killing;

      t.strictSame(failed, [], 'no call is lost');
      t.strictSame(seen, Array(seen.length).fill(CONFIGURED), 'each pod has its names and routes');
      t.strictSame(await traces(node), before, 'nothing is left of them');
      t.ok(died.come > 3 && died.go > 1, 'it was killed while they started, and while they stopped');
      t.comment(
        `${seen.length} pods; the agent was killed ${died.come} times while they started, ${died.go} times while they stopped`,
      );
    },
    { skip: noStrace },
  );
}

const FULL = {
  what: 'full',
  error: /\/run\/small\/consistent-ifname\/.*: cannot be written \(ENOSPC\)/,
  spoil: 'cp /dev/zero small/filler 2>/dev/null || true',
  mend: 'rm small/filler',
  stops: true,
};
const READ_ONLY = {
  what: 'read-only',
  error: /\/run\/small\/consistent-ifname\/.*: cannot be locked \(EROFS: .+\)/,
  spoil: 'mount -o remount,ro small',
  mend: 'mount -o remount,rw small',
  stops: false,
};

const FOLDERS = PLUGIN_SETS.flatMap((set) => [FULL, READ_ONLY].map((folder) => ({ set, ...folder })));
for (const { set, what, error, spoil, mend, stops } of FOLDERS) {
  await tier(`${set.name}: the data folder is ${what}`, async (t, node) => {
    const sh = (script: string) => node.machine.run('sh', ['-c', `cd /run; ${script}`]);
    sh('mkdir small; mount -t tmpfs -o size=64k,mode=0700 small small');
    t.teardown(() => sh('umount small; rmdir small'));
    await putInPlace(t, set, node);
    // One plugin only, because the journals of others would free space when they are removed.
    await node.writeLists(greenList({ dataDir: '/run/small' }, ['consistent-ifname']));
    const before = await traces(node);
    const veteran = await node.runPod('veteran');
    const between = await traces(node);
    sh(spoil);

    await t.rejects(node.runPod('unlucky'), { message: error }, 'the runtime gets the reason');
    const answered = set.agent && agentStatus(node).lastFailures.map(({ verb, message }) => ({ verb, message }));
    if (answered) t.match(answered, [{ verb: 'ADD', message: error }], 'by the agent');
    t.strictSame(await traces(node), between, 'nothing of the pod exists');
    t.strictSame(look(veteran), CONFIGURED, 'a running pod is unchanged');
    if (stops) await node.deletePod(veteran.id);
    else await t.rejects(node.cri.stopPod(veteran.id), { message: /cannot be removed \(EROFS\)/ }, 'and does not stop');

    sh(mend);
    if (!stops) await node.deletePod(veteran.id);
    const pod = await node.runPod('unlucky', 1);
    t.strictSame(look(pod), CONFIGURED, 'the pod starts when the fault is repaired');
    await node.deletePod(pod.id);
    t.strictSame(await traces(node), before, 'nothing is left');
  });
}

const ENDS = PLUGIN_SETS.flatMap((set) => (['SIGTERM', 'SIGKILL'] as const).map((signal) => ({ set, signal })));
for (const { set, signal } of ENDS) {
  await tier(`${set.name}: containerd ends by ${signal} while pods run, and starts again`, async (t, node) => {
    await putInPlace(t, set, node);
    await node.writeLists(greenList());
    const before = await traces(node);
    const pods = await many(podNames(4), 4, (name) => node.runPod(name));
    await node.restart(signal);
    t.strictSame(pods.done.map(look), Array(4).fill(CONFIGURED), 'the pods are unchanged');
    const gone = await many(pods.done, 4, ({ id }) => node.deletePod(id));
    t.strictSame(gone.failed, [], 'they can be deleted');
    t.strictSame(await traces(node), before, 'nothing is left');
  });
}

await tier('the node fails while pods run, and restarts with their journals on its disk', async (t, node) => {
  await ANY_SET.install(node);
  await node.writeLists(greenList({ dataDir: ON_DISK }));
  const before = await traces(node);
  const pods = await many(podNames(4), 4, (name) => node.runPod(name));
  t.strictSame(pods.failed, []);
  await node.reboot();
  await node.writeLists(greenList({ dataDir: ON_DISK }));
  t.equal(journalsOf(node).length, 4 * GREEN_PLUGINS.length, 'the journals exist');

  // As the kubelet does: the same pods start again, in new sandboxes, and the old sandboxes are removed.
  const again = await many(podNames(4), 4, (name) => node.runPod(name, 1));
  t.strictSame(again.failed, [], 'the pods start again');
  const stale = (await node.cri.pods()).filter(({ state }) => state === 'SANDBOX_NOTREADY');
  t.equal(stale.length, 4);
  t.strictSame(
    (await many(stale, 4, ({ id }) => node.deletePod(id))).failed,
    [],
    'what is left of the old ones can be removed',
  );
  t.strictSame(again.done.map(look), Array(4).fill(CONFIGURED), 'the new ones have their names and routes');
  t.strictSame((await many(again.done, 4, ({ id }) => node.deletePod(id))).failed, [], 'and can be deleted too');
  t.strictSame(await traces(node), before, 'nothing is left');
});

await tier('the journals of running pods are replaced with journals of another boot', async (t, node) => {
  await ANY_SET.install(node);
  await node.writeLists(greenList({ dataDir: ON_DISK }));
  const before = await traces(node);
  const pods = await many(podNames(2), 2, (name) => node.runPod(name));
  // The container IDs are those of the pods, but the journals describe changes to other namespaces.
  for (const path of journalsOf(node)) {
    const text = readFileSync(path, 'utf8');
    const elsewhere = text.replace(/"namespace":"[^/]*/, '"namespace":"00000000-0000-4000-8000-000000000000');
    t.not(elsewhere, text);
    writeFileSync(path, elsewhere.replaceAll('10.10.0.0/16', '10.131.0.0/23'));
  }
  t.strictSame((await many(pods.done, 2, ({ id }) => node.deletePod(id))).failed, [], 'DEL ignores them');
  t.strictSame(await traces(node), before, 'nothing is left');
});

await tier('the disk has journals that no runtime knows', async (t, node) => {
  await ANY_SET.install(node);
  await node.writeLists(greenList({ dataDir: ON_DISK }));
  const before = await traces(node);
  const pod = await node.runPod('survivor');
  for (const path of journalsOf(node)) {
    writeFileSync(path.replace(pod.id, 'gone'), readFileSync(path, 'utf8').replace(pod.id, 'gone'), { mode: 0o600 });
  }
  const valid = [{ containerID: pod.id, ifname: 'eth0' }];
  for (const plugin of GREEN_PLUGINS) {
    const config = { cniVersion: '1.1.0', name: 'green', type: plugin, dataDir: ON_DISK };
    node.machine.run(`/opt/cni/bin/${plugin}`, [], {
      input: JSON.stringify({ ...config, 'cni.dev/valid-attachments': valid }),
      env: { ...process.env, CNI_COMMAND: 'GC', CNI_PATH: '/opt/cni/bin' },
    });
  }
  t.strictSame(
    journalsOf(node).map((path) => path.includes(pod.id)),
    GREEN_PLUGINS.map(() => true),
    'GC removes those, but not those of a running pod',
  );
  t.strictSame(look(pod), CONFIGURED, 'which still has its names and routes');
  await node.deletePod(pod.id);
  t.strictSame(await traces(node), before, 'nothing is left');
});

function journalsOf({ machine }: ContainerdNode): string[] {
  const folder = join(machine.folder, ON_DISK);
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
}

// Runs the plugin, except for the first ADD of a pod that is named `<plugin>.<system call>.<n>`: that one is killed just
// before it makes this call for the nth time.
function dyingScript(plugin: string): string {
  const inject = '-e "trace=$syscall" -e "inject=$syscall:signal=SIGKILL:when=$nth"';
  return `real=/opt/cni/real/${plugin}
pod=\${CNI_ARGS##*K8S_POD_NAME=} pod=\${pod%%;*}
case $CNI_COMMAND.$pod in
  ADD.${plugin}.*)
    point=\${pod#*.} syscall=\${point%.*} nth=\${point#*.}
    mkdir "/run/killed/$pod" 2>/dev/null && exec strace -f -o "/run/killed/$pod/trace" ${inject} "$real" ;;
esac
exec "$real"`;
}

/** Starts and stops twelve pods, again and again until it is enough. Returns what failed, and what each pod had. */
async function churn(
  node: ContainerdNode,
  isEnough: () => boolean,
  during = async (_phase: 'come' | 'go', acts: Promise<unknown>): Promise<void> => void (await acts),
): Promise<{ failed: string[]; seen: object[] }> {
  const failed: string[] = [];
  const seen: object[] = [];
  for (const end = Date.now() + CHURN_MINUTES * 60_000; failed.length === 0 && !isEnough() && Date.now() < end; ) {
    const coming = many(podNames(12), 6, (name) => node.runPod(name));
    await during('come', coming);
    const pods = await coming;
    seen.push(...pods.done.map(look));
    const going = many(pods.done, 6, ({ id }) => node.deletePod(id));
    await during('go', going);
    failed.push(...pods.failed, ...(await going).failed);
  }
  return { failed, seen };
}

// Kills the agent just before it makes a system call, which it makes only in calls, for the nth time from now:
// `<system call>.<n>`. Or when the phase is over. Returns whether it was killed before that.
async function diesAt(
  node: ContainerdNode,
  { agent }: PluginSet,
  point: string,
  isOver: () => boolean,
): Promise<boolean> {
  const [syscall, nth] = point.split('.');
  const inject = ['-e', `trace=${syscall}`, '-e', `inject=${syscall}:signal=SIGKILL:when=${nth}`];
  const strace = node.machine.start('strace', ['-f', '-p', String(agentStatus(node).pid), ...inject]);
  for (const stream of [strace.stdout, strace.stderr]) stream?.resume();
  const ended = once(strace, 'close');
  while (strace.exitCode === null && strace.signalCode === null && !isOver()) await pause(20);
  const diedBefore = !isOver();
  await agent?.end('SIGKILL');
  await ended;
  return diedBefore;
}
