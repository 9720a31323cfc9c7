import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { scratchFolder } from '../namespaces/namespace.ts';
import type { Env } from '../plugins/call.ts';
import { start } from './single.ts';

// The system calls of an executable that have to do with files, by strace.

/** What a call asks of the kernel that has to do with files, by strace: the main thread's lines, without its number. */
export function traced(t: Test, file: string, env: Env, stdin: object): string[] {
  const output = join(scratchFolder(t), 'trace');
  const kinds = 'trace=%file,write,pwrite64,ftruncate,fchmod,fchown,fallocate,copy_file_range,sendfile';
  const options = ['-f', '-qqq', '-y', '-s', '4096', '-e', kinds, '-e', 'signal=none', '-o', output];
  start('strace', { PATH: process.env.PATH, ...env }, stdin, [...options, file]);
  const lines = wholeCalls(readFileSync(output, 'utf8').split('\n'));
  const [main = ''] = (lines[0] ?? '').split(' ');
  const others = lines.filter((line) => line !== '' && !line.startsWith(`${main} `));
  const writing = others.filter((line) => changesFiles(line.replace(/^\d+ +/, '')));
  if (writing.length > 0) throw new Error(`other threads write: ${writing.join('\n')}`);
  return lines.filter((line) => line.startsWith(`${main} `)).map((line) => line.slice(main.length + 1).trimStart());
}

const READS =
  /^(execve|access|faccessat2?|stat|lstat|newfstatat|statx|statfs|readlink|readlinkat|getcwd|open|openat)\(/;

// A call that another thread came into is two lines of strace: they are put together where it ended.
function wholeCalls(lines: readonly string[]): string[] {
  const begun = new Map<string, string>();
  return lines.flatMap((line) => {
    const [thread = ''] = line.split(' ');
    const start = /^(.*) <unfinished \.\.\.>$/.exec(line)?.[1];
    if (start !== undefined) begun.set(thread, start);
    const rest = /<\.\.\. \w+ resumed>(.*)$/.exec(line)?.[1];
    return start !== undefined ? [] : [rest === undefined ? line : `${begun.get(thread)}${rest}`];
  });
}

/** Does this line of strace say that a file was made, changed or removed? */
export function changesFiles(line: string): boolean {
  if (/= -1 E/.test(line)) return false;
  if (/^open(at)?\(/.test(line)) return /O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)/.test(line);
  // A write to a file is behind an open that was counted already; to a pipe or a socket, it changes no file.
  return !READS.test(line) && !/^p?write(64)?\(/.test(line);
}

/** The system calls that have to do with a path, and which of their kind they are. */
export function pointsOf(lines: string[], path: string): [syscall: string, nth: number][] {
  const counts = new Map<string, number>();
  return lines.flatMap((line): [string, number][] => {
    const syscall = /^\w+/.exec(line)?.[0] ?? '';
    const nth = (counts.get(syscall) ?? 0) + 1;
    counts.set(syscall, nth);
    const changes = ['mkdir', 'openat', 'write', 'rename', 'unlink', 'unlinkat', 'rmdir'].includes(syscall);
    return changes && line.includes(path) ? [[syscall, nth]] : [];
  });
}
