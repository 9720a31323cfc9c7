import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

// A copy of the tree to make faults in. Its bundles run its sources, so that a test that starts one sees the fault.

/** Where the processes of a copy leave their coverage, while it exists. */
const COVERAGE = '.coverage';

/** What tests of a copy have for `/tmp`. */
const TEMPORARY = '.tmp';

/** How a copy is called: not as tests call what they leave, which people remove. */
const PREFIX = 'mutants-of-waymark-';

/** The tests that run now. */
const running = new Set<ChildProcess>();

/** The tree at `root` as it is committed or staged, with the packages and tools of this one. It goes when the process ends. */
export function makeCopy(root: string): string {
  const copy = mkdtempSync(join(tmpdir(), PREFIX));
  chmodSync(copy, 0o755);
  process.on('exit', () => {
    for (const child of running) child.kill('SIGKILL');
    // The kernel ends all that a test has started, but not at once, and until then they may make files.
    rmSync(copy, { recursive: true, force: true, maxRetries: 50, retryDelay: 100 });
  });
  execFileSync('git', ['-C', root, 'checkout-index', '--all', '--force', `--prefix=${copy}/`]);
  execFileSync('git', ['init', '--quiet', copy]);
  for (const folder of ['node_modules', '.tools']) {
    if (existsSync(join(root, folder))) symlinkSync(join(root, folder), join(copy, folder));
  }
  execFileSync('bash', ['scripts/build-native.sh'], { cwd: copy });
  mkdirSync(join(copy, 'dist'));
  for (const name of readdirSync(join(root, 'dist'))) {
    if (name !== 'bundle') symlinkSync(join(root, 'dist', name), join(copy, 'dist', name));
  }
  for (const name of readdirSync(join(root, 'dist/bundle'))) makeBundle(root, copy, name);
  return copy;
}

// No links: a test may copy a bundle and spoil its copy.
function makeBundle(root: string, copy: string, name: string): void {
  const folder = join(copy, 'dist/bundle', name);
  mkdirSync(folder, { recursive: true });
  for (const file of ['package.json', 'socket.node', name])
    copyFileSync(join(root, 'dist/bundle', name, file), join(folder, file));
  const entry = name === 'waymark' ? 'cli/process.ts' : `plugins/${name}/process.ts`;
  writeFileSync(join(folder, 'index.js'), bundleText(copy, entry));
}

/** Builds the addon of the copy again, for its bundles too. Whether it could. */
export function buildAddon(copy: string): boolean {
  const forBundles = 'for bundle in dist/bundle/*; do cp native/build/socket.node "$bundle"; done';
  return succeedsIn(copy, 'sh', '-c', `bash scripts/build-native.sh && ${forBundles}`);
}

// Most tests start it with an environment of their own, so it does itself what NODE_V8_COVERAGE does.
const bundleText = (copy: string, entry: string) => `
import { existsSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { enableCompileCache } from 'node:module';
enableCompileCache('${copy}/.compiled');
const folder = '${copy}/${COVERAGE}';
if (existsSync(folder) && process.env.NODE_V8_COVERAGE === undefined) {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  process.on('exit', () =>
    session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (existsSync(folder)) writeFileSync(folder + '/' + process.pid + '-' + Date.now() + '.json', JSON.stringify(answer));
    }),
  );
}
const { locateAddon } = await import('${copy}/lib/native/addon-path.ts');
locateAddon(() => import.meta.dirname + '/socket.node');
await import('${copy}/${entry}');
`;

/** Whether a command succeeds in the copy. */
export function succeedsIn(copy: string, command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { cwd: copy, stdio: 'ignore' }).status === 0;
}

/** Runs a test file until its first failure, with process and mount namespaces of its own. With `withCoverage`, also returns where its processes left their coverage. */
export async function runTest(copy: string, test: string, seconds: number, withCoverage = false): Promise<Ran> {
  const folder = join(copy, COVERAGE);
  if (withCoverage) mkdirSync(folder);
  // The copy itself is mounted in there.
  const own = join(TEMPORARY, basename(copy));
  mkdirSync(join(copy, own), { recursive: true });
  chmodSync(join(copy, TEMPORARY), 0o1777);
  const begin = Date.now();
  const env = {
    ...process.env,
    PATH: `${copy}/.tools/bin:/usr/sbin:/sbin:${process.env.PATH}`,
    NODE_COMPILE_CACHE: join(copy, '.compiled'),
    TAP_BAIL: '1',
    TAP_TIMEOUT: '900',
    // Enough of what these repeat to see a fault.
    WAYMARK_CHAOS_SECONDS: '3',
    WAYMARK_LEAK_CALLS: '300',
    ...(withCoverage && { NODE_V8_COVERAGE: folder }),
  };
  // As tap starts them: the second is for tests that replace modules.
  const imports = ['--import=./test/support/warnings.ts', '--import=@tapjs/mock/import'];
  const command = [process.execPath, ...imports, test];
  const child = spawn('unshare', [...NAMESPACES, 'sh', '-c', OWN_NAMESPACES, own, ...command], {
    cwd: copy,
    env,
    stdio: 'ignore',
    timeout: Math.ceil(seconds * 1000),
    killSignal: 'SIGKILL',
  });
  running.add(child);
  const passed = await new Promise<boolean>((resolve) => child.once('close', (code) => resolve(code === 0)));
  running.delete(child);
  rmSync(join(copy, TEMPORARY), { recursive: true, maxRetries: 50, retryDelay: 100 });
  return { passed, seconds: (Date.now() - begin) / 1000, coverage: folder };
}

// A test that ends at its first failure, or is killed, takes away nothing of what it made: the kernel does so here, once
// its first process is gone. Its files are in a `/tmp` of its own, since a fault may also make it remove too much.
const NAMESPACES = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const OWN_NAMESPACES = `
umount --recursive --lazy /run/netns 2>/dev/null
mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns &&
mount --bind . "$0" && mount --rbind ${TEMPORARY} /tmp && cd "/tmp/\${0#*/}" && "$@"`;

type Ran = { readonly passed: boolean; readonly seconds: number; readonly coverage: string };
