import type { Status } from '../../agent/status.ts';
import type { Inventory } from '../../lib/inventory/inventory.ts';

/** What was found out about a node: data, for the checks. `undefined` where there is nothing to find out about. */
export type Facts = {
  /** The version of this command. */
  readonly version: string;
  readonly kernel: string;
  readonly privileges: Privileges;
  /** Why no netlink socket can be opened; undefined if one can. */
  readonly socketProblem: string | undefined;
  readonly files: OpenFiles | undefined;
  readonly dataDir: Folder;
  readonly binDir: Folder;
  readonly netDir: Folder;
  readonly installation: Installation;
  readonly lists: readonly List[];
  readonly agent: AgentFacts;
  readonly runtimes: readonly RuntimeConfig[];
  readonly multus: Multus;
  readonly inventory: Inventory;
  readonly leases: readonly Lease[];
  /** In milliseconds since 1970. */
  readonly now: number;
};

export type Privileges = { readonly isRoot: boolean; readonly missingCapabilities: readonly string[] };

/** Open files of the whole node (proc_sys_fs(5), file-nr). */
export type OpenFiles = { readonly used: number; readonly limit: number };

export type Folder = {
  readonly path: string;
  /** It cannot be used at all: why. */
  readonly problem: string | undefined;
  readonly isReadOnly: boolean;
  readonly isNoexec: boolean;
  readonly isOthersWritable: boolean;
  readonly freeBytes: number;
  readonly freeFiles: number;
};

/** `standalone`: each call is a process; `agent`: the executables are clients of the agent. */
export type Mode = 'standalone' | 'agent' | 'mixed';

export type Installation = {
  readonly mode: Mode | undefined;
  /** By the installer's record. */
  readonly version: string | undefined;
  readonly recordProblem: string | undefined;
  readonly executables: readonly Executable[];
};

export type Executable = {
  readonly path: string;
  readonly state: 'as installed' | 'changed' | 'not recorded' | 'missing' | 'not executable';
};

/** A network configuration list with a plugin of ours, or one that cannot be read. */
export type List = { readonly path: string; readonly types: readonly string[]; readonly problems: readonly string[] };

export type AgentFacts = {
  readonly socket: string;
  readonly hasSocket: boolean;
  /** Processes that are agents, as far as they can be seen. */
  readonly processes: readonly number[];
  readonly status: Status | undefined;
  /** Why it does not answer, or is not ready. */
  readonly problem: string | undefined;
};

/** What a container runtime's own config says; empty where it says nothing, which means the default. */
export type RuntimeConfig = {
  readonly name: string;
  readonly path: string;
  readonly binDirs: readonly string[];
  readonly netDirs: readonly string[];
};

export type Multus = {
  /** By the lists in the runtime's folder, or its daemon. */
  readonly kind: 'thick' | 'thin' | undefined;
  /** Whether any of the lists runs it, or `multi-network` in its place. */
  readonly isInList: boolean;
  /** Whether its executable is in the CNI folder. */
  readonly isInstalled: boolean;
  readonly hasDaemon: boolean;
  /** How often the kubelet has started a container of its pod again, and when the last one ended, in milliseconds since 1970. */
  readonly restarts: number;
  readonly lastEnd?: number;
  /** The memory limit of its daemon in bytes; undefined if it is not known, or there is none. */
  readonly memoryLimit: number | undefined;
};

/** A lease of host-local, and whether any runtime's cache knows its container. */
export type Lease = {
  readonly path: string;
  readonly containerID: string;
  readonly isKnown: boolean;
  readonly ageSeconds: number;
};
