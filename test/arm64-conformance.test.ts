import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { agentProcess, page, shimEnv } from './support/agent/agent.ts';
import { buildArm64, EMULATOR, noArm64Build, noEmulator } from './support/build/arm64.ts';
import { ApiStandIn } from './support/kubernetes/api-stand-in.ts';
import { kubeconfig } from './support/multus/kubeconfig.ts';
import { noNamespaces } from './support/namespaces/namespace.ts';
import type { Foreign } from './support/plugins/call.ts';

// The conformance suite on arm64, under qemu-user, if WAYMARK_ARM64 asks for it: by the shims, with an agent that is an
// executable for arm64, too; and by the executables themselves, of which each call takes two seconds, what shows of processes,
// or all of it with WAYMARK_ARM64=full.

const ROOT = join(import.meta.dirname, '..');
const PROCESSES = 'test/conformance-process.test.ts';
const SUITE = globSync('test/conformance/*.test.ts', { cwd: ROOT }).sort();
const asked = process.env.WAYMARK_ARM64;
const skip =
  (asked === undefined && 'takes too long; WAYMARK_ARM64=1 asks for it') || noNamespaces || noArm64Build || noEmulator;

t.test('the conformance suite on arm64', { skip, timeout: 0 }, async (t) => {
  const work = mkdtempSync(join(tmpdir(), 'waymark-arm64-'));
  t.teardown(() => rmSync(work, { recursive: true, force: true }));
  const [folder, shims] = [join(work, 'bin'), join(work, 'shim')];
  buildArm64(folder, shims);

  t.test('by the shims and the agent', async (t) => {
    const command = [...EMULATOR, join(folder, 'waymark'), 'agent'];
    const { socket } = await agentProcess(t, { command, args: await clusterOf(t, work) });
    await runSuite(t, { under: EMULATOR, folder: shims, env: shimEnv(socket, {}) }, SUITE);
    const { requests } = JSON.parse((await page({ socketPath: socket }, '/status')).body);
    t.ok(requests > 2000, `the agent has served ${requests} calls`);
  });

  t.test('by the executables', (t) =>
    runSuite(t, { under: EMULATOR, folder, env: {} }, [PROCESSES, ...(asked === 'full' ? SUITE : [])]),
  );
});

/** The options of an agent that follows the pods of a node, with which it serves multi-network. There are none. */
async function clusterOf(t: Test, folder: string): Promise<string[]> {
  const api = new ApiStandIn();
  await api.start();
  t.teardown(() => api.stop());
  const file = join(folder, 'kubeconfig');
  writeFileSync(file, kubeconfig(api.url));
  return ['--node', 'node-1', '--kubeconfig', file, '--state-dir', join(folder, 'state')];
}

async function runSuite(t: Test, foreign: Foreign, files: readonly string[]): Promise<void> {
  for (const file of files) {
    const env = { ...process.env, WAYMARK_TEST_FOREIGN: JSON.stringify(foreign) };
    await t.spawn(
      process.execPath,
      ['--import=./test/support/warnings.ts', file],
      { cwd: ROOT, env, timeout: 0 },
      file,
    );
  }
}
