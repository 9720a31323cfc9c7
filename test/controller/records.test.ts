import { readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Records, type SandboxRecord, withAttachment, withoutAttachment } from '../../controller/records.ts';

const RECORD: SandboxRecord = {
  version: 1,
  containerID: 'c1',
  netns: '/run/netns/c1',
  pod: { namespace: 'shop', name: 'web', uid: 'uid-1' },
  attachments: [],
  defaults: [],
};
const NET1 = { ifname: 'net1', network: 'shop/blue', state: 'attached', request: {} } as const;

t.test('what was written is there after a restart, and gone when nothing is attached', async (t) => {
  const folder = join(t.testdir(), 'records');
  const records = new Records(folder);
  records.put(withAttachment(RECORD, NET1));
  t.equal(statSync(join(folder, 'c1.json')).mode & 0o777, 0o600);
  const again = new Records(folder);
  t.strictSame(again.all(), [{ ...RECORD, attachments: [NET1] }]);
  t.equal(again.ofPod('shop', 'web').length, 1);
  t.strictSame(again.ofPod('shop', 'other'), []);
  const changed = withAttachment(again.get('c1') ?? RECORD, { ...NET1, state: 'unfinished' });
  t.strictSame(changed.attachments, [{ ...NET1, state: 'unfinished' }], 'one for each interface name');
  again.put(withoutAttachment(changed, 'net1'));
  t.strictSame(readdirSync(folder), []);
  t.strictSame(new Records(folder).all(), []);
});

t.test('a file that cannot be read is reported, and stays', async (t) => {
  const folder = join(t.testdir(), 'records');
  new Records(folder).put(withAttachment(RECORD, NET1));
  writeFileSync(join(folder, 'cut.json'), '{"version":1');
  writeFileSync(join(folder, 'newer.json'), '{"version":2}');
  writeFileSync(join(folder, 'null.json'), 'null');
  const damaged: string[] = [];
  const records = new Records(folder, (path) => damaged.push(path.replace(/.*\//, '')));
  t.strictSame(damaged.sort(), ['cut.json', 'newer.json', 'null.json']);
  t.equal(records.all().length, 1);
  t.equal(readdirSync(folder).length, 4);
});

t.test('an id that is no file name is refused', async (t) => {
  const records = new Records(join(t.testdir(), 'records'));
  t.throws(() => records.put({ ...RECORD, containerID: '../../etc/passwd' }), { name: 'FileError' });
});

t.test('keeps in memory what a full disk does not take, if it says nothing new', async (t) => {
  const folder = join(t.testdir(), 'records');
  const records = new Records(folder);
  const NET2 = { ...NET1, ifname: 'net2' };
  records.put(withAttachment(withAttachment(RECORD, NET1), NET2));
  // What is to be replaced by way of this path cannot be.
  renameSync(folder, `${folder}-away`);
  const left = withoutAttachment(records.get('c1') ?? RECORD, 'net1');
  t.throws(() => records.put(left), { name: 'FileError' });
  t.equal(records.get('c1')?.attachments.length, 2, 'as before');
  records.putOrKeep(left);
  t.strictSame(records.get('c1')?.attachments, [NET2]);
  t.equal(new Records(`${folder}-away`).get('c1')?.attachments.length, 2, 'the file says more than was done');
});
