import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { PLUGIN_NAMES } from '../../../plugins/index.ts';
import { installed, noSingle } from '../build/single.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchNamespace, works } from '../namespaces/namespace.ts';
import type { Document } from './call.ts';

const ROOT = join(import.meta.dirname, '../../..');

/** Where the reference plugins are: built by scripts/setup.sh, or Debian's. */
const REFERENCE_FOLDERS = [join(ROOT, '.tools/bin'), '/usr/lib/cni'];
/** The first of them that has the plugins. */
export const REFERENCE_FOLDER: string = REFERENCE_FOLDERS.find((folder) => existsSync(join(folder, 'bridge'))) ?? '';

export const noReferencePlugins: string | false =
  noNamespaces || noSingle || (REFERENCE_FOLDER === '' ? 'needs the reference CNI plugins' : false);

export const noCnitool: string | false =
  noReferencePlugins || (works('cnitool', ['--help']) ? false : 'needs cnitool, which needs Go');

/** The programs that run a network configuration list. They are interchangeable. */
export type Driver = 'cnitool' | 'waymark cni';

export type Ran = { status: number | null; stdout: string; stderr: string };

/** A node and a pod of a test's own, with lists, leases, journals and cached results in a folder of its own. */
export type Node = {
  readonly node: Scratch;
  readonly pod: Scratch;
  readonly folder: string;
  /** Our plugins' data folder, which `writeList` sets in the lists. */
  readonly dataDir: string;
  /** Writes a list, with `dataDir` of our plugins, of host-local and of tuning set to folders in `folder`. */
  writeList(list: List): void;
  /** Runs a command of a driver on the pod, in the node's namespace. */
  drive(driver: Driver, command: string, network: string, env?: { [name: string]: string }): Ran;
  /** The same, but it must succeed. Returns the result that it printed. */
  must(driver: Driver, command: string, network: string, env?: { [name: string]: string }): Document;
  /** What attachments have left in the folder: leases, journals, cached results. */
  leftovers(): string[];
};

export type List = { cniVersion: string; name: string; plugins: ListPlugin[]; [key: string]: unknown };
export type ListPlugin = { type: string; ipam?: { type: string; [key: string]: unknown }; [key: string]: unknown };

/** The usual first plugin: one address of 10.131.0.0/23 and one of fd00:131::/64, on a bridge with the first addresses. */
export const BRIDGE: ListPlugin = {
  type: 'bridge',
  bridge: 'br0',
  isGateway: true,
  ipam: { type: 'host-local', ranges: [[{ subnet: '10.131.0.0/23' }], [{ subnet: 'fd00:131::/64' }]] },
};

/** A pod on a node of its own, or on another pod's. */
export function scratchNode(t: Test, node = scratchNamespace(t)): Node {
  const folder = scratchFolder(t);
  const pod = scratchNamespace(t);
  const lists = join(folder, 'net.d');
  const dataDir = join(folder, 'data');
  const executables = installed(t);
  mkdirSync(lists);
  mkdirSync(join(folder, 'cni'));

  const drive: Node['drive'] = (driver, command, network, env = {}) => {
    const program = driver === 'cnitool' ? 'cnitool' : `${join(executables, 'waymark')} cni`;
    // cnitool has no option for its cache, so both get a folder of the test's own mounted on /var/lib.
    const script = `mkdir -p ${folder}/lib/cni && mount --bind ${folder}/lib /var/lib && exec ${program} ${command} ${network} ${pod.path}`;
    const path = [executables, REFERENCE_FOLDER].join(':');
    const { status, stdout, stderr } = spawnSync('ip', ['netns', 'exec', node.name, 'sh', '-c', script], {
      encoding: 'utf8',
      env: { ...process.env, CNI_PATH: path, NETCONFPATH: lists, ...env },
    });
    return { status, stdout, stderr };
  };

  return {
    node,
    pod,
    folder,
    dataDir,
    drive,
    writeList: (list) => {
      const plugins = list.plugins.map((plugin) => ({
        ...plugin,
        ...(PLUGIN_NAMES.includes(plugin.type) && { dataDir }),
        ...(plugin.type === 'tuning' && { dataDir: join(folder, 'tuning') }),
        ...(plugin.ipam?.type === 'host-local' && { ipam: { ...plugin.ipam, dataDir: join(folder, 'leases') } }),
      }));
      writeFileSync(join(lists, `${list.name}.conflist`), JSON.stringify({ ...list, plugins }));
    },
    must: (driver, command, network, env) => {
      const { status, stdout, stderr } = drive(driver, command, network, env);
      if (status !== 0) throw new Error(`${driver} ${command} ${network}: ${status}\n${stdout}\n${stderr}`);
      return stdout === '' ? ({} as Document) : JSON.parse(stdout);
    },
    leftovers: () =>
      readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(lists))
        .map(({ name }) => name)
        .filter((name) => name !== 'lock' && !name.startsWith('last_reserved_ip')),
  };
}
