import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { scratchFolder } from '../support/namespaces/namespace.ts';

// What comes from outside and is taken apart in C: the agent's answer, and the config for its version.

const FUZZ = join(import.meta.dirname, '../../native/fuzz');
const RUNS = 200_000;
const SECONDS = 20;

function clang(source: string, program: string, input = ''): { status: number | null; stderr: string } {
  const options = ['-x', 'c', '-std=c11', '-g', '-O1', '-Wall', '-Wextra', '-Werror', '-fno-sanitize-recover=all'];
  const sanitizers = '-fsanitize=fuzzer,address,undefined';
  return spawnSync('clang', [...options, sanitizers, source, '-o', program], { input, encoding: 'utf8' });
}

const EMPTY = 'int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return data == 0 && size > 0; }\n';
const noLibFuzzer =
  clang('-', join(scratchFolder(t), 'empty'), EMPTY).status === 0
    ? false
    : 'needs clang and its libFuzzer (libclang-rt-dev)';

for (const harness of ['answer', 'version']) {
  t.test(
    `${harness}.c: ${RUNS} inputs, or ${SECONDS} seconds of them, find nothing`,
    { skip: noLibFuzzer },
    async (t) => {
      const folder = scratchFolder(t);
      const [program, found] = [join(folder, harness), join(folder, 'found')];
      mkdirSync(found);
      const compiled = clang(join(FUZZ, `${harness}.c`), program);
      t.equal(compiled.status, 0, compiled.stderr);
      const limits = [
        `-runs=${RUNS}`,
        `-max_total_time=${SECONDS}`,
        '-max_len=4096',
        '-seed=1',
        `-artifact_prefix=${found}/`,
      ];
      const { status, stderr } = spawnSync(program, [...limits, found, join(FUZZ, 'seeds', harness)], {
        encoding: 'utf8',
      });
      t.equal(status, 0, stderr.slice(-4_000));
      t.match(stderr, /Done \d{4,} runs/);
    },
  );
}
