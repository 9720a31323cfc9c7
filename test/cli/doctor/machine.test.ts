import { join } from 'node:path';
import t, { type Test } from 'tap';
import { onMachine } from '../../support/doctor/machine.ts';
import { noMounts } from '../../support/namespaces/enclosed.ts';

// `waymark doctor` on a machine of the test's own (test/support/doctor/machine.ts), with the fault made in it.

const ROOT = join(import.meta.dirname, '../../..');
const NODE = process.execPath;

const LIST_OF_MULTUS = `echo '{"cniVersion":"0.3.1","name":"m","type":"multus-shim"}' >/etc/cni/net.d/00-multus.conf`;
const DAEMON = 'cp "$(command -v sleep)" /run/multus-daemon; /run/multus-daemon 600 >/dev/null 2>&1 &';
const LOGS = '/var/log/pods/kube-system_kube-multus-ds-x_uid/kube-multus';

/** A fault, as it is made on the machine; the check that finds it, and how bad it is. */
const FAULTS: [name: string, script: string, check: string, level: 'warning' | 'problem', text: RegExp][] = [
  ['an executable is missing', 'rm static-route', 'executables', 'problem', /missing: \/opt\/cni\/bin\/static-route$/],
  [
    'an executable was replaced',
    'rm waymark; truncate -s 6M waymark; chmod 755 waymark',
    'executables',
    'problem',
    /another file: .*waymark$/,
  ],
  ['an executable may not be run', 'chmod 644 static-route', 'executables', 'problem', /not executable/],
  [
    'some executables are shims',
    'rm static-route; truncate -s 9K static-route; chmod 755 static-route; echo "{\\"version\\":\\"0.1.0\\",\\"files\\":[]}" >.waymark/installed.json',
    'executables',
    'warning',
    /some plugins are clients/,
  ],
  [
    'the record is damaged',
    'echo nonsense >.waymark/installed.json',
    'executables',
    'warning',
    /installed\.json is damaged/,
  ],
  ['the CNI folder is read-only', 'mount -o remount,ro /opt', 'CNI folder', 'warning', /read-only/],
  ['the CNI folder is mounted noexec', 'mount -o remount,noexec /opt', 'CNI folder', 'problem', /noexec/],
  ['the CNI folder is writable by others', 'chmod 777 /opt/cni/bin', 'CNI folder', 'problem', /writable by others/],
  [
    '/run is full',
    'mount -t tmpfs -o size=64k,mode=700 tmpfs /run/waymark; head -c 64k /dev/zero >/run/waymark/x || true',
    'data folder',
    'problem',
    /full: 0 KiB/,
  ],
  ['/run is read-only', 'mount -o remount,ro /run', 'data folder', 'problem', /read-only/],
  ['the data folder is writable by others', 'chmod 777 /run/waymark', 'data folder', 'problem', /writable by others/],
  ['the data folder is a file', 'rm -r /run/waymark; touch /run/waymark', 'data folder', 'problem', /not a folder/],
  [
    'a list is wrong',
    'list 10.9.0.1/16',
    'network lists',
    'problem',
    /10-net\.conflist: plugins\[1\] static-route: error 7: .*routes\[0\]\.dst/,
  ],
  [
    'a list is not JSON',
    'echo "{" >/etc/cni/net.d/11-x.conflist',
    'network lists',
    'problem',
    /11-x\.conflist: cannot be read/,
  ],
  ['the folder of lists is missing', 'rm -r /etc/cni/net.d', 'network lists', 'warning', /net\.d does not exist/],
  [
    'the agent that the shims need does not run',
    'shims',
    'agent',
    'problem',
    /no agent answers at .*ENOENT.*slow executable/,
  ],
  [
    'nobody listens at the agent’s socket',
    `shims; ${NODE} -e 'require("net").createServer().listen("/run/waymark/agent.sock", () => process.kill(process.pid, "SIGKILL"))' || true`,
    'agent',
    'problem',
    /ECONNREFUSED/,
  ],
  [
    'containerd looks elsewhere for plugins',
    `mkdir /etc/containerd; printf '[plugins."io.containerd.grpc.v1.cri".cni]\\n  bin_dir = "/usr/lib/cni"\\n  conf_dir = "/etc/cni/net.d"\\n' >/etc/containerd/config.toml`,
    'container runtime',
    'problem',
    /containerd looks for plugins in \/usr\/lib\/cni, not in \/opt\/cni\/bin/,
  ],
  [
    'a later file of CRI-O has the say',
    `mkdir -p /etc/crio/crio.conf.d; printf '[crio.network]\\nplugin_dirs = [\\n  "/opt/cni/bin/",\\n]\\n' >/etc/crio/crio.conf; printf '[crio.network]\\nnetwork_dir = "/etc/other/"\\n' >/etc/crio/crio.conf.d/10-x.conf`,
    'container runtime',
    'warning',
    /CRI-O reads its lists in \/etc\/other, /,
  ],
  [
    'no list runs Multus, which is installed',
    'touch multus-shim',
    'Multus',
    'warning',
    /no list in \/etc\/cni\/net\.d/,
  ],
  ['Multus’ daemon does not run', LIST_OF_MULTUS, 'Multus', 'problem', /its daemon does not run/],
  [
    'Multus’ daemon was killed',
    `${LIST_OF_MULTUS}; ${DAEMON} mount -t tmpfs tmpfs /var/log; mkdir -p ${LOGS}; touch ${LOGS}/2.log ${LOGS}/3.log`,
    'Multus',
    'warning',
    /started again 3 times, the last 20/,
  ],
  [
    'a pod has lost a route',
    'ip -n pod route del 10.9.0.0/16',
    'attachments',
    'warning',
    /not as ADD left them: shop\/till-0 eth0 \(static-route\)$/,
  ],
  [
    'a pod is gone, and was not deleted',
    'ip netns del pod',
    'attachments',
    'warning',
    /journals without a pod: shop\/till-0/,
  ],
  ['a journal was cut short', 'truncate -s -20 $JOURNAL', 'attachments', 'warning', /damaged journals.*c1-eth0\.json/],
  ['a journal is nonsense', 'echo nonsense >$JOURNAL', 'attachments', 'warning', /c1-eth0\.json: is damaged/],
  ['a lease has no pod', 'rm /var/lib/cni/results/net-c1-eth0', 'leases', 'warning', /networks\/net\/10\.244\.1\.5$/],
  ['the clock was set back', `sed -i 's/"time":"20/"time":"21/' $JOURNAL`, 'clock', 'warning', /in the future/],
];

t.test('a machine on which all is well has exit code 0', { skip: noMounts }, async (t) => {
  // A lease whose ADD has not ended yet.
  const { status, findings } = doctorOn(t, "printf 'c2\\r\\neth0' >/var/lib/cni/networks/net/10.244.1.6");
  t.strictSame(
    findings.filter(({ level }) => level !== 'ok'),
    [],
  );
  t.equal(status, 0);
  for (const wanted of [
    { check: 'executables', text: 'version 0.1.0, mode standalone' },
    { check: 'network lists', text: '1 in /etc/cni/net.d with a plugin of ours' },
    { check: 'attachments', text: '1, all in place' },
    { check: 'leases', text: '2' },
  ])
    t.match(
      findings.find(({ check }) => check === wanted.check),
      wanted,
    );
});

t.test('a fault on a machine is found by its check', { skip: noMounts }, async (t) => {
  for (const [name, script, check, level, text] of FAULTS) {
    const { status, findings, stderr } = doctorOn(t, script);
    const found = findings.filter((finding) => finding.check === check && finding.level !== 'ok');
    t.match(found, [{ level, text }], `${name}\n${stderr}`);
    t.equal(status, findings.some((finding) => finding.level === 'problem') ? 2 : 1, name);
  }
});

// As the agent's: files of its own, but for the data folder, and the node's processes.
const CONTAINER = [
  'mkdir /var/lib/keep',
  'mount --bind /run/waymark /var/lib/keep',
  'for folder in /run /opt /etc; do mount -t tmpfs -o mode=755 tmpfs $folder; done',
  'mkdir -m 700 /run/waymark',
  'mount --bind /var/lib/keep /run/waymark',
].join(' && ');

t.test('from a container, the node’s own files and namespaces are looked at', { skip: noMounts }, async (t) => {
  const inContainer = (fault: string) => {
    const doctor = `${NODE} ${ROOT}/cli/process.ts doctor --json`;
    const { status, stdout, stderr } = onMachine(
      t,
      fault,
      `unshare -m sh -ec '${CONTAINER} && ls /opt /etc >&2 && exec ${doctor}'; exit $?`,
    );
    if (!stdout.startsWith('{')) t.fail(stderr);
    return { status, findings: stdout.startsWith('{') ? (JSON.parse(stdout).findings as Finding[]) : [] };
  };
  const well = inContainer('true');
  t.equal(well.status, 0, JSON.stringify(well.findings.filter(({ level }) => level !== 'ok')));
  for (const wanted of [
    { check: 'executables', text: 'version 0.1.0, mode standalone' },
    { check: 'network lists', text: '1 in /etc/cni/net.d with a plugin of ours' },
    { check: 'attachments', text: '1, all in place' },
  ])
    t.match(
      well.findings.find(({ check }) => check === wanted.check),
      wanted,
    );
  for (const [fault, check, text] of [
    ['rm static-route', 'executables', /missing: \/opt\/cni\/bin\/static-route$/],
    ['mount -o remount,ro /opt', 'CNI folder', /^\/opt\/cni\/bin is read-only/],
    ['list 10.9.0.1/16', 'network lists', /^\/etc\/cni\/net\.d\/10-net\.conflist: /],
    ['ip -n pod route del 10.9.0.0/16', 'attachments', /not as ADD left them/],
  ] as const)
    t.match(
      inContainer(fault).findings.filter(({ level }) => level !== 'ok'),
      [{ check, text }],
    );
});

t.test('capabilities that a container has dropped', { skip: noMounts }, async (t) => {
  const { status, findings } = doctorOn(t, 'true', 'setpriv --bounding-set=-sys_ptrace --inh-caps=-all');
  t.equal(status, 2);
  t.match(
    findings.find(({ check }) => check === 'privileges'),
    { level: 'problem', text: 'root here lacks SYS_PTRACE' },
  );
});

type Finding = { check: string; level: string; text: string };

function doctorOn(t: Test, fault: string, before = ''): { status: number | null; findings: Finding[]; stderr: string } {
  const command = `exec ${before} ${NODE} ${ROOT}/cli/process.ts doctor --json`;
  const { status, stdout, stderr } = onMachine(t, fault, command);
  const isAnswer = stdout.startsWith('{');
  if (!isAnswer) t.fail(`${fault}: ${stderr}`);
  return { status, findings: isAnswer ? JSON.parse(stdout).findings : [], stderr };
}
