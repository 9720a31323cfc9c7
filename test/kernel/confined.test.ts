import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { noCompiler } from '../support/agent/shim.ts';
import { installed, noSingle } from '../support/build/single.ts';
import { type Enclosed, enclosed, noMounts, ran } from '../support/namespaces/enclosed.ts';
import { run, type Scratch, scratchFolder, scratchPod, works } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';

// The single-file executables on nodes that lack or forbid something. Each call works, or fails with one error, and then it
// has changed nothing.

type Confined = {
  readonly title: string;
  /** Commands in the node's mount namespace; its root is $root, the folder of the executables $bin. */
  readonly script: string;
  /** What the executables are run by. */
  readonly by?: readonly string[];
  /** The error of ADD. Without it, all verbs work. */
  readonly error?: Refusal;
  /** That of multi-network, which alone keeps what it has done in /var/lib, too. */
  readonly entryError?: Refusal;
};
type Refusal = { code: number; msg: RegExp };

const WORKS: readonly Confined[] = [
  {
    title: '/proc hides the processes of others from those who may not trace them',
    script: 'mount -t proc -o hidepid=invisible proc $root/proc',
    by: ['setpriv', '--bounding-set=-sys_ptrace', '--inh-caps=-sys_ptrace'],
  },
  { title: 'the root is read-only', script: 'mount -o remount,bind,ro $root' },
  {
    title: '/var/lib is read-only',
    script: 'mkdir $root/var/lib; mount -t tmpfs -o ro tmpfs $root/var/lib',
    entryError: { code: 5, msg: /\/var\/lib\/cni\/multus.*EROFS/ },
  },
  {
    title: '/var/lib is full',
    script:
      'mkdir $root/var/lib; mount -t tmpfs -o size=4k tmpfs $root/var/lib; ! head -c 9000 /dev/zero >$root/var/lib/x',
    entryError: { code: 5, msg: /\/var\/lib\/cni\/multus.*ENOSPC/ },
  },
  {
    title: 'nothing but the CNI folder and the system is executable',
    script: [
      'for folder in run tmp var dev/shm; do mount --rbind $root/$folder $root/$folder; done',
      'for folder in run tmp var dev/shm; do mount -o remount,bind,noexec $root/$folder; done',
      'mount --bind $bin $root/$bin; mount -o remount,bind,exec $root/$bin',
    ].join('; '),
  },
  { title: 'there is no /sys', script: 'mount -t tmpfs -o ro tmpfs $root/sys' },
];

const FAILS: readonly Confined[] = [
  {
    title: '/run is read-only',
    script: 'mount -o remount,ro $root/run',
    error: { code: 5, msg: /\/run\/waymark.*EROFS/ },
  },
  {
    title: '/run is full',
    script: 'mount -o remount,size=4k $root/run; ! head -c 9000 /dev/zero >$root/run/x',
    error: { code: 5, msg: /\/run\/waymark.*ENOSPC/ },
  },
];

const KEYS: { readonly [plugin: string]: object } = {
  'static-route': { routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }] },
  'seamless-gateway': { hostAddresses: ['10.0.32.2'], gateway: '10.244.1.1' },
  'consistent-ifname': {},
  // As the cluster's entry. Its network makes no interface, because the node's end of one would be the machine's.
  'multi-network': {
    delegates: [{ type: 'static-route', interface: 'eth0', routes: [{ dst: '10.11.0.0/16', gw: '10.244.1.1' }] }],
  },
};
const PLUGINS = Object.keys(KEYS);
/** The name that multi-network's interface would have. */
const ENTRY_IFNAME = 'cluster0';

function configOf(type: string, sandbox: string): object {
  const prevResult = { interfaces: [{ name: 'eth0', sandbox }] };
  return { cniVersion: '1.1.0', name: 'green', type, ...KEYS[type], prevResult };
}

const SECCOMP_SOURCE = join(import.meta.dirname, '../native/without-setns.c');
const skip = noMounts || noSingle;

for (const place of [...WORKS, ...FAILS]) {
  t.test(place.title, { skip }, async (t) => {
    const pod = scratchPod(t);
    const bin = installed(t);
    const node = await enclosed(t, `bin=${bin}\n${netnsIn('$root/var/pod', pod)}\n${place.script}`);
    await testCalls(t, { ...place, node, bin, pod, netns: '/var/pod' });
  });
}

const noSeccomp = skip || noCompiler;

t.test('a seccomp filter refuses setns', { skip: noSeccomp }, async (t) => {
  const pod = scratchPod(t);
  const bin = installed(t);
  const filter = join(scratchFolder(t), 'without-setns');
  run('cc', ['-O1', '-Wall', '-Werror', SECCOMP_SOURCE, '-o', filter]);
  const node = await enclosed(t, netnsIn('$root/var/pod', pod));
  await testCalls(t, { node, bin, pod, netns: '/var/pod', by: [filter], error: { code: 104, msg: /setns: EPERM/ } });
});

/** A root of a user namespace's own, who is nobody outside, makes a pod and calls each plugin. Prints what it then has. */
const ROOTLESS = `
  set -e
  mount -t tmpfs tmpfs /run
  ip netns add pod
  ip -n pod link add eth0 type veth peer name far
  ip -n pod link set far up
  ip -n pod link set eth0 up
  ip -n pod address add 10.244.1.5/24 dev eth0
  before=$(ip -n pod -4 route show table all)
  call() {
    for plugin in $PLUGINS; do
      ifname=eth0
      [ $plugin != multi-network ] || ifname=$ENTRY_IFNAME
      CNI_COMMAND=$1 CNI_IFNAME=$ifname $BIN/$plugin <$CONFIGS/$plugin
    done
  }
  call ADD >/dev/null
  call CHECK
  ip -n pod route show proto 87
  call DEL
  [ "$before" = "$(ip -n pod -4 route show table all)" ]
  echo as before
`;

const noUserNamespaces =
  skip || (works('unshare', ['--version']) && isUserNamespaceAllowed() ? false : 'needs user namespaces');

t.test('a rootless container is the node', { skip: noUserNamespaces }, async (t) => {
  const netns = '/run/netns/pod';
  const configs = scratchFolder(t);
  // /var/lib is the machine's.
  const cniDir = { 'multi-network': { cniDir: '/run/cni' } } as { [type: string]: object };
  for (const type of PLUGINS) {
    writeFileSync(join(configs, type), JSON.stringify({ ...configOf(type, netns), ...cniDir[type] }));
  }
  const bin = installed(t);
  const own = { PATH: process.env.PATH, PLUGINS: PLUGINS.join(' '), BIN: bin, CNI_PATH: bin, ENTRY_IFNAME };
  const env = { ...variables('', netns), ...own };
  const child = spawn('unshare', ['--user', '--map-root-user', '--mount', '--net', 'sh', '-c', ROOTLESS], {
    env: { ...env, CONFIGS: configs },
  });
  const { code, stdout, stderr } = await ran(child);
  t.equal(code, 0, stderr);
  t.match(
    stdout,
    /^10\.0\.32\.2 via 10\.244\.1\.1 dev net9f27410725ab *\n10\.9\.0\.0\/16 via .*\n10\.11\.0\.0\/16 via .*\nas before\n$/,
  );
});

function isUserNamespaceAllowed(): boolean {
  return spawnSync('unshare', ['--user', '--map-root-user', 'true']).status === 0;
}

type Calls = {
  node: Enclosed;
  bin: string;
  pod: Scratch;
  netns: string;
  by?: readonly string[];
} & Pick<Confined, 'error' | 'entryError'>;

async function testCalls(t: Test, { node, bin, pod, netns, by = [], ...confined }: Calls): Promise<void> {
  const before = pod.routes();
  for (const type of PLUGINS) {
    const error = (type === 'multi-network' && confined.entryError) || confined.error;
    const stdin = JSON.stringify(configOf(type, netns));
    const own = { CNI_PATH: bin, ...(type === 'multi-network' && { CNI_IFNAME: ENTRY_IFNAME }) };
    const env = (verb: string) => ({ PATH: process.env.PATH, ...variables(verb, netns, own) });
    const ask = (verb: string) => node.run([...by, join(bin, type)], stdin, env(verb));
    const added = await ask('ADD');
    if (error !== undefined) {
      t.equal(added.code, 1, added.stdout);
      t.match(JSON.parse(added.stdout), error, type);
      t.equal(pod.routes(), before, `${type}: nothing has changed`);
      const { stdout } = await node.run(['find', '/run', '/var/', '-name', '*.json*']);
      t.equal(stdout, '', `${type}: there is no journal`);
      continue;
    }
    t.equal(added.code, 0, `${type}: ${added.stdout}`);
    t.not(pod.ip('-d address show') + pod.routes(), before);
    for (const verb of ['CHECK', 'DEL']) t.match(await ask(verb), { code: 0 }, `${type} ${verb}`);
    t.equal(pod.routes(), before);
  }
}

/** Commands that bring the pod's namespace to a path. */
function netnsIn(path: string, pod: Scratch): string {
  return `touch ${path}; mount --bind ${pod.path} ${path}`;
}
