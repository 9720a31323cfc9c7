import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Status } from '../../../agent/status.ts';
import type { Facts, Multus } from '../../../cli/doctor/facts.ts';
import { CHECKS, diagnose, diagnosisLines } from '../../../cli/doctor.ts';
import type { Attachment } from '../../../lib/inventory/inventory.ts';

// The checks on facts made of data. How they are found out is in gather.test.ts, and on a real node in machine.test.ts.

const FOLDER = {
  problem: undefined,
  isReadOnly: false,
  isNoexec: false,
  isOthersWritable: false,
  freeBytes: 1 << 30,
  freeFiles: 100_000,
};

const MULTUS: Multus = {
  kind: 'thick',
  isInList: true,
  isInstalled: true,
  hasDaemon: true,
  memoryLimit: 1 << 20,
  restarts: 0,
};
const NO_MULTUS: Multus = { ...MULTUS, kind: undefined, isInList: false, isInstalled: false, hasDaemon: false };

const STATUS: Status = {
  version: '1.2.3',
  pid: 7,
  uptimeSeconds: 60,
  requests: 5,
  errors: 0,
  running: 0,
  waiting: 0,
  patient: 0,
  memoryBytes: 1e8,
  latencySeconds: {},
  calls: [],
  refused: { stopping: 3, 'caller gone': 1 },
  journals: {},
  lastFailures: [],
  hotPlug: {
    node: 'node-1',
    pods: 3,
    isSynced: true,
    busy: 0,
    delegatesRunning: 0,
    delegatesWaiting: 0,
    sandboxesRecorded: 0,
    pending: [],
    attached: [],
  },
};

const ATTACHMENT: Attachment = {
  pod: 'shop/till-0',
  containerID: 'c1',
  network: 'blue',
  ifname: 'net1',
  plugin: 'static-route',
  version: '1.2.3',
  since: '2026-01-02T03:04:05.678Z',
  netns: '/run/netns/x',
  state: 'in place',
  isIncomplete: false,
  journal: '/run/waymark/static-route/c1-net1.json',
  changes: [],
};

const HEALTHY: Facts = {
  version: '1.2.3',
  kernel: '6.12.1-amd64',
  privileges: { isRoot: true, missingCapabilities: [] },
  socketProblem: undefined,
  files: { used: 100, limit: 1000 },
  dataDir: { ...FOLDER, path: '/run/waymark' },
  binDir: { ...FOLDER, path: '/opt/cni/bin' },
  netDir: { ...FOLDER, path: '/etc/cni/net.d' },
  installation: {
    mode: 'agent',
    version: '1.2.3',
    recordProblem: undefined,
    executables: [{ path: '/opt/cni/bin/waymark', state: 'as installed' }],
  },
  lists: [{ path: '/etc/cni/net.d/10-x.conflist', types: ['bridge', 'static-route'], problems: [] }],
  agent: { socket: '/run/waymark/agent.sock', hasSocket: true, processes: [7], status: STATUS, problem: undefined },
  runtimes: [{ name: 'containerd', path: '/etc/containerd/config.toml', binDirs: ['/opt/cni/bin'], netDirs: [] }],
  multus: MULTUS,
  inventory: { attachments: [ATTACHMENT], failures: [] },
  leases: [{ path: '/var/lib/cni/networks/n/10.0.0.5', containerID: 'c1', isKnown: true, ageSeconds: 9999 }],
  now: Date.parse('2026-01-02T03:05:00Z'),
};

const [RUNTIME] = HEALTHY.runtimes as [Facts['runtimes'][number]];
const EXECUTABLES = HEALTHY.installation.executables;
const withStatus = (more: Partial<Status>): Partial<Facts> => ({
  agent: { ...HEALTHY.agent, status: { ...STATUS, ...more } },
});
const withAttachment = (more: Partial<Attachment>): Partial<Facts> => ({
  inventory: { attachments: [{ ...ATTACHMENT, ...more }], failures: [] },
});
const withExecutable = (state: (typeof EXECUTABLES)[0]['state']): Partial<Facts> => ({
  installation: { ...HEALTHY.installation, executables: [...EXECUTABLES, { path: '/opt/cni/bin/x', state }] },
});
const NO_AGENT = {
  ...HEALTHY.agent,
  status: undefined,
  problem: 'no agent answers at /run/waymark/agent.sock: ENOENT',
};

/** A fault, the check that must find it, how bad it is, and the words that name it. */
const FAULTS: [fault: Partial<Facts>, check: string, level: 'warning' | 'problem', text: RegExp, remedy: RegExp][] = [
  [{ kernel: '4.19.0-27-amd64' }, 'kernel', 'problem', /before 4\.20/, /use a kernel/],
  [{ kernel: '5.4.0' }, 'kernel', 'warning', /before 5\.5: .*altname/, /from 6\.2/],
  [{ kernel: '5.10' }, 'kernel', 'warning', /before 5\.14/, /6\.2/],
  [{ kernel: '6.1.0-56-amd64' }, 'kernel', 'warning', /before 6\.2: .*goes down/, /6\.2/],
  [{ privileges: { isRoot: false, missingCapabilities: [] } }, 'privileges', 'problem', /not root/, /as root/],
  [
    { privileges: { isRoot: true, missingCapabilities: ['SYS_PTRACE'] } },
    'privileges',
    'problem',
    /lacks SYS_PTRACE/,
    /capabilities\.add/,
  ],
  [{ socketProblem: 'the native addon cannot be loaded' }, 'netlink', 'problem', /addon/, /noexec/],
  [{ files: { used: 901, limit: 1000 } }, 'open files', 'problem', /901 of 1000/, /fs\.file-max/],
  [{ dataDir: { ...HEALTHY.dataDir, problem: 'is not a folder' } }, 'data folder', 'problem', /not a folder/, /0700/],
  [{ dataDir: { ...HEALTHY.dataDir, isReadOnly: true } }, 'data folder', 'problem', /read-only/, /remount/],
  [{ dataDir: { ...HEALTHY.dataDir, isOthersWritable: true } }, 'data folder', 'problem', /by others/, /chmod 0700/],
  [{ dataDir: { ...HEALTHY.dataDir, freeBytes: 4096 } }, 'data folder', 'problem', /full: 4 KiB/, /df/],
  [{ dataDir: { ...HEALTHY.dataDir, freeFiles: 0 } }, 'data folder', 'problem', /full: .* 0 files/, /df/],
  [
    { dataDir: { ...HEALTHY.dataDir, freeFiles: 99 } },
    'data folder',
    'problem',
    /full: 1048576 KiB and 99 files/,
    /df/,
  ],
  [{ dataDir: { ...HEALTHY.dataDir, freeBytes: (1 << 20) - 1 } }, 'data folder', 'problem', /full: 1023 KiB/, /df/],
  [{ binDir: { ...HEALTHY.binDir, problem: 'does not exist' } }, 'CNI folder', 'problem', /not exist/, /--bin-dir/],
  [{ binDir: { ...HEALTHY.binDir, isReadOnly: true } }, 'CNI folder', 'warning', /read-only/, /remount/],
  [{ binDir: { ...HEALTHY.binDir, isNoexec: true } }, 'CNI folder', 'problem', /noexec/, /exec/],
  [{ binDir: { ...HEALTHY.binDir, isOthersWritable: true } }, 'CNI folder', 'problem', /by others/, /chmod 0755/],
  [withExecutable('missing'), 'executables', 'problem', /missing: \S+x$/, /install again/],
  [withExecutable('not executable'), 'executables', 'problem', /not executable/, /install again/],
  [withExecutable('changed'), 'executables', 'problem', /another file: \S+x$/, /who replaced it/],
  [
    { installation: { ...HEALTHY.installation, executables: [{ path: '/opt/cni/bin/x', state: 'missing' }] } },
    'executables',
    'problem',
    /no executable/,
    /--bin-dir/,
  ],
  [
    { installation: { ...HEALTHY.installation, recordProblem: 'x is damaged' } },
    'executables',
    'warning',
    /damaged/,
    /install/,
  ],
  [{ installation: { ...HEALTHY.installation, mode: 'mixed' } }, 'executables', 'warning', /clients/, /one --mode/],
  [withStatus({ version: '1.2.4' }), 'executables', 'warning', /agent has version 1\.2\.4, .* 1\.2\.3/, /update/],
  [{ netDir: { ...HEALTHY.netDir, problem: 'does not exist' } }, 'network lists', 'warning', /not exist/, /--net-dir/],
  [
    { lists: [{ path: '/a.conflist', types: [], problems: ['plugins[1]: error 7: no'] }] },
    'network lists',
    'problem',
    /^\/a\.conflist: plugins\[1\]/,
    /waymark explain \/a\.conflist/,
  ],
  [
    { agent: { ...HEALTHY.agent, processes: [7, 99] } },
    'agent',
    'warning',
    /2 agents run: processes 7, 99; shims find process 7$/,
    /second DaemonSet/,
  ],
  [{ agent: NO_AGENT }, 'agent', 'problem', /ENOENT; every call runs the slow/, /restart/],
  [{ agent: { ...NO_AGENT, hasSocket: false } }, 'agent', 'problem', /ENOENT/, /start it/],
  [{ agent: { ...HEALTHY.agent, problem: 'another listens' } }, 'agent', 'problem', /not ready: another/, /restart/],
  [
    {
      installation: { ...HEALTHY.installation, mode: 'standalone' },
      multus: NO_MULTUS,
    },
    'agent',
    'warning',
    /do not use it/,
    /--mode agent/,
  ],
  [
    withStatus({ refused: { 'queue full': 7, stopping: 2 } }),
    'agent',
    'warning',
    /executable: queue full 7$/,
    /agent\.md/,
  ],
  [
    withStatus({ fallbacks: { count: 3, last: '2026-01-02T03:04:05.000Z' } }),
    'agent',
    'warning',
    /^3 calls ran the slow executable .*03:04:05/,
    /restarted/,
  ],
  [
    withStatus({
      lastFailures: [
        {
          time: '2026-01-02T02:59:00Z',
          plugin: 'static-route',
          verb: 'ADD',
          containerID: 'c',
          ifname: 'net1',
          pod: 'a/b',
          cniCode: 103,
          message: 'a route is there',
          details: undefined,
          network: 'blue',
        },
      ],
    }),
    'agent',
    'warning',
    /a\/b: a route is there \(103\)/,
    /error 103/,
  ],
  [
    { agent: { ...HEALTHY.agent, status: { ...STATUS, hotPlug: { ...STATUS.hotPlug, isSynced: false } as never } } },
    'networks of running pods',
    'problem',
    /API server/,
    /reaches/,
  ],
  [
    {
      agent: {
        ...HEALTHY.agent,
        status: { ...STATUS, hotPlug: { ...STATUS.hotPlug, silentSince: '2026-01-02T03:04:00.000Z' } as never },
      },
    },
    'networks of running pods',
    'problem',
    /not answered since 2026-01-02T03:04/,
    /readyz/,
  ],
  [
    {
      agent: {
        ...HEALTHY.agent,
        status: {
          ...STATUS,
          hotPlug: {
            ...STATUS.hotPlug,
            pending: [{ pod: 'a/b', what: 'attach net1', reason: 'no such network', retryInSeconds: 3 }],
          } as never,
        },
      },
    },
    'networks of running pods',
    'warning',
    /a\/b: attach net1: no such network/,
    /describe/,
  ],
  [
    { runtimes: [{ name: 'CRI-O', path: '/etc/crio/crio.conf', binDirs: ['/usr/libexec/cni'], netDirs: [] }] },
    'container runtime',
    'problem',
    /CRI-O looks for plugins in \/usr\/libexec\/cni/,
    /--bin-dir \/usr\/libexec\/cni/,
  ],
  [
    { runtimes: [{ name: 'CRI-O', path: '/etc/crio/crio.conf', binDirs: [], netDirs: ['/x'] }] },
    'container runtime',
    'warning',
    /lists in \/x/,
    /--net-dir \/x/,
  ],
  [
    {
      installation: { ...HEALTHY.installation, mode: 'standalone' },
      agent: { ...NO_AGENT, hasSocket: false },
      multus: { ...MULTUS, memoryLimit: 50 << 20 },
    },
    'Multus',
    'warning',
    /50 MiB/,
    /512 MiB/,
  ],
  [
    {
      installation: { ...HEALTHY.installation, mode: 'standalone' },
      agent: { ...NO_AGENT, hasSocket: false },
      multus: { ...MULTUS, memoryLimit: (256 << 20) - 1 },
    },
    'Multus',
    'warning',
    /its daemon may use 256 MiB/,
    /512 MiB/,
  ],
  [
    { multus: { ...MULTUS, restarts: 1, lastEnd: Date.parse('2026-01-02T02:05:00.001Z'), memoryLimit: undefined } },
    'Multus',
    'warning',
    /again 1 times, the last 2026-01-02T02:05:00\.001Z$/,
    /OOMKilled/,
  ],
  [
    { multus: { ...NO_MULTUS, isInstalled: true } },
    'Multus',
    'warning',
    /no list in \/etc\/cni\/net\.d runs it/,
    /whether it runs/,
  ],
  [{ multus: { ...MULTUS, hasDaemon: false } }, 'Multus', 'problem', /daemon does not run/, /--previous/],
  [
    { multus: { ...MULTUS, restarts: 3, lastEnd: Date.parse('2026-01-02T02:05:30Z'), memoryLimit: 50 << 20 } },
    'Multus',
    'warning',
    /again 3 times, the last 2026-01-02T02:05:30\.000Z; it may use 50 MiB$/,
    /OOMKilled/,
  ],
  [
    withAttachment({ state: 'drift' }),
    'attachments',
    'warning',
    /not as ADD left them: shop\/till-0 net1/,
    /list --drift/,
  ],
  [withAttachment({ state: 'gone' }), 'attachments', 'warning', /without a pod/, /no DEL/],
  [withAttachment({ state: 'unknown' }), 'attachments', 'warning', /inspected/, /root/],
  [withAttachment({ isIncomplete: true }), 'attachments', 'warning', /damaged journals/, /before you change the list/],
  [
    { inventory: { attachments: [], failures: ['x: is damaged'] } },
    'attachments',
    'warning',
    /x: is damaged/,
    /delete/,
  ],
  [
    { leases: [{ path: '/l/10.0.0.5', containerID: 'c', isKnown: false, ageSeconds: 181 }] },
    'leases',
    'warning',
    /\/l\/10\.0\.0\.5/,
    /crictl/,
  ],
  [withAttachment({ since: '2026-01-02T03:07:00Z' }), 'clock', 'warning', /in the future/, /time service/],
];

t.test('a healthy node has nothing but ok, and exit code 0', async (t) => {
  const { level, findings } = diagnose(HEALTHY);
  t.equal(level, 'ok');
  t.strictSame(
    findings.map(({ check }) => check),
    CHECKS.map(({ name }) => name),
  );
});

t.test('what a healthy node says of itself', async (t) => {
  const { findings } = diagnose(HEALTHY);
  t.strictSame(
    findings.map(({ text }) => text),
    [
      'Linux 6.12.1-amd64',
      'root, with NET_ADMIN, SYS_ADMIN and SYS_PTRACE',
      'a netlink socket can be opened',
      '100 of 1000 open files are used on this node',
      '/run/waymark, 1024 MiB free',
      '/opt/cni/bin',
      'version 1.2.3, mode agent',
      '1 in /etc/cni/net.d with a plugin of ours',
      'version 1.2.3, process 7, up 60 s, answers at /run/waymark/agent.sock',
      '3 pods followed',
      'containerd: its folders are ours',
      'thick',
      '1, all in place',
      '1',
      '2026-01-02T03:05:00.000Z',
    ],
  );
  const textOf = (facts: Partial<Facts>, check: string) =>
    diagnose({ ...HEALTHY, ...facts }).findings.find((finding) => finding.check === check)?.text;
  const notYet = { ...HEALTHY.dataDir, problem: 'does not exist' };
  const unused = { agent: { ...HEALTHY.agent, hasSocket: false }, inventory: { attachments: [], failures: [] } };
  t.equal(
    textOf({ dataDir: notYet, ...unused }, 'data folder'),
    '/run/waymark does not exist yet; the first ADD makes it',
  );
  for (const used of [{ agent: unused.agent }, { inventory: unused.inventory }])
    t.match(textOf({ dataDir: notYet, ...used }, 'data folder'), /makes it again$/);
  t.match(textOf({ version: '1.2.4' }, 'executables'), /mode agent; this command is 1\.2\.4$/);
  t.equal(
    textOf({ installation: { ...HEALTHY.installation, version: undefined } }, 'executables'),
    'version not recorded, mode agent',
  );
  t.equal(textOf({ runtimes: [] }, 'container runtime'), 'no config of its own: the usual folders');
  t.equal(textOf({ multus: { ...NO_MULTUS, isInList: true, isInstalled: true } }, 'Multus'), 'none');
});

t.test('each fault is found by one check, which says how bad it is and what to do', async (t) => {
  for (const [fault, check, level, text, remedy] of FAULTS) {
    const diagnosis = diagnose({ ...HEALTHY, ...fault });
    const bad = diagnosis.findings.filter((finding) => finding.level !== 'ok');
    t.match(bad, [{ check, level, text, remedy }], `${check}: ${text}`);
    t.equal(bad.length, 1, `${check}: ${text} is the only one`);
    t.equal(diagnosis.level, level);
  }
});

t.test('every check is tried with a fault', async (t) => {
  const tried = new Set(FAULTS.map(([, check]) => check));
  t.strictSame(
    CHECKS.map(({ name }) => name).filter((name) => !tried.has(name)),
    [],
  );
});

t.test('docs/doctor.md lists the checks in their order', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/doctor.md'), 'utf8');
  const table = page.split(/^## /m).find((section) => section.startsWith('Checks')) ?? '';
  const names = [...table.matchAll(/^\| ([^|]+) \|/gm)].map(([, name]) => name).slice(2);
  t.strictSame(
    names,
    CHECKS.map(({ name }) => name),
  );
});

t.test('the example in docs/doctor.md is what a person reads', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/doctor.md'), 'utf8');
  const [, example = ''] = /```console\n([\s\S]*?)```/.exec(page) ?? [];
  const lines = diagnosisLines(
    diagnose({
      ...HEALTHY,
      agent: {
        ...NO_AGENT,
        hasSocket: false,
        problem: 'no agent answers at /run/waymark/agent.sock: connect ENOENT /run/waymark/agent.sock',
      },
      leases: [{ path: '/var/lib/cni/networks/net/10.244.1.5', containerID: 'c', isKnown: false, ageSeconds: 999 }],
    }),
  );
  const [first] = lines;
  t.equal([first, ...lines.filter((line) => !line.startsWith('ok'))].join('\n'), example.trimEnd());
});

t.test('what is no fault is not told as one', async (t) => {
  const FINE: [string, Partial<Facts>][] = [
    ['a data folder that no ADD has made yet', { dataDir: { ...HEALTHY.dataDir, problem: 'does not exist' } }],
    [
      'a lease of an ADD that is at work',
      { leases: [{ ...(HEALTHY.leases[0] as object), isKnown: false, ageSeconds: 9 } as never] },
    ],
    ['an attachment that is being worked on', withAttachment({ state: 'busy' })],
    [
      'no agent where none is needed',
      {
        agent: { ...NO_AGENT, hasSocket: false },
        installation: { ...HEALTHY.installation, mode: 'standalone' },
        multus: { ...MULTUS, kind: 'thin', hasDaemon: false },
      },
    ],
    ['what was slow yesterday', withStatus({ fallbacks: { count: 3, last: '2026-01-01T03:04:05.000Z' } })],
    ['no Multus', { multus: NO_MULTUS }],
    ['Multus (thin), which has no daemon', { multus: { ...MULTUS, kind: 'thin', hasDaemon: false } }],
    [
      '`multi-network` in the place of Multus, whose executable is still there',
      { multus: { ...NO_MULTUS, isInList: true, isInstalled: true } },
    ],
    ['a container of Multus that ended yesterday', { multus: { ...MULTUS, restarts: 3, lastEnd: 1767233000000 } }],
    ['or an hour ago', { multus: { ...MULTUS, restarts: 3, lastEnd: Date.parse('2026-01-02T02:05:00.000Z') } }],
    ['an executable that the operator installed', withExecutable('not recorded')],
    ['a runtime without a config', { runtimes: [] }],
    [
      'an agent that counts no refusals',
      { agent: { ...HEALTHY.agent, status: { ...STATUS, refused: undefined } as never } },
    ],
    ['nine tenths of the open files', { files: { used: 900, limit: 1000 } }],
    ['a node that does not count them', { files: undefined }],
    [
      'a data folder with a MiB and a hundred files',
      { dataDir: { ...HEALTHY.dataDir, freeBytes: 1 << 20, freeFiles: 100 } },
    ],
    ['a kernel with all that matters', { kernel: '6.2.0' }],
    ['a lease of three minutes', { leases: [{ path: '/l', containerID: 'c', isKnown: false, ageSeconds: 180 }] }],
    ['a clock that is a minute behind', withAttachment({ since: '2026-01-02T03:06:00Z' })],
    ['an attachment without a time', withAttachment({ since: undefined })],
    ['what was slow an hour ago', withStatus({ fallbacks: { count: 3, last: '2026-01-02T02:05:00.000Z' } })],
    ['an agent that follows no pods', withStatus({ hotPlug: undefined as never })],
    ['a runtime that names our folder of lists', { runtimes: [{ ...RUNTIME, netDirs: ['/x', '/etc/cni/net.d'] }] }],
    [
      'a daemon of Multus with room for our executables, or with no limit',
      {
        installation: { ...HEALTHY.installation, mode: 'standalone' },
        agent: { ...NO_AGENT, hasSocket: false },
        multus: { ...MULTUS, memoryLimit: 256 << 20 },
      },
    ],
    ['executables without a version', { installation: { ...HEALTHY.installation, version: undefined } }],
  ];
  for (const [name, facts] of FINE) t.equal(diagnose({ ...HEALTHY, ...facts }).level, 'ok', name);
});

t.test('the worst of all is the level, and a person reads it line by line', async (t) => {
  const both = diagnose({
    ...HEALTHY,
    ...withAttachment({ state: 'drift', pod: 'a\u001b\nb/c' }),
    files: { used: 1000, limit: 1000 },
  });
  t.equal(both.level, 'problem');
  const lines = diagnosisLines(both);
  t.equal(lines.at(-1), '1 problem, 1 warning');
  t.match(lines, ['ok      kernel: Linux 6.12.1-amd64']);
  const at = lines.findIndex((line) => line.startsWith('problem open files: '));
  t.match(lines[at + 1], /^ {8}-> find the process/);
  t.notMatch(lines.join(''), /\p{Cc}/u, 'nothing in it commands the terminal');
  const many = { ...ATTACHMENT, state: 'gone' as const };
  const { findings } = diagnose({ ...HEALTHY, inventory: { attachments: Array(40).fill(many), failures: [] } });
  t.match(findings.find(({ level }) => level === 'warning')?.text, / and 37 more$/);
});
