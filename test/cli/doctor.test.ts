import * as fs from 'node:fs';
import t, { type Test } from 'tap';
import { EXIT_CODES } from '../../cli/doctor.ts';
import { HERE } from '../../lib/cni/place.ts';

// Where `waymark doctor` looks, and how it exits. What it finds is in doctor/.

/** Where the node's files are if process 1 has this mount namespace, and we have `mnt:[1]`. */
async function placeBeside(t: Test, ofProcess1: string | undefined) {
  const did: string[] = [];
  const { nodePlace } = await t.mockImport<typeof import('../../cli/doctor.ts')>('../../cli/doctor.ts', {
    'node:fs': {
      ...fs,
      readlinkSync: (path: string) => {
        if (path !== '/proc/1/ns/mnt') return 'mnt:[1]';
        if (ofProcess1 === undefined) throw new Error('EACCES');
        return ofProcess1;
      },
    },
    '../../agent/caller.ts': {
      callerOf: (pid: number) => ({ pathOf: (path: string) => `${pid}${path}`, close: () => void did.push('closed') }),
    },
  });
  return { node: nodePlace(), did };
}

t.test('the exit code says how bad it is', async (t) => {
  t.strictSame(EXIT_CODES, { ok: 0, warning: 1, problem: 2 });
});

t.test('in a container the node’s files are those of process 1, else ours', async (t) => {
  const { node, did } = await placeBeside(t, 'mnt:[2]');
  t.equal(node.pathOf('/x'), '1/x');
  node.close();
  t.strictSame(did, ['closed']);
  for (const ofProcess1 of ['mnt:[1]', undefined]) {
    const { node } = await placeBeside(t, ofProcess1);
    t.equal(node.pathOf('/x'), HERE.pathOf('/x'), ofProcess1 ?? 'if we may not look');
    node.close();
  }
});
