import { gzipSync } from 'node:zlib';

/** A file in an archive. */
export type ArchivedFile = { readonly name: string; readonly content: string };

const BLOCK = 512;

/**
 * A gzipped tar archive of these files, each with mode 0600 (POSIX ustar, tar(5)). Names have at most 100 ASCII characters.
 */
export function archive(files: readonly ArchivedFile[], mtimeSeconds: number): Buffer {
  const parts = files.flatMap(({ name, content }) => {
    const bytes = Buffer.from(content);
    return [header(name, bytes.length, mtimeSeconds), bytes, Buffer.alloc(-bytes.length & (BLOCK - 1))];
  });
  return gzipSync(Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]));
}

function header(name: string, size: number, mtime: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at);
  block.write(name, 0, 100);
  octal(0o600, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(Math.floor(mtime), 136, 12);
  // The checksum is of a block with blanks in its place.
  block.write('        0', 148);
  block.write('ustar\x0000', 257);
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return block;
}
