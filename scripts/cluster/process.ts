import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';

/** What takes longer does not come. Only what has failed is waited for so long, so it suffices for any busy machine. */
export const WAIT_SECONDS = 300;
/** A program that itself waits so long can still say what it has waited for. */
const RUN_SECONDS = WAIT_SECONDS + 30;

/** How a program ended, and what it wrote. */
export type Ended = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

/** What a program is run with beside its arguments. */
export type RunOptions = { input?: string; env?: NodeJS.ProcessEnv; timeoutSeconds?: number };

/** Runs a program to its end. Throws if it cannot be started or takes too long. */
export function end(command: readonly string[], options: RunOptions = {}): Ended {
  const [program = '', ...args] = command;
  const { input = '', env = {}, timeoutSeconds = RUN_SECONDS } = options;
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    input,
    env: { ...process.env, ...env },
    maxBuffer: 1 << 28,
    timeout: timeoutSeconds * 1000,
    killSignal: 'SIGKILL',
  });
  if (error !== undefined) throw new Error(`${command.join(' ')}: ${error.message}\n${stderr ?? ''}`);
  return { status, stdout, stderr };
}

/** What a program printed. Throws with all that it wrote if it fails. */
export function run(command: readonly string[], options: RunOptions = {}): string {
  const { status, stdout, stderr } = end(command, options);
  if (status !== 0) throw new Error(`${command.join(' ')}: exit status ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** The same as `end`, while other things go on. */
export async function finish(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { input = '', env = {}, timeoutSeconds = RUN_SECONDS } = options;
  const child = start(command, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const written = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (chunk: string) => {
      written[stream] += chunk;
    });
  }
  // A program that ends without reading its input is judged by its exit status.
  child.stdin?.on('error', () => undefined).end(input);
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutSeconds * 1000);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  clearTimeout(timer);
  return { status, ...written };
}

/** Starts a program and does not wait for its end. */
export function start(command: readonly string[], options: SpawnOptions = {}): ChildProcess {
  const [program = '', ...args] = command;
  return spawn(program, args, options);
}

/** Waits until `holds` returns true; what it throws counts as "not yet". Throws the last reason after the deadline. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { seconds = WAIT_SECONDS, pauseMilliseconds = 100 } = {},
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    let reason = '';
    try {
      if (await holds()) return;
    } catch (error) {
      reason = `: ${(error as Error).message}`;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} seconds${reason}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMilliseconds));
  }
}
