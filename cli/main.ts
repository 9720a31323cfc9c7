import { writeSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { INSTALL_MODES } from '../lib/install/plan.ts';
import { VERSION } from '../lib/version.ts';
import type { AgentCommandOptions } from './agent.ts';
import { CNI_COMMANDS, type CniCommand, type CniOptions, runCni } from './cni.ts';
import type { ExplainOptions } from './explain.ts';
import type { InstallOptions } from './install.ts';
import type { RoutesOptions } from './routes.ts';

const CNI_HELP: { [C in CniCommand]: string } = {
  add: 'run ADD for every plugin of the list, and print the result',
  check: 'run CHECK for every plugin of the list',
  del: 'run DEL for every plugin of the list, in reverse',
  gc: 'take away every attachment to the network that is known of, and run GC',
  status: 'run STATUS for every plugin of the list',
};

/** The `waymark` command. */
export function program(): Command {
  const waymark = new Command('waymark').description('Routes and interface names for pods').version(VERSION);
  // Not by the streams of Node.js: what they cannot write is not told.
  waymark.configureOutput({ writeOut: (text) => writeSync(1, text), writeErr: (text) => writeSync(2, text) });
  const cni = waymark
    .command('cni')
    .description('run a network list on a network namespace, as cnitool does')
    .addHelpText('after', '\nVariables: CNI_PATH, NETCONFPATH (/etc/cni/net.d), CNI_IFNAME (eth0), CNI_ARGS, CAP_ARGS');
  for (const command of Object.keys(CNI_COMMANDS) as CniCommand[]) {
    cni
      .command(`${command} <network> <namespace>`)
      .description(CNI_HELP[command])
      .option('-i, --ifname <name>', 'the interface name (default: CNI_IFNAME, else eth0)')
      .option('--cache-dir <folder>', 'where results are kept (default: /var/lib/cni)')
      .action(async (network: string, namespace: string, options: CniOptions) => {
        print(await runCni(command, network, namespace, options, process.env));
      });
  }
  waymark
    .command('routes')
    .description(
      'add the routes that follow from a map of subnets, in the namespace that it runs in (an init container)',
    )
    .option('--config <file>', 'the map, YAML or JSON (default: waymark.yaml or ddsnet4u.yaml in the usual places)')
    .option('--interface <name>', 'the interface to work on (default: net1)')
    .option('--noop', 'say what would be done, and do not do it')
    .action(async (options: RoutesOptions) => {
      const { addMappedRoutes } = await import('./routes.ts');
      await addMappedRoutes(options, process.env, (line) => writeSync(1, `${line}\n`));
    });
  waymark
    .command('agent')
    .description('serve the calls of the shims in this process, until SIGTERM')
    .option('--socket <path>', 'where shims connect (default: WAYMARK_SOCKET, else /run/waymark/agent.sock)')
    .option('--listen <host:port>', 'serve /healthz, /readyz and /metrics over TCP too, as in 127.0.0.1:9476')
    .option('--log-level <level>', 'silent, fatal, error, warn, info, debug or trace', 'info')
    .option('--max-running <number>', 'calls that run at the same time', wholeNumber, 64)
    .option('--max-waiting <number>', 'calls that wait; the shims of others run the executable', wholeNumber, 1024)
    .option('--queue-seconds <number>', 'how long a call waits for its turn, likewise', queueSeconds, 30)
    .option('--max-config-kib <number>', 'the largest config of a call, likewise', wholeNumber, 1024)
    .option('--max-configs-kib <number>', 'the configs of all calls together, likewise', wholeNumber, 8192)
    .option('--max-dump-kib <number>', 'the largest table to read from the kernel, likewise', wholeNumber, 2048)
    .option('--annotation-seconds <number>', 'the longest wait that an annotation can ask for', wholeNumber, 60)
    .action(async (options: AgentCommandOptions) => {
      const { runAgent } = await import('./agent.ts');
      await runAgent(options, process.env, process.pid);
    });
  waymark
    .command('status')
    .description('how the agent of this node is')
    .option('--socket <path>', 'where it listens (default: WAYMARK_SOCKET, else /run/waymark/agent.sock)')
    .option('--json', 'as JSON')
    .action(async (options: { socket?: string; json?: boolean }) => {
      const { formatStatus, readStatus } = await import('./status.ts');
      const status = await readStatus(options.socket ?? process.env.WAYMARK_SOCKET ?? '/run/waymark/agent.sock');
      if (options.json) print(status);
      else writeSync(1, `${formatStatus(status)}\n`);
    });
  waymark
    .command('explain <file>')
    .description('tell what the plugins of a network list would do, and change nothing')
    .option('--netns <path>', 'the network namespace of a pod to look at')
    .option(
      '--prev-result <file>',
      'the result of the plugins in front; without --netns also what the pod is taken for',
    )
    .option('-i, --ifname <name>', 'the interface name (default: CNI_IFNAME, else eth0)')
    .option('--json', 'one JSON document instead of lines')
    .addHelpText('after', '\nVariables: CNI_IFNAME (eth0), CNI_ARGS, CAP_ARGS. Exit code 1 if a plugin would fail.')
    .action(async (file: string, options: ExplainOptions) => {
      const { explainList, explanationLines, wouldFail } = await import('./explain.ts');
      const explained = await explainList(file, options, process.env);
      if (options.json) print(explained);
      else writeSync(1, `${explanationLines(explained).join('\n')}\n`);
      if (wouldFail(explained)) process.exitCode = 1;
    });
  waymark
    .command('install')
    .description('put the executables and network lists in place, and keep them there')
    .option('--from <folder>', 'what is installed (default: the folder of this single-file executable)')
    .option('--bin-dir <folder>', 'where the runtime looks for plugins', '/opt/cni/bin')
    .addOption(
      new Option('--mode <mode>', 'does each call run by itself, or by the node’s agent?')
        .choices(INSTALL_MODES)
        .default('standalone'),
    )
    .option('--net-list <file>', 'a network list to install too; can be given many times', collect, [])
    .option('--net-dir <folder>', 'where the runtime looks for network lists', '/etc/cni/net.d')
    .option('--once', 'leave when everything is in place, instead of staying to keep it there')
    .option('--uninstall', 'take away what was installed')
    .option('--listen <host:port>', 'answer /healthz and /readyz over HTTP')
    .action(async (options: InstallOptions) => {
      const { runInstall } = await import('./install.ts');
      await runInstall(options, { say: (line) => writeSync(1, `${line}\n`), log: (text) => writeSync(2, text) });
    });
  return waymark;
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a whole number from 1 is needed');
}

/** What shims wait for the agent allows for (RESULT_MS in native/shim.c). */
const MAX_QUEUE_SECONDS = 60;

function queueSeconds(text: string): number {
  if (wholeNumber(text) <= MAX_QUEUE_SECONDS) return Number(text);
  throw new InvalidArgumentError(`a whole number up to ${MAX_QUEUE_SECONDS} is needed`);
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

function print(document: object | undefined): void {
  if (document !== undefined) writeSync(1, `${JSON.stringify(document, undefined, 4)}\n`);
}

/** Runs the command as a process: what it was asked for on stdout, errors as a sentence on stderr and exit code 1. */
export async function runProgram(): Promise<void> {
  try {
    await program().parseAsync();
  } catch (error) {
    const { message, details } = error as Error & { details?: string };
    writeSync(2, `waymark: ${message}\n${details === undefined ? '' : `${details}\n`}`);
    process.exitCode = 1;
  }
}
