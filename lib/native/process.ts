import { closeSync, constants as flags, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { nativeSockets } from './native.ts';

/** A program that runs in a process group of its own. */
export type RunningProcess = {
  /** The number of the process and of its group, which are nobody else's before it has ended. */
  readonly pid: number;
  readonly stdin: Socket;
  readonly stdout: Socket;
  readonly stderr: Socket;
  /** Its exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | string>;
};

/**
 * Starts a program, by its path, with this environment and no other, in `/`. What it takes does not depend on how much
 * memory we have, as it does with `node:child_process`, which copies our page tables.
 *
 * `mounts` is a mount namespace (`/proc/1/ns/mnt`) in which the program is looked for and runs; then it is killed when this
 * process ends. Throws what `spawn` would emit: an Error with `code`, such as ENOENT, ETXTBSY or EMFILE.
 */
export function startProcess(
  argv: readonly string[],
  variables: { readonly [name: string]: string | undefined },
  mounts?: string,
): RunningProcess {
  const environment = Object.entries(variables).flatMap(([key, value]) =>
    value === undefined ? [] : `${key}=${value}`,
  );
  const unusable = [...argv, ...environment].find((text) => text.includes('\0'));
  if (unusable !== undefined) throw new TypeError(`a null byte in ${JSON.stringify(unusable)}`);
  let hasEnded: (how: number | string) => void = () => undefined;
  const ended = new Promise<number | string>((resolve) => {
    hasEnded = resolve;
  });
  const onEnd = (code: number | null, signal: number | null) => hasEnded(code ?? signalName(signal));
  const namespace = mounts === undefined ? -1 : openSync(mounts, flags.O_RDONLY);
  const { pid, stdin, stdout, stderr } = start(argv, environment, onEnd, namespace);
  return {
    pid,
    stdin: new Socket({ fd: stdin, readable: false, writable: true }),
    stdout: new Socket({ fd: stdout, readable: true, writable: false }),
    stderr: new Socket({ fd: stderr, readable: true, writable: false }),
    ended,
  };
}

const start: ReturnType<typeof nativeSockets>['startProcess'] = (argv, environment, onEnd, namespace) => {
  try {
    return nativeSockets().startProcess(argv, environment, onEnd, namespace);
  } catch (error) {
    const { errno, syscall } = error as { errno?: number; syscall?: string };
    if (errno === undefined) throw error;
    const code = getSystemErrorName(-errno);
    throw Object.assign(new Error(`${syscall} ${argv[0]} ${code}`, { cause: error }), { code, errno, syscall });
  } finally {
    if (namespace !== -1) closeSync(namespace);
  }
};

function signalName(number: number | null): string {
  const known = Object.entries(constants.signals).find(([, value]) => value === number);
  return known?.[0] ?? `signal ${number}`;
}
