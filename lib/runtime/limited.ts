import { type ChildProcess, spawn } from 'node:child_process';
import { RuntimeError } from './errors.ts';
import type { Ended, RunPlugin } from './execute.ts';

export type Limits = {
  /** What runs longer is killed, with all that it started in its process group. */
  readonly deadlineMs: number;
  /**
   * A program and its arguments that run the plugin, whose path and no more they are given: to enter the node's mount
   * namespace, for example.
   */
  readonly through?: readonly string[];
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
  return (path, env, stdin) =>
    new Promise((resolve, reject) => {
      const [program = path, ...args] = [...through, path];
      // Without file descriptors left (EMFILE) there are no streams, and the error comes as an event.
      const child: ChildProcess = spawn(program, args, {
        env,
        cwd: '/',
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: true,
      });
      const stdout = collected(child, 'stdout', MAX_STDOUT_BYTES, () => end(tooMuch()));
      const stderr = collected(child, 'stderr', MAX_STDERR_BYTES);
      const tooMuch = () => new RuntimeError(`the plugin printed more than ${MAX_STDOUT_BYTES >> 20} MiB`);
      let isOver = false;
      const end = (outcome: Ended | Error) => {
        if (isOver) return;
        isOver = true;
        clearTimeout(timer);
        // What a plugin that ended well has left running is its own affair.
        if (outcome instanceof Error) killGroup(child);
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
        const text = stderr().trim();
        if (text !== '') said?.(path, text);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      const timer = setTimeout(
        () => end(new RuntimeError(`the plugin did not end within ${deadlineMs / 1000} s`)),
        deadlineMs,
      );
      child.on('error', end);
      child.on('exit', (code, signal) => {
        const ended = () => end({ code: code ?? signal ?? 'unknown', stdout: stdout() });
        const late = setTimeout(ended, AFTER_EXIT_MS);
        child.on('close', () => {
          clearTimeout(late);
          ended();
        });
      });
      // A plugin need not read its config: that it has gone shows in its exit code.
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(stdin);
    });
}

function collected(
  child: ChildProcess,
  which: 'stdout' | 'stderr',
  limit: number,
  exceeded: () => void = () => undefined,
): () => string {
  const pieces: Buffer[] = [];
  let bytes = 0;
  child[which]?.on('data', (piece: Buffer) => {
    if (bytes + piece.length > limit) {
      if (bytes <= limit) exceeded();
      pieces.push(piece.subarray(0, Math.max(0, limit - bytes)));
    } else pieces.push(piece);
    bytes += piece.length;
  });
  return () => Buffer.concat(pieces).toString();
}

// A fork that is under way when the signal comes does not happen (fork(2), ERESTARTNOINTR), so one signal is enough.
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of the group have ended.
  }
}
