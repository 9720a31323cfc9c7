import { writeSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { DEFAULT_LIMITS } from '../agent/limits.ts';
import { DEFAULT_SOCKET, socketPath } from '../agent/socket-path.ts';
import { LOG_LEVEL_HELP, parseLogLevel } from '../lib/cni/log-level.ts';
import { INSTALL_MODES } from '../lib/install/plan.ts';
import { VERSION } from '../lib/version.ts';
import type { AgentCommandOptions } from './agent.ts';
import { CNI_COMMANDS, type CniCommand, type CniOptions, runCni } from './cni.ts';
import type { DoctorOptions } from './doctor.ts';
import type { ExplainOptions } from './explain.ts';
import type { InstallOptions } from './install.ts';
import type { ListOptions } from './list.ts';
import type { ReportOptions } from './report.ts';
import type { RoutesOptions } from './routes.ts';

const CNI_HELP: { [C in CniCommand]: string } = {
  add: 'run ADD for every plugin in the list and print the result',
  check: 'run CHECK for every plugin in the list',
  del: 'run DEL for every plugin in the list, in reverse order',
  gc: 'delete all cached attachments to the network, then run GC for every plugin in the list',
  status: 'run STATUS for every plugin in the list',
  update: 'apply an edited list to a running attachment: the difference in its routes and rules, or nothing',
};

/** The `waymark` command. */
export function program(): Command {
  const waymark = new Command('waymark')
    .description('Static routes and predictable interface names for Kubernetes pods')
    .version(VERSION);
  waymark.configureOutput({ writeOut: write, writeErr: writeError });
  const cni = waymark
    .command('cni')
    .description('run a network configuration list on a network namespace, as cnitool does')
    .addHelpText('after', '\nVariables: CNI_PATH, NETCONFPATH (/etc/cni/net.d), CNI_IFNAME (eth0), CNI_ARGS, CAP_ARGS');
  for (const command of Object.keys(CNI_COMMANDS) as CniCommand[]) {
    cni
      .command(`${command} <network> <namespace>`)
      .description(CNI_HELP[command])
      .option('-i, --ifname <name>', 'name of the interface (default: CNI_IFNAME, else eth0)')
      .option('--cache-dir <folder>', 'folder of the result cache (default: /var/lib/cni)')
      .action(async (network: string, namespace: string, options: CniOptions) => {
        print(await runCni(command, network, namespace, options, process.env, writeError));
      });
  }
  waymark
    .command('routes')
    .description('add the routes of a subnet map in the current network namespace (for init containers)')
    .option(
      '--config <file>',
      'the subnet map, YAML or JSON (default: waymark.yaml or ddsnet4u.yaml in the usual folders)',
    )
    .option('--interface <name>', 'interface to add the routes to (default: net1)')
    .option('--noop', 'print what would be done, but change nothing')
    .action(async (options: RoutesOptions) => {
      const { addMappedRoutes } = await import('./routes.ts');
      await addMappedRoutes(options, process.env, say);
    });
  waymark
    .command('agent')
    .description('run the node agent, which serves the calls of the shims, until SIGTERM')
    .option('--socket <path>', `socket to which shims connect (default: WAYMARK_SOCKET, else ${DEFAULT_SOCKET})`)
    .option('--listen <host:port>', 'also serve /healthz, /readyz and /metrics over TCP, for example on 127.0.0.1:9476')
    .option('--log-level <level>', 'silent, fatal, error, warn, info, debug or trace', logLevel, 'info')
    .option(
      '--max-running <number>',
      'maximum number of calls that run concurrently',
      wholeNumber,
      DEFAULT_LIMITS.running,
    )
    .option(
      '--max-waiting <number>',
      'maximum number of calls that wait; the shims of further calls run the executable',
      wholeNumber,
      DEFAULT_LIMITS.waiting,
    )
    .option(
      '--queue-seconds <number>',
      'how long a call may wait for its turn before its shim runs the executable',
      queueSeconds,
      DEFAULT_LIMITS.waitMs / 1000,
    )
    .option(
      '--max-config-kib <number>',
      'largest config of a call; above, its shim runs the executable',
      wholeNumber,
      DEFAULT_LIMITS.configBytes / 1024,
    )
    .option(
      '--max-configs-kib <number>',
      'configs of all calls together; above, shims run the executable',
      wholeNumber,
      DEFAULT_LIMITS.allConfigsBytes / 1024,
    )
    .option(
      '--max-dump-kib <number>',
      'largest table to read from a pod; above, its shim runs the executable',
      wholeNumber,
      DEFAULT_LIMITS.dumpBytes / 1024,
    )
    .option(
      '--annotation-seconds <number>',
      'longest wait that an annotation can ask for',
      wholeNumber,
      DEFAULT_LIMITS.annotationSeconds,
    )
    .option(
      '--protect <prefix>',
      'destinations that annotations of pods must not lead elsewhere; can be repeated',
      collect,
    )
    .option('--node <name>', 'follow the pods of this node (default: NODE_NAME): attach and detach their networks')
    .option('--kubeconfig <file>', 'access to the API server (default: the account of the pod that it runs in)')
    .option('--cri-socket <path>', 'socket of the container runtime (default: that of containerd or CRI-O)')
    .option('--cni-bin-dir <folders>', 'folders of the node’s plugins, separated by ":"', '/opt/cni/bin')
    .option('--state-dir <folder>', 'where records of attached networks are kept', '/var/lib/cni/waymark')
    .option('--namespace-isolation', 'pods may only use definitions of their own namespace and of global ones')
    .option('--global-namespaces <names>', 'namespaces whose definitions all pods may use, separated by ","', 'default')
    .option('--allow-types <names>', 'the only plugins to run for running pods, separated by ","')
    .addOption(
      new Option('--interface-names <how>', 'names of interfaces of running pods for which none is asked')
        .choices(['numbered', 'consistent'])
        .default('numbered'),
    )
    .addOption(
      new Option(
        '--install <mode>',
        'also install the executables and keep them in place, as `waymark install` does; needs the single-file executable',
      ).choices(INSTALL_MODES.filter((mode) => mode !== 'standalone')),
    )
    .option('--install-dir <folder>', 'with --install: the folder to install into', '/opt/cni/bin')
    .option('--net-dir <folder>', 'with --install multi-network: the folder of network lists', '/etc/cni/net.d')
    .option('--node-net-dir <folder>', 'that folder as the node calls it (default: --net-dir)')
    .action(async (options: AgentCommandOptions) => {
      const { runAgent } = await import('./agent.ts');
      await runAgent(options, process.env, process.pid, writeError);
    });
  waymark
    .command('status')
    .description('print the status of the agent on this node')
    .option('--socket <path>', `socket of the agent (default: WAYMARK_SOCKET, else ${DEFAULT_SOCKET})`)
    .option('--json', 'print JSON')
    .action(async (options: { socket?: string; json?: boolean }) => {
      const { formatStatus, readStatus } = await import('./status.ts');
      const status = await readStatus(socketPath(options.socket, process.env));
      show(options, status, () => [formatStatus(status)]);
    });
  waymark
    .command('list')
    .description('list the attachments of this node, and whether what they changed still holds; needs no agent')
    .option('--pod <name>', 'only those of this pod: namespace/name, name, or the start of a container ID')
    .option('--drift', 'only those that are not as they should be')
    .option('--data-dir <folder>', 'folder of the journals (default: /run/waymark)')
    .option('--json', 'print JSON')
    .action(async (options: ListOptions) => {
      const { listLines, listNode } = await import('./list.ts');
      const inventory = await listNode(options);
      show(options, inventory, () => listLines(inventory));
    });
  waymark
    .command('doctor')
    .description('examine this node: what is wrong, and what to do about it; changes nothing')
    .option('--bin-dir <folder>', 'folder in which the runtime looks for plugins', '/opt/cni/bin')
    .option('--net-dir <folder>', 'folder in which the runtime looks for network configuration lists', '/etc/cni/net.d')
    .option('--data-dir <folder>', 'folder of the journals (default: /run/waymark)')
    .option('--socket <path>', `socket of the agent (default: WAYMARK_SOCKET, else ${DEFAULT_SOCKET})`)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nThe exit code is 0 if all is well, 1 with warnings, 2 with problems.')
    .action(async ({ socket, ...options }: Omit<DoctorOptions, 'socket'> & { socket?: string }) => {
      const { diagnosisLines, examine, EXIT_CODES } = await import('./doctor.ts');
      const diagnosis = await examine({ ...options, socket: socketPath(socket, process.env) });
      show(options, diagnosis, () => diagnosisLines(diagnosis));
      process.exitCode = EXIT_CODES[diagnosis.level];
    });
  waymark
    .command('report')
    .description('write an archive for support: doctor, list, status, metrics, network lists and logs, without secrets')
    .option('--out <file>', 'file to write, or "-" for stdout (default: waymark-report-<time>.tar.gz in this folder)')
    .option('--names', 'with the names of pods')
    .option('--bin-dir <folder>', 'folder in which the runtime looks for plugins', '/opt/cni/bin')
    .option('--net-dir <folder>', 'folder in which the runtime looks for network configuration lists', '/etc/cni/net.d')
    .option('--data-dir <folder>', 'folder of the journals (default: /run/waymark)')
    .option('--socket <path>', `socket of the agent (default: WAYMARK_SOCKET, else ${DEFAULT_SOCKET})`)
    .action(async ({ socket, ...options }: Omit<ReportOptions, 'socket'> & { socket?: string }) => {
      const { writeReport } = await import('./report.ts');
      const toStdout = (bytes: Buffer) => {
        for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
      };
      const path = await writeReport({ ...options, socket: socketPath(socket, process.env) }, toStdout);
      if (path !== '-') say(path);
    });
  waymark
    .command('explain [file]')
    .description(
      'show what the plugins in a network configuration list would do, or the agent to a pod’s networks, but change nothing',
    )
    .option('--pod <namespace/name>', 'pod of this node: show what the agent would do to its networks, and why not')
    .option('--socket <path>', `with --pod: socket of the agent (default: WAYMARK_SOCKET, else ${DEFAULT_SOCKET})`)
    .option('--netns <path>', 'network namespace of a pod to inspect')
    .option(
      '--prev-result <file>',
      'result of the plugins before ours; default: the cached one; without --netns it also describes the pod',
    )
    .option('-i, --ifname <name>', 'name of the interface (default: CNI_IFNAME, else eth0)')
    .option('--cache-dir <folder>', 'where results of ADD are cached (default: /var/lib/cni, and Multus’)')
    .option('--json', 'print one JSON document instead of lines')
    .addHelpText(
      'after',
      '\nVariables: CNI_IFNAME (eth0), CNI_ARGS, CAP_ARGS. The exit code is 1 if a plugin would fail,' +
        ' and with --pod if a selection is refused or a step fails.',
    )
    .action(async (file: string | undefined, options: ExplainOptions & { pod?: string; socket?: string }) => {
      if ((file === undefined) === (options.pod === undefined)) throw new Error('explain needs a file or --pod');
      if (file === undefined) return await explainPod(options);
      const { explainList, explanationLines, wouldFail } = await import('./explain.ts');
      const explained = await explainList(file, options, process.env);
      show(options, explained, () => explanationLines(explained));
      if (wouldFail(explained)) process.exitCode = 1;
    });
  waymark
    .command('install')
    .description('install the executables and network configuration lists, and repair them')
    .option('--from <folder>', 'folder to install from (default: the folder of this single-file executable)')
    .option('--bin-dir <folder>', 'folder in which the runtime looks for plugins', '/opt/cni/bin')
    .addOption(
      new Option(
        '--mode <mode>',
        'how calls run: each in a process of its own, in the node’s agent, or there with all networks of pods',
      )
        .choices(INSTALL_MODES)
        .default('standalone'),
    )
    .option('--net-list <file>', 'network configuration list to install too; can be repeated', collect, [])
    .option('--net-dir <folder>', 'folder in which the runtime looks for network configuration lists', '/etc/cni/net.d')
    .option(
      '--node-net-dir <folder>',
      'that folder as the node calls it, with --mode multi-network (default: --net-dir)',
    )
    .option('--once', 'exit when everything is in place, instead of running on to repair it')
    .option('--uninstall', 'remove what was installed')
    .option('--listen <host:port>', 'serve /healthz and /readyz over HTTP')
    .action(async (options: InstallOptions) => {
      const { runInstall } = await import('./install.ts');
      await runInstall(options, { say, log: writeError });
    });
  return waymark;
}

async function explainPod({ pod = '', socket, ...options }: Shown & { pod?: string; socket?: string }): Promise<void> {
  const { hasProblems, podLines, readExplanation } = await import('./explain-pod.ts');
  const explained = await readExplanation(socketPath(socket, process.env), pod);
  show(options, explained, () => podLines(explained));
  if (hasProblems(explained)) process.exitCode = 1;
}

function logLevel(text: string): string {
  const level = parseLogLevel(text);
  if (level === undefined) throw new InvalidArgumentError(`It must be ${LOG_LEVEL_HELP}.`);
  return level;
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('must be a whole number, at least 1');
}

/** The time that a shim waits for the agent (RESULT_MS in native/shim.c) allows for this. */
const MAX_QUEUE_SECONDS = 60;

function queueSeconds(text: string): number {
  if (wholeNumber(text) <= MAX_QUEUE_SECONDS) return Number(text);
  throw new InvalidArgumentError(`must be a whole number, at most ${MAX_QUEUE_SECONDS}`);
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

type Shown = { json?: boolean };

function show({ json }: Shown, document: object, lines: () => readonly string[]): void {
  if (json) print(document);
  else say(lines().join('\n'));
}

function print(document: object | undefined): void {
  if (document !== undefined) say(JSON.stringify(document, undefined, 4));
}

function say(line: string): void {
  write(`${line}\n`);
}

// Not with the streams of Node.js, which do not report what they cannot write.
function write(text: string): void {
  writeSync(1, text);
}

function writeError(text: string): void {
  writeSync(2, text);
}

/** Runs the command as a process: its output on stdout, errors as a sentence on stderr with exit code 1. */
export async function runProgram(): Promise<void> {
  try {
    await program().parseAsync();
  } catch (error) {
    writeError(errorText(error as Error, process.geteuid?.() === 0));
    process.exitCode = 1;
  }
}

/** An error as people read it: details only as far as the message does not have them, and what to do without root. */
export function errorText(error: Error & { details?: string | undefined }, isRoot: boolean): string {
  const { message, details } = error;
  const advice = !isRoot && isDenied(error) ? '; run it as root' : '';
  const more = details?.split('\n').filter((line) => !message.includes(line)) ?? [];
  return [`waymark: ${message}${advice}`, ...more, ''].join('\n');
}

function isDenied(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, message, cause } = error as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM' || /\b(EACCES|EPERM)\b/.test(message) || isDenied(cause);
}
