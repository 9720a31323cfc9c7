import { execFile } from 'node:child_process';
import type { Variables } from '../cni/request.ts';
import { CURRENT_VERSION } from '../cni/version.ts';
import { InstallError } from './errors.ts';

const TIMEOUT_MS = 30_000;

/**
 * Does this executable, whose name selects the plugin, answer VERSION with a document that contains the newest version of the
 * spec? Throws InstallError if not.
 */
export async function verifyPlugin(path: string, signal: AbortSignal): Promise<void> {
  const config = JSON.stringify({ cniVersion: CURRENT_VERSION });
  const { stdout } = await run(path, [], { CNI_COMMAND: 'VERSION' }, config, signal);
  if (!supportedVersionsOf(stdout).includes(CURRENT_VERSION)) {
    throw new InstallError(`${path} does not work: its answer to VERSION does not name ${CURRENT_VERSION}`);
  }
}

/** The version that the `waymark` executable prints. Throws InstallError if it prints none in time. */
export async function versionOf(path: string, signal: AbortSignal, timeoutMs = TIMEOUT_MS): Promise<string> {
  const { stdout } = await run(path, ['--version'], {}, '', signal, timeoutMs);
  const version = stdout.trim();
  if (!/^\d+\.\d+\.\d+[\w.+-]*$/.test(version)) throw new InstallError(`${path} does not work: it prints no version`);
  return version;
}

function supportedVersionsOf(text: string): unknown[] {
  try {
    const { supportedVersions } = JSON.parse(text);
    return Array.isArray(supportedVersions) ? supportedVersions : [];
  } catch {
    return [];
  }
}

function run(
  path: string,
  args: string[],
  env: Variables,
  stdin: string,
  signal: AbortSignal,
  timeoutMs = TIMEOUT_MS,
): Promise<{ stdout: string }> {
  return new Promise((resolve, reject) => {
    const options = { env, signal, timeout: timeoutMs, killSignal: 'SIGKILL' as const };
    const child = execFile(path, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout });
      else if (signal.aborted) reject(error);
      else reject(new InstallError(`${path} does not work: ${reasonOf(error, stderr, timeoutMs)}`, error));
    });
    // It need not read its stdin: its answer shows that it works.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(stdin);
  });
}

type Failure = Error & { code?: unknown; killed?: boolean; signal?: unknown };

function reasonOf(error: Failure, stderr: string, timeoutMs: number): string {
  if (error.killed) return `no answer in ${timeoutMs / 1000} seconds`;
  if (typeof error.code === 'string') return error.message;
  const ended = error.signal ? `ended by ${String(error.signal)}` : `ended with ${String(error.code)}`;
  return [ended, stderr.trim()].filter((text) => text !== '').join(': ');
}
