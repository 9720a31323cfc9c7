import type { Readable } from 'node:stream';
import { type RunningProcess, startProcess } from '../native/process.ts';
import { RuntimeError } from './errors.ts';
import type { Ended, RunPlugin } from './execute.ts';

/**
 * How the node is reached that has the plugin: by its mount namespace (`/proc/1/ns/mnt`), and then the plugin ends with us; or
 * by a program and its arguments, which are given the plugin's path and no more.
 */
export type Through = string | readonly string[];

export type Limits = {
  /** What runs longer is killed, with all that it started in its process group. */
  readonly deadlineMs: number;
  readonly through?: Through | undefined;
  /** What the plugin wrote on stderr, once it has ended; at most so much as a log line takes. */
  readonly said?: (path: string, text: string) => void;
};

/** A result has some KB. */
const MAX_STDOUT_BYTES = 8 << 20;
const MAX_STDERR_BYTES = 16 << 10;

/** A child of the plugin's may hold its output open: what has not come by then does not belong to the result. */
const AFTER_EXIT_MS = 500;

/**
 * Runs plugins that nobody vouches for: with a deadline, a bound on what they print, and in a process group of their own,
 * so that what they started ends with them if they exceed either. It rejects with RuntimeError then.
 */
export function limitedRun({ deadlineMs, through = [], said }: Limits): RunPlugin {
  const [mounts, command] = typeof through === 'string' ? [through, []] : [undefined, through];
  return (path, env, stdin) =>
    new Promise((resolve, reject) => {
      const child = startProcess([...command, path], env, mounts);
      const tooMuch = () => end(new RuntimeError(`the plugin printed more than ${MAX_STDOUT_BYTES >> 20} MiB`));
      const stdout = collected(child.stdout, MAX_STDOUT_BYTES, tooMuch);
      const stderr = collected(child.stderr, MAX_STDERR_BYTES);
      let isOver = false;
      const end = (outcome: Ended | Error) => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        // What a plugin that ended well has left running is its own affair.
        if (outcome instanceof Error) killGroup(child);
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
        const text = stderr.text().trim();
        if (text !== '') said?.(path, text);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      const tooLate = new RuntimeError(`the plugin did not end within ${deadlineMs / 1000} s`);
      let timer = setTimeout(() => end(tooLate), deadlineMs);
      void child.ended.then((code) => {
        if (isOver) return;
        const ended = () => end({ code, stdout: stdout.text() });
        clearTimeout(timer);
        timer = setTimeout(ended, AFTER_EXIT_MS);
        void Promise.all([stdout.closed, stderr.closed]).then(ended);
      });
      // A plugin need not read its config: that it has gone shows in its exit code.
      child.stdin.on('error', () => undefined);
      child.stdin.end(stdin);
    });
}

type Collected = { readonly text: () => string; readonly closed: Promise<void> };

function collected(stream: Readable, limit: number, exceeded: () => void = () => undefined): Collected {
  const pieces: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (piece: Buffer) => {
    if (bytes + piece.length > limit) {
      if (bytes <= limit) exceeded();
      pieces.push(piece.subarray(0, Math.max(0, limit - bytes)));
    } else pieces.push(piece);
    bytes += piece.length;
  });
  const closed = new Promise<void>((resolve) => stream.on('close', resolve));
  return { text: () => Buffer.concat(pieces).toString(), closed };
}

// A fork that is under way when the signal comes does not happen (fork(2), ERESTARTNOINTR), so one signal is enough.
function killGroup({ pid }: RunningProcess): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of the group have ended.
  }
}
