import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import { PLUGIN_NAMES } from '../plugins/index.ts';
import { agentProcess, page, shimEnv } from './support/agent/agent.ts';
import { buildArm64, EMULATOR, noArm64 } from './support/build/arm64.ts';
import { noNamespaces } from './support/namespaces/namespace.ts';
import type { Foreign } from './support/plugins/call.ts';
import { PLUGINS } from './support/plugins/plugins.ts';

// The conformance suite on arm64, under qemu-user, if WAYMARK_ARM64 asks for it: by the shims, with an agent that is an
// executable for arm64, too; and by the executables themselves, of which each call takes a second, what shows of processes,
// or all of it with WAYMARK_ARM64=full.

const ROOT = join(import.meta.dirname, '..');
const PROCESSES = 'test/conformance-process.test.ts';
const SUITE = globSync('test/conformance/*.test.ts', { cwd: ROOT }).sort();
const asked = process.env.WAYMARK_ARM64;
const skip = (asked === undefined && 'takes too long; WAYMARK_ARM64=1 asks for it') || noNamespaces || noArm64;

t.test('the conformance suite on arm64', { skip, timeout: 0 }, async (t) => {
  const work = mkdtempSync(join(tmpdir(), 'waymark-arm64-'));
  t.teardown(() => rmSync(work, { recursive: true, force: true }));
  const [folder, shims] = [join(work, 'bin'), join(work, 'shim')];
  buildArm64(folder, shims);

  t.test('by the shims and the agent', async (t) => {
    const { socket } = await agentProcess(t, { command: [...EMULATOR, join(folder, 'waymark'), 'agent'] });
    // Without --node, and an API server, it does not serve multi-network.
    const plugins = PLUGINS.filter(({ plugin }) => !plugin.runsOthers).map(({ name }) => name);
    await runSuite(t, { under: EMULATOR, folder: shims, env: shimEnv(socket, {}), plugins, isShim: true }, SUITE);
    const { requests } = JSON.parse((await page({ socketPath: socket }, '/status')).body);
    t.ok(requests > 1000, `the agent has served ${requests} calls`);
  });

  t.test('by the executables', (t) =>
    runSuite(t, { under: EMULATOR, folder, env: {}, plugins: PLUGIN_NAMES }, [
      ...(asked === 'full' ? SUITE : []),
      PROCESSES,
    ]),
  );
});

/** Each file for each plugin in a process of its own, as many at once as there are processors. */
async function runSuite(t: Test, foreign: Foreign, files: readonly string[]): Promise<void> {
  t.jobs = availableParallelism();
  const each = files.flatMap((file) => foreign.plugins.map((plugin) => ({ file, plugin })));
  await Promise.all(
    each.map(({ file, plugin }) => {
      const env = { ...process.env, WAYMARK_TEST_FOREIGN: JSON.stringify({ ...foreign, plugins: [plugin] }) };
      const args = ['--import=./test/support/warnings.ts', file];
      const options = { cwd: ROOT, env, timeout: 0, buffered: true };
      return t.spawn(process.execPath, args, options, `${plugin}: ${basename(file)}`);
    }),
  );
}
