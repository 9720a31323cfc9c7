import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PLUGIN_NAMES } from '../plugins/index.ts';

// The demonstration of `npm start`. It creates a node and a pod, both network namespaces of its own, and deletes them.

const ROOT = join(import.meta.dirname, '..');
const LIST = join(ROOT, 'conf/40-all-three.conflist');
const PLUGIN_FOLDERS = [join(ROOT, '.tools/bin'), '/usr/lib/cni', '/opt/cni/bin'];

const UPLINK = [
  'link add uplink0 type veth peer name outside',
  'link set outside up',
  'link set uplink0 up',
  'address add 10.0.32.2/24 dev uplink0',
  'route add default via 10.0.32.1',
];

const node = `wm-start-node-${process.pid}`;
const pod = `wm-start-pod-${process.pid}`;

function main(): void {
  if (process.getuid?.() !== 0) {
    give('npm start makes network namespaces and needs root: sudo npm start');
    return;
  }
  const reference = PLUGIN_FOLDERS.find((folder) => existsSync(join(folder, 'bridge')));
  if (reference === undefined) {
    give(`the reference plugins are missing; looked in ${PLUGIN_FOLDERS.join(', ')}`);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'waymark-start-'));
  try {
    show(folder, reference);
  } finally {
    for (const name of [pod, node]) quiet('ip', ['netns', 'del', name]);
    rmSync(folder, { recursive: true, force: true });
  }
}

function show(folder: string, reference: string): void {
  const list = writeList(folder);
  const path = [...PLUGIN_NAMES.map((name) => join(ROOT, 'dist/bundle', name)), reference].join(':');
  const env = { ...process.env, CNI_PATH: path, NETCONFPATH: join(folder, 'net.d') };
  const waymark = (command: string) => {
    const words = ['cni', command, list.name, `/run/netns/${pod}`, '--cache-dir', join(folder, 'cache')];
    const program = join(ROOT, 'dist/bundle/waymark/waymark');
    return execFileSync('ip', ['netns', 'exec', node, program, ...words], {
      encoding: 'utf8',
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  };
  for (const name of [node, pod]) ip(['netns', 'add', name]);
  ip(['-n', node, 'link', 'set', 'lo', 'up']);
  ip(['-n', pod, 'link', 'set', 'lo', 'up']);
  // The node's address and default route, which seamless-gateway needs.
  for (const command of UPLINK) ip(['-n', node, ...command.split(' ')]);

  heading(`The network configuration list: ${list.plugins.join(' → ')} (conf/40-all-three.conflist)`);
  heading('The pod before');
  const before = showPod();

  heading(`waymark cni add ${list.name} /run/netns/${pod}`);
  print(waymark('add'));
  heading('The pod after');
  showPod();

  heading('waymark cni check');
  waymark('check');
  print('The pod matches the list.');
  heading('Somebody deletes a route: waymark cni check');
  ip(['-n', pod, 'route', 'del', 'blackhole', '10.40.0.0/16']);
  print(refused(() => waymark('check')) ? '(so CHECK fails, as it should)' : 'CHECK DID NOT NOTICE');

  heading('waymark cni del');
  waymark('del');
  const after = showPod();
  const left = leftIn(folder);
  print(after === before && left.length === 0 ? 'Nothing is left behind.' : `LEFT BEHIND: ${left.join(', ')}`);
  process.exitCode = after === before && left.length === 0 ? 0 : 1;
}

// The list as shipped, except that everything it keeps on disk goes into the demonstration's own folder.
function writeList(folder: string): { name: string; plugins: string[] } {
  const list = JSON.parse(readFileSync(LIST, 'utf8'));
  for (const plugin of list.plugins) {
    if (PLUGIN_NAMES.includes(plugin.type)) plugin.dataDir = join(folder, 'data');
    if (plugin.ipam) plugin.ipam.dataDir = join(folder, 'leases');
  }
  mkdirSync(join(folder, 'net.d'));
  writeFileSync(join(folder, 'net.d', '10-list.conflist'), JSON.stringify(list));
  return { name: list.name, plugins: list.plugins.map(({ type }: { type: string }) => type) };
}

// Journals, leases and cached results. Host-local's bookkeeping does not belong to this pod.
function leftIn(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.map(({ name }) => name).filter((name) => !/^(lock|last_reserved_ip.*|10-list.conflist)$/.test(name));
}

function showPod(): string {
  const links = ip(['-n', pod, '-brief', 'link', 'show']);
  const altnames = JSON.parse(ip(['-n', pod, '-j', 'link', 'show'])).flatMap(
    (link: { ifname: string; altnames?: string[] }) =>
      (link.altnames ?? []).map((name) => `${link.ifname} is also ${name}\n`),
  );
  const tables = ['-4', '-6'].map((family) =>
    ip(['-n', pod, family, 'route', 'show', 'table', 'all', 'type', 'unicast']),
  );
  const blackholes = ip(['-n', pod, 'route', 'show', 'type', 'blackhole']);
  const routes = [...tables, blackholes].join('');
  const text = [links, ...altnames, routes === '' ? '(no routes)' : routes].join('');
  print(text);
  return text;
}

function refused(command: () => unknown): boolean {
  try {
    command();
    return false;
  } catch {
    return true;
  }
}

function ip(args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

function quiet(program: string, args: string[]): void {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
  } catch {
    // It was never created, because an earlier step failed; report that failure instead.
  }
}

function heading(text: string): void {
  print(`\n\u001b[1m${text}\u001b[0m`);
}

function print(text: string): void {
  console.log(text.trimEnd());
}

function give(reason: string): void {
  console.error(reason);
  process.exitCode = 1;
}

main();
