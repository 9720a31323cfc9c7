import t from 'tap';
import { isBuildingSnapshot, setBuildingSnapshot } from '../../../lib/native/snapshot.ts';

t.test('a process builds a snapshot only while somebody says so', async (t) => {
  t.equal(isBuildingSnapshot(), false);
  setBuildingSnapshot(true);
  t.equal(isBuildingSnapshot(), true);
  setBuildingSnapshot(false);
  t.equal(isBuildingSnapshot(), false);
});
