import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import { until } from '../support/agent/agent.ts';
import { callShim, noCompiler, result, SHIPPED, shimNode, standInAgent, VARIANTS } from '../support/agent/shim.ts';
import { run, scratchFolder, works } from '../support/namespaces/namespace.ts';

// The shim as a file, and what it takes while it runs.

const MAX_FILE_BYTES = 100_000;
const MAX_MEMORY_KB = 2_000;

/** What is promised of size and memory holds with musl; the system's libc brings 700 KB of its own. */
const noMusl = noCompiler || (works('musl-gcc', ['--version']) ? false : 'needs musl-gcc');

t.test('one file under the names of the plugins', { skip: noCompiler }, async (t) => {
  const folder = scratchFolder(t);
  SHIPPED.compile(folder);
  t.strictSame(readdirSync(folder).sort(), PLUGIN_NAMES.toSorted());
  const files = readdirSync(folder).map((name) => statSync(join(folder, name)));
  t.equal(new Set(files.map(({ ino }) => ino)).size, 1);
  t.equal(files[0]?.mode, 0o100755);
});

t.test('two builds are the same bytes', { skip: noCompiler }, async (t) => {
  for (const variant of VARIANTS.slice(0, 2)) {
    const builds = [scratchFolder(t), scratchFolder(t)].map((folder) => {
      variant.compile(folder);
      return readFileSync(join(folder, 'static-route'));
    });
    t.ok(builds[0]?.equals(builds[1] ?? Buffer.alloc(0)), variant.title);
  }
});

t.test('it needs nothing of the host: no loader, no library, no executable stack', { skip: noCompiler }, async (t) => {
  const { shim } = shimNode(t);
  const headers = run('readelf', ['-lW', shim]);
  t.notMatch(headers, /INTERP|DYNAMIC/);
  t.match(headers, /GNU_STACK.* RW /);
  t.match(headers, /GNU_RELRO/);
});

t.test(`the file is under ${MAX_FILE_BYTES} bytes`, { skip: noMusl }, async (t) => {
  const { size } = statSync(shimNode(t).shim);
  t.comment(`${size} bytes`);
  t.ok(size < MAX_FILE_BYTES);
});

// Of itself and not of its parent, as rusage would have it; and exact, as the counters behind rusage and VmHWM are not.
t.test(`it takes less than ${MAX_MEMORY_KB} KB of memory`, { skip: noMusl }, async (t) => {
  const node = shimNode(t);
  for (const [what, length] of Object.entries({ 'a small config and result': 500, 'large ones': 65_000 })) {
    let memory = 0;
    await t.test(what, async (t) => {
      const measured = join(node.folder, `measured-${length}`);
      run('mkfifo', [measured]);
      await standInAgent(t, node.socket, async (connection, { pid }) => {
        connection.end(result(0, 'x'.repeat(length)));
        // Then it has done all that it does, and waits for the last byte to go into the pipe that is full.
        await until(() => isWriting(pid));
        memory = residentKB(pid);
        writeFileSync(measured, '\n');
      });
      const pipeline = `{ head -c 65536 /dev/zero; exec "$0"; } | { read <${measured}; wc -c; }; exit`;
      const call = { env: node.env, under: ['bash', '--norc', '-c', pipeline], stdin: 'x'.repeat(length) };
      t.equal(String((await callShim(node.shim, call)).stdout).trim(), String(65_536 + length));
      t.comment(`${memory} KB`);
      t.ok(memory > 0 && memory < MAX_MEMORY_KB, `${memory} KB`);
    });
  }
});

/** Is it in a write(2) or writev(2) that does not return: on x86-64, or on arm64? */
function isWriting(pid: number): boolean {
  return /^(1|20|64|66) /.test(readFileSync(`/proc/${pid}/syscall`, 'utf8'));
}

function residentKB(pid: number): number {
  return Number(/^Rss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]);
}
