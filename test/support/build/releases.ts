import { appendFileSync, linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { PLUGIN_NAMES } from '../../../plugins/index.ts';
import { run, scratchFolder, works } from '../namespaces/namespace.ts';

// Stand-ins for what the build makes: small compiled programs that select by their name what they are, as the single-file
// executable does, and that answer VERSION and --version. They must be compiled: the kernel reports ETXTBSY only for those.

/** Why stand-ins cannot be built here, or false. For tap's `skip`. */
export const noCompiler: string | false = works('cc', ['--version']) ? false : 'needs a C compiler';

export const EXECUTABLES = ['waymark', ...PLUGIN_NAMES];

/** `bin` is for --from; `shim` is beside it. */
export type Release = { readonly bin: string; readonly shim: string };

export type ReleaseOptions = {
  /** What the plugins answer to VERSION instead of the correct answer. */
  answer?: string;
  exitCode?: number;
  paddingBytes?: number;
};

/** A release as the build would leave it: `dist/bin` of hard links, and `dist/shim`. */
export function release(t: Test, version: string, options: ReleaseOptions = {}): Release {
  const folder = scratchFolder(t);
  const made = { bin: join(folder, 'bin'), shim: join(folder, 'shim') };
  for (const [kind, names] of [
    ['bin', EXECUTABLES],
    ['shim', PLUGIN_NAMES],
  ] as const) {
    mkdirSync(made[kind]);
    const [first = '', ...others] = names.map((name) => join(made[kind], name));
    compile(first, sourceOf(version, kind, options));
    if (options.paddingBytes) appendFileSync(first, Buffer.alloc(options.paddingBytes, 'x'));
    for (const other of others) linkSync(first, other);
  }
  return made;
}

function compile(path: string, source: string): void {
  writeFileSync(`${path}.c`, source);
  run('cc', ['-O0', '-o', path, `${path}.c`]);
  run('rm', [`${path}.c`]);
}

// With HOLD_MS it runs for that long, like a call in progress.
function sourceOf(version: string, kind: string, { answer, exitCode = 0 }: ReleaseOptions): string {
  const document = { cniVersion: '1.1.0', supportedVersions: ['1.0.0', '1.1.0'], release: `${version} ${kind}` };
  return `
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
  if (getenv("HOLD_MS")) usleep(1000 * atoi(getenv("HOLD_MS")));
  if (strcmp(basename(argv[0]), "waymark") == 0) return argc == 2 && !strcmp(argv[1], "--version") ? puts("${version}") < 0 : 1;
  puts(${JSON.stringify(answer ?? JSON.stringify(document))});
  if (${exitCode}) fputs("it is broken\\n", stderr);
  return ${exitCode};
}
`;
}
