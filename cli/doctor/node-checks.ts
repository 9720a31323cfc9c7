import { compareVersions } from '../../lib/cni/version.ts';
import type { Executable, Facts } from './facts.ts';
import { type Check, type Finding, ok, orOk, problem, someOf, warning } from './findings.ts';

const MIB = 1 << 20;

/** A journal takes a few KiB; what is less than this is gone with the next few pods. */
const LEAST_FREE_BYTES = MIB;
const LEAST_FREE_FILES = 100;

/** Share of the node's open files from which on it is about to run out. */
const MOST_FILES = 0.9;

/** The kernel, what we may do, the folders, the executables and the lists. */
export const NODE_CHECKS: readonly Check[] = [
  { name: 'kernel', findings: kernel },
  { name: 'privileges', findings: privileges },
  { name: 'netlink', findings: netlink },
  { name: 'open files', findings: openFiles },
  { name: 'data folder', findings: dataFolder },
  { name: 'CNI folder', findings: cniFolder },
  { name: 'executables', findings: executables },
  { name: 'network lists', findings: lists },
];

/** The features of kernels that matter, the latest first, and what is so without them. */
const FEATURES: readonly [since: string, without: string][] = [
  ['4.20', 'the plugins do not work'],
  [
    '5.5',
    'interfaces cannot keep their first name as an altname (consistent-ifname: "mode": "altname", "keepAltname")',
  ],
  ['5.14', 'a journal may take a new namespace for a deleted one'],
  ['6.2', 'an interface goes down for a moment to be renamed'],
];

function kernel({ kernel }: Facts): readonly Finding[] {
  const release = /^\d+(\.\d+){0,2}/.exec(kernel)?.[0] ?? '';
  const missing = FEATURES.filter(([since]) => (compareVersions(release, since) ?? 0) < 0);
  const [first] = missing;
  if (first === undefined) return [ok(`Linux ${kernel}`)];
  const [oldest, without] = first;
  const text = `Linux ${kernel} is before ${oldest}: ${without}`;
  const remedy = `use a kernel from ${missing.at(-1)?.[0]} on; docs/install.md, "What a node needs"`;
  return [oldest === FEATURES[0]?.[0] ? problem(text, remedy) : warning(text, remedy)];
}

function privileges({ privileges: { isRoot, missingCapabilities } }: Facts): readonly Finding[] {
  if (!isRoot) return [problem('this is not root, so most of this node cannot be seen', 'run it as root')];
  const names = missingCapabilities.join(', ');
  return orOk(
    [
      missingCapabilities.length > 0 &&
        problem(
          `root here lacks ${names}`,
          `give the container ${names} (securityContext.capabilities.add), as manifests/components/agent does`,
        ),
    ],
    'root, with NET_ADMIN, SYS_ADMIN and SYS_PTRACE',
  );
}

function netlink({ socketProblem }: Facts): readonly Finding[] {
  const remedy =
    'mount /var/lib or the folder of the executables without noexec; see "What a node needs" in docs/install.md';
  return orOk([socketProblem !== undefined && problem(socketProblem, remedy)], 'a netlink socket can be opened');
}

function openFiles({ files }: Facts): readonly Finding[] {
  if (files === undefined) return [];
  const { used, limit } = files;
  const text = `${used} of ${limit} open files are used on this node`;
  const remedy = 'find the process that holds them (ls /proc/*/fd | sort | uniq -c), or raise fs.file-max';
  return orOk([used > limit * MOST_FILES && problem(text, remedy)], text);
}

function dataFolder({ dataDir, agent, inventory }: Facts): readonly Finding[] {
  const { path, problem: why, isReadOnly, isOthersWritable, freeBytes, freeFiles } = dataDir;
  const isUsed = agent.hasSocket || inventory.attachments.length > 0;
  if (why === 'does not exist')
    return [ok(`${path} does not exist yet; the first ADD makes it${isUsed ? ' again' : ''}`)];
  const isFull = freeBytes < LEAST_FREE_BYTES || freeFiles < LEAST_FREE_FILES;
  return orOk(
    [
      why !== undefined && problem(`${path} ${why}`, 'make it a folder of root with mode 0700, or remove it'),
      isReadOnly && problem(`${path} is read-only, so no journal can be written`, 'remount it writable'),
      isOthersWritable &&
        problem(
          `${path} is writable by others, so the plugins refuse it`,
          `chmod 0700 ${path}, and find out who did that`,
        ),
      isFull &&
        problem(
          `${path} is full: ${Math.floor(freeBytes / 1024)} KiB and ${freeFiles} files are free`,
          `find out what fills its file system (df ${path}; du -x); every ADD fails with error 5 meanwhile`,
        ),
    ],
    `${path}, ${Math.floor(freeBytes / MIB)} MiB free`,
  );
}

function cniFolder({ binDir }: Facts): readonly Finding[] {
  const { path, problem: why, isReadOnly, isNoexec, isOthersWritable } = binDir;
  if (why !== undefined)
    return [problem(`${path} ${why}`, 'name the folder in which the runtime looks for plugins with --bin-dir')];
  return orOk(
    [
      isNoexec && problem(`${path} is mounted noexec`, 'remount it with exec'),
      isOthersWritable && problem(`${path} is writable by others`, `chmod 0755 ${path}, and find out who did that`),
      isReadOnly &&
        warning(
          `${path} is read-only: what is installed works, but cannot be updated or repaired`,
          'remount it writable, or let the runtime look in another folder (docs/install.md)',
        ),
    ],
    path,
  );
}

function executables({ installation, version, agent }: Facts): readonly Finding[] {
  const { mode, recordProblem, executables: all } = installation;
  const inState = (...states: Executable['state'][]) =>
    all.filter(({ state }) => states.includes(state)).map(({ path }) => path);
  const again = 'install again: waymark install --once, or restart the DaemonSet';
  if (inState('missing').length === all.length)
    return [problem('no executable of Waymark is installed', `${again}; or name the folder with --bin-dir`)];
  const [missing, broken, changed] = [inState('missing'), inState('not executable'), inState('changed')];
  const installed = installation.version;
  const running = agent.status?.version;
  return orOk(
    [
      missing.length > 0 && problem(`missing: ${someOf(missing)}`, again),
      broken.length > 0 && problem(`not executable: ${someOf(broken)}`, again),
      recordProblem !== undefined && warning(recordProblem, again),
      changed.length > 0 &&
        problem(`not what was installed, but another file: ${someOf(changed)}`, `find out who replaced it; ${again}`),
      mode === 'mixed' &&
        warning('some plugins are clients of the agent, others are not', `${again}, with one --mode for all`),
      running !== undefined &&
        installed !== undefined &&
        running !== installed &&
        warning(
          `the agent has version ${running}, the executables ${installed}`,
          'finish the update: restart the older of the two; both work with the same journals',
        ),
    ],
    `version ${installed ?? 'not recorded'}, mode ${mode}${installed === version || installed === undefined ? '' : `; this command is ${version}`}`,
  );
}

function lists({ lists: all, netDir }: Facts): readonly Finding[] {
  if (netDir.problem !== undefined)
    return [warning(`${netDir.path} ${netDir.problem}`, 'name the runtime’s folder of lists with --net-dir')];
  const findings = all.flatMap(({ path, problems }) =>
    problems.map((text) => problem(`${path}: ${text}`, `correct it; waymark explain ${path} shows what is wrong`)),
  );
  return orOk(findings, `${all.length} in ${netDir.path} with a plugin of ours`);
}
