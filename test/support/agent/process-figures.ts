import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The number of descriptors of each kind in a process: `socket`, `anon_inode:[eventpoll]`, `net`, or a file's path. */
export function descriptorKinds(pid: number): { [kind: string]: number } {
  const kinds: { [kind: string]: number } = {};
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const [, kind = ''] = /^(\/.*|anon_inode:.*|\w+)/.exec(targetOf(`/proc/${pid}/fd/${fd}`)) ?? [];
    kinds[kind] = (kinds[kind] ?? 0) + 1;
  }
  return Object.fromEntries(Object.entries(kinds).sort());
}

// The descriptor may have been closed meanwhile.
function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return 'closed';
  }
}

/** The number of connections to a Unix socket: those in state 03 (net/unix/af_unix.c, unix_seq_show). */
export function connectionsTo(socketPath: string): number {
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n');
  return lines.map((line) => line.split(/\s+/)).filter((fields) => fields[5] === '03' && fields[7] === socketPath)
    .length;
}
