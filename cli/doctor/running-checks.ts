import type { Facts } from './facts.ts';
import { type Check, type Finding, ok, orOk, problem, someOf, warning } from './findings.ts';

const MIB = 1 << 20;

/** A single-file executable takes up to 100 MB, several run at once, and all count as Multus' daemon's. */
const LEAST_MULTUS_BYTES = 256 * MIB;

/** An ADD that is at work has a lease before its result is cached. */
const FRESH_SECONDS = 180;

/** A clock that is wrong by less than this disturbs nobody. */
const CLOCK_SKEW_MS = 60_000;

/** The agent, the container runtime, Multus, and what is left of pods. */
export const RUNNING_CHECKS: readonly Check[] = [
  { name: 'agent', findings: agent },
  { name: 'networks of running pods', findings: hotPlug },
  { name: 'container runtime', findings: runtime },
  { name: 'Multus', findings: multus },
  { name: 'attachments', findings: attachments },
  { name: 'leases', findings: leases },
  { name: 'clock', findings: clock },
];

function agent({
  agent: { socket, hasSocket, processes, status, problem: why },
  installation: { mode },
  now,
}: Facts): readonly Finding[] {
  const isExpected = mode === 'agent' || mode === 'mixed';
  const restart =
    'restart it (kubectl delete its pod, or systemctl restart waymark-agent), and read the end of its log';
  if (status === undefined) {
    if (!isExpected && !hasSocket) return [ok('none, and none is needed: each call runs by itself')];
    const text = `${why ?? 'it does not answer'}; every call runs the slow executable instead`;
    return [problem(text, hasSocket ? restart : `start it, or ${restart}`)];
  }
  const { version, pid, uptimeSeconds, refused = {}, fallbacks, lastFailures } = status;
  const reasons = Object.entries(refused).filter(([reason]) => !ORDINARY.has(reason));
  const [last] = lastFailures;
  return orOk(
    [
      why !== undefined && problem(`not ready: ${why}`, restart),
      processes.length > 1 &&
        warning(
          `${processes.length} agents run: processes ${processes.join(', ')}; shims find process ${pid}`,
          'end the one that somebody started by hand, or the second DaemonSet (ps -o pid,ppid,lstart,args); while one takes over from another, there are two for a moment',
        ),
      !isExpected &&
        warning('it runs, but the installed executables do not use it', 'waymark install --once --mode agent'),
      reasons.length > 0 &&
        warning(
          `it handed calls back to the slow executable: ${someOf(reasons.map(([reason, n]) => `${reason} ${n}`))}`,
          'look the reason up in docs/agent.md, and for the calls in its log',
        ),
      fallbacks?.last !== undefined &&
        isRecent(fallbacks.last, now) &&
        warning(
          `${fallbacks.count} calls ran the slow executable since the node started, the last ${fallbacks.last}`,
          'see whether the agent was restarted then; its log, and stderr of the runtime, have the reasons',
        ),
      last !== undefined &&
        isRecent(last.time, now) &&
        warning(
          `the last call that failed: ${last.time} ${last.plugin} ${last.verb} ${last.pod ?? last.containerID}: ${last.message} (${last.cniCode})`,
          `look error ${last.cniCode} up in docs/errors.md`,
        ),
    ],
    `version ${version}, process ${pid}, up ${uptimeSeconds} s, answers at ${socket}`,
  );
}

/** What was longer ago has been dealt with, or nobody minded. */
const RECENT_MS = 3_600_000;

function isRecent(time: string, now: number): boolean {
  return now - Date.parse(time) < RECENT_MS;
}

/** Reasons that say nothing about the agent. */
const ORDINARY: ReadonlySet<string> = new Set(['caller gone', 'stopping']);

function hotPlug({ agent: { status } }: Facts): readonly Finding[] {
  const state = status?.hotPlug;
  if (state === undefined) return [];
  const { isSynced, silentSince, pending, pods } = state;
  const find = 'see the events of the pod (kubectl describe pod); it is tried again by itself';
  return orOk(
    [
      !isSynced &&
        problem(
          'the API server has not answered yet, so running pods are not followed',
          'check that the node reaches the API server, and that the agent may list pods (manifests/overlays/dynamic)',
        ),
      isSynced &&
        silentSince !== undefined &&
        problem(
          `the API server has not answered since ${silentSince}, so running pods are not followed`,
          'check that it runs, and that the node reaches it: kubectl get --raw /readyz, from elsewhere and from the node',
        ),
      ...pending.map(({ pod, what, reason }) => warning(`${pod}: ${what}: ${reason}`, find)),
    ],
    `${pods} pods followed`,
  );
}

function runtime({ runtimes, binDir, netDir }: Facts): readonly Finding[] {
  const wrong = runtimes.flatMap(({ name, path, binDirs, netDirs }) => [
    binDirs.length > 0 &&
      !binDirs.includes(binDir.path) &&
      problem(
        `${name} looks for plugins in ${binDirs.join(', ')}, not in ${binDir.path} (${path})`,
        `install there: waymark install --bin-dir ${binDirs[0]}`,
      ),
    netDirs.length > 0 &&
      !netDirs.includes(netDir.path) &&
      warning(
        `${name} reads its lists in ${netDirs.join(', ')}, not in ${netDir.path} (${path})`,
        `look there: waymark doctor --net-dir ${netDirs[0]}`,
      ),
  ]);
  const names = runtimes.map(({ name }) => name);
  return orOk(
    wrong,
    names.length > 0 ? `${names.join(', ')}: its folders are ours` : 'no config of its own: the usual folders',
  );
}

function multus({ multus: facts, installation: { mode }, binDir, netDir, now }: Facts): readonly Finding[] {
  const { kind, isInList, isInstalled, hasDaemon, memoryLimit, restarts, lastEnd } = facts;
  if (kind === undefined && !isInstalled) return [];
  const see = 'kubectl get pods --all-namespaces --output wide | grep multus, and the log of its pod';
  const limit = memoryLimit === undefined ? '' : `; it may use ${Math.round(memoryLimit / MIB)} MiB`;
  return orOk(
    [
      !isInList &&
        warning(
          `it is installed in ${binDir.path}, but no list in ${netDir.path} runs it: pods start without the networks that they select`,
          `see whether it runs: ${see}; if nobody needs it any more, delete its executable`,
        ),
      kind === 'thick' &&
        isInList &&
        !hasDaemon &&
        problem('its daemon does not run: each ADD waits a minute for it, and fails', `see why: ${see} (--previous)`),
      lastEnd !== undefined &&
        now - lastEnd < RECENT_MS &&
        warning(
          `a container of its pod was started again ${restarts} times, the last ${new Date(lastEnd).toISOString()}${limit}`,
          'kubectl describe its pod: after OOMKilled, raise its memory limit, 512 MiB or more; what it was to delete meanwhile stays',
        ),
      kind === 'thick' &&
        mode === 'standalone' &&
        memoryLimit !== undefined &&
        memoryLimit < LEAST_MULTUS_BYTES &&
        warning(
          `its daemon may use ${Math.round(memoryLimit / MIB)} MiB, and each of our executables takes up to 100 MB of that`,
          'raise the daemon’s memory limit to 512 MiB, or install with --mode agent',
        ),
    ],
    kind ?? 'none',
  );
}

function attachments({ inventory: { attachments: all, failures } }: Facts): readonly Finding[] {
  const named = (state: string) =>
    all
      .filter((one) => one.state === state)
      .map((one) => `${one.pod ?? one.containerID} ${one.ifname} (${one.plugin})`);
  const [drift, gone, unknown] = [named('drift'), named('gone'), named('unknown')];
  const damaged = all.filter(({ isIncomplete }) => isIncomplete).map(({ journal }) => journal);
  return orOk(
    [
      drift.length > 0 &&
        warning(
          `not as ADD left them: ${someOf(drift)}`,
          'waymark list --drift shows what is missing; recreate the pod',
        ),
      gone.length > 0 &&
        warning(
          `journals without a pod: ${someOf(gone)}`,
          'find out why the runtime called no DEL for them; GC, the agent or a reboot forgets them, and they do no harm',
        ),
      damaged.length > 0 &&
        warning(
          `damaged journals, or of a newer version: ${someOf(damaged)}`,
          'check the disk; DEL then goes by the network list too, so delete the pod before you change the list',
        ),
      unknown.length > 0 && warning(`cannot be inspected: ${someOf(unknown)}`, 'run it as root, with SYS_ADMIN'),
      ...failures.map((text) => warning(text, 'if the file is damaged, delete the pod, then the file')),
    ],
    `${all.length}, all in place`,
  );
}

function leases({ leases: all }: Facts): readonly Finding[] {
  const stale = all.filter(({ isKnown, ageSeconds }) => !isKnown && ageSeconds > FRESH_SECONDS).map(({ path }) => path);
  const remedy =
    'make sure that no pod has the address (crictl pods), then delete the file; a full range fails every ADD';
  return orOk([stale.length > 0 && warning(`leases without a pod: ${someOf(stale)}`, remedy)], `${all.length}`);
}

function clock({ inventory: { attachments: all }, now }: Facts): readonly Finding[] {
  const future = all.filter(({ since }) => since !== undefined && Date.parse(since) > now + CLOCK_SKEW_MS);
  const [first] = future;
  return orOk(
    [
      first !== undefined &&
        warning(
          `${first.pod ?? first.containerID} was attached at ${first.since}, which is in the future`,
          'the clock was set back: check the time service of the node (timedatectl, chronyc tracking)',
        ),
    ],
    new Date(now).toISOString(),
  );
}
