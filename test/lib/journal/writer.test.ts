import { readlinkSync } from 'node:fs';
import t from 'tap';
import { writer } from '../../../lib/journal/writer.ts';
import { setBuildingSnapshot } from '../../../lib/native/snapshot.ts';

t.test('the writer is the process’s own PID namespace, and nobody while a snapshot is built', async (t) => {
  setBuildingSnapshot(true);
  t.equal(writer(), '');
  setBuildingSnapshot(false);
  t.equal(writer(), readlinkSync('/proc/self/ns/pid'));
  const readlink = () => {
    throw new Error('EACCES');
  };
  const { writer: hidden } = await t.mockImport<typeof import('../../../lib/journal/writer.ts')>(
    '../../../lib/journal/writer.ts',
    { 'node:fs': { readlinkSync: readlink } },
  );
  t.equal(hidden(), '');
});
