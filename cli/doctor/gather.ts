import { existsSync, readFileSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { basename, join } from 'node:path';
import { COMMAND } from '../../lib/install/plan.ts';
import { type Inventory, takeInventory } from '../../lib/inventory/inventory.ts';
import { openOwn } from '../../lib/plugin/pod.ts';
import { RuntimeError } from '../../lib/runtime/errors.ts';
import { readNetworkFile } from '../../lib/runtime/network.ts';
import { VERSION } from '../../lib/version.ts';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import { listProblems } from '../explain.ts';
import { type NoPage, readPage, readStatus } from '../status.ts';
import type { AgentFacts, Facts, Lease, List, OpenFiles, Privileges, RuntimeConfig } from './facts.ts';
import { folderAt } from './folders.ts';
import { installationIn } from './installation.ts';
import { multusOn } from './multus.ts';
import { namesIn, processesOf, textOf } from './readable.ts';

export type Places = {
  readonly binDir: string;
  readonly netDir: string;
  readonly dataDir: string;
  readonly socket: string;
  /** Where the node's files are as seen from here. */
  readonly pathOf: (path: string) => string;
};

/** Looks at the node. Reads only. */
export async function gatherFacts(places: Places): Promise<Facts> {
  const { binDir, netDir, dataDir, socket, pathOf } = places;
  return {
    version: VERSION,
    kernel: release(),
    privileges: privileges(),
    socketProblem: socketProblem(),
    files: openFiles(),
    dataDir: folderAt(dataDir),
    binDir: folderAt(binDir, pathOf(binDir)),
    netDir: folderAt(netDir, pathOf(netDir)),
    installation: await installationIn(binDir, pathOf),
    lists: await listsIn(netDir, pathOf),
    agent: await askAgent(socket),
    runtimes: RUNTIMES.flatMap((runtime) => runtimeConfig(runtime, pathOf)),
    multus: multusOn(places),
    inventory: await inventory(dataDir),
    leases: leases(pathOf),
    now: Date.now(),
  };
}

/** Bits of capabilities (linux/capability.h). */
const CAPABILITIES = { NET_ADMIN: 12n, SYS_PTRACE: 19n, SYS_ADMIN: 21n };

function privileges(): Privileges {
  const status = readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([\da-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const missing = Object.entries(CAPABILITIES).filter(([, bit]) => (effective & (1n << bit)) === 0n);
  return { isRoot: process.geteuid?.() === 0, missingCapabilities: missing.map(([name]) => name) };
}

function socketProblem(): string | undefined {
  try {
    openOwn().close();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function openFiles(): OpenFiles | undefined {
  const [used, , limit] = textOf('/proc/sys/fs/file-nr').trim().split(/\s+/).map(Number);
  return used === undefined || limit === undefined ? undefined : { used, limit };
}

const LIST_NAME = /\.(conflist|conf|json)$/;

async function listsIn(netDir: string, pathOf: Places['pathOf']): Promise<List[]> {
  const lists: List[] = [];
  for (const name of namesIn(pathOf(netDir)).filter((name) => LIST_NAME.test(name))) {
    const here = join(pathOf(netDir), name);
    const list = { path: join(netDir, name), ...(await readList(here)) };
    if (list.problems.length > 0 || list.types.some((type) => PLUGIN_NAMES.includes(type))) lists.push(list);
  }
  return lists;
}

async function readList(path: string): Promise<Omit<List, 'path'>> {
  try {
    const types = readNetworkFile(path).plugins.map(({ type }) => type);
    return { types, problems: types.some((type) => PLUGIN_NAMES.includes(type)) ? await listProblems(path) : [] };
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    return { types: [], problems: [error.message.replace(`${path}: `, '').replace(`${path} `, '')] };
  }
}

async function askAgent(socket: string): Promise<AgentFacts> {
  const hasSocket = existsSync(socket);
  const processes = processesOf((program, [command]) => program === COMMAND && command === 'agent');
  try {
    const status = await readStatus(socket);
    const problem = await readPage(socket, '/readyz').then(
      () => undefined,
      ({ reason, message }: NoPage) => reason ?? message,
    );
    return { socket, hasSocket, processes, status, problem };
  } catch (error) {
    return { socket, hasSocket, processes, status: undefined, problem: (error as Error).message };
  }
}

type RuntimeSource = { name: string; files: string[]; folders: string[]; binKeys: RegExp; netKeys: RegExp };

/** The configs of container runtimes, and what they call the folders. */
const RUNTIMES: readonly RuntimeSource[] = [
  {
    name: 'containerd',
    files: ['/etc/containerd/config.toml'],
    folders: ['/etc/containerd/conf.d'],
    binKeys: /^\s*bin_dirs?\s*=\s*(.+)$/gm,
    netKeys: /^\s*conf_dir\s*=\s*(.+)$/gm,
  },
  {
    name: 'CRI-O',
    files: ['/etc/crio/crio.conf'],
    folders: ['/etc/crio/crio.conf.d'],
    binKeys: /^\s*plugin_dirs\s*=\s*(\[[^\]]*\])/gm,
    netKeys: /^\s*network_dir\s*=\s*(.+)$/gm,
  },
];

// A TOML library for four keys would be out of proportion: a path in quotes is what they all have.
function runtimeConfig(
  { name, files, folders, binKeys, netKeys }: RuntimeSource,
  pathOf: Places['pathOf'],
): RuntimeConfig[] {
  const more = folders.flatMap((folder) =>
    namesIn(pathOf(folder))
      .toSorted()
      .map((file) => join(folder, file)),
  );
  const present = [...files, ...more].filter((path) => existsSync(pathOf(path)));
  const [path] = present;
  if (path === undefined) return [];
  // The last of several files has the say.
  const lastOf = (keys: RegExp) => {
    const values = present.flatMap((file) => [...textOf(pathOf(file)).matchAll(keys)].map(([, value = '']) => value));
    return [...(values.at(-1) ?? '').matchAll(/["']([^"']+)["']/g)].map(([, folder = '']) => folder.replace(/\/$/, ''));
  };
  return [{ name, path, binDirs: lastOf(binKeys), netDirs: lastOf(netKeys) }];
}

async function inventory(dataDir: string): Promise<Inventory> {
  try {
    return await takeInventory(dataDir, PLUGIN_NAMES);
  } catch (error) {
    return { attachments: [], failures: [(error as Error).message] };
  }
}

const LEASES = '/var/lib/cni/networks';
const CACHES = ['/var/lib/cni/results', '/var/lib/cni/multus/results', '/var/lib/cni/waymark/results'];

function leases(pathOf: Places['pathOf']): Lease[] {
  const cached = CACHES.flatMap((folder) => namesIn(pathOf(folder)));
  return namesIn(pathOf(LEASES)).flatMap((network) =>
    namesIn(pathOf(join(LEASES, network))).flatMap((name) => {
      const path = join(LEASES, network, name);
      // The container's ID, and since 0.9 the interface; other files there are its lock and the last address.
      const [containerID = ''] = textOf(pathOf(path)).split(/\r?\n/);
      if (!/^[\da-f.:]+$/i.test(basename(path)) || containerID === '') return [];
      const isKnown = cached.some((file) => file.includes(`-${containerID}-`));
      return [{ path, containerID, isKnown, ageSeconds: ageOf(pathOf(path)) }];
    }),
  );
}

function ageOf(path: string): number {
  const changed = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
  return (Date.now() - changed) / 1000;
}
