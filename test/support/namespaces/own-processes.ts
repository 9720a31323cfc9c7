import t, { type Test } from 'tap';
import { noNamespaces, works } from './namespace.ts';

// A mount namespace begins as a copy, with the network namespaces that other tests have mounted at that moment, each twice
// where /run is shared. One that its test removes meanwhile goes here too.
const OWN_MOUNTS = [
  'while umount -l /run/netns 2>/dev/null; do :; done',
  "awk '/ - nsfs / { print $5 }' /proc/self/mountinfo | xargs -r umount -l 2>/dev/null",
  "! grep ' - nsfs ' /proc/self/mountinfo && mount -t tmpfs -o mode=755 tmpfs /run",
].join('; ');

const INSIDE = 'WAYMARK_TEST_OWN_PROCESSES';

/** Why a file's tests cannot run in a PID namespace of their own, or false. */
export const noOwnProcesses: string | false =
  noNamespaces || (works('unshare', ['--version']) ? false : 'needs unshare');

/**
 * Runs the tests of a file in PID and mount namespaces of their own, where they see every process and every process may be
 * inspected, whatever else the machine runs, with an empty /run: `file` is run a second time there.
 */
export async function withOwnProcesses(file: string, tests: (t: Test) => Promise<void>): Promise<void> {
  if (process.env[INSIDE] !== undefined) return tests(t);
  await t.test('in a PID namespace of its own', { skip: noOwnProcesses }, async (t) => {
    const run = ['sh', '-c', `${OWN_MOUNTS} && exec "$@"`, 'sh'];
    const node = [process.execPath, ...process.execArgv, file];
    const args = ['--pid', '--fork', '--kill-child', '--mount-proc', ...run, ...node];
    await t.spawn('unshare', args, { env: { ...process.env, [INSIDE]: '1' } }, file);
  });
}
