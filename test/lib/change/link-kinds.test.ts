import t from 'tap';
import { kindOf, parseChange } from '../../../lib/change/change.ts';
import { addAltname, deleteAltname, rename } from '../../../lib/change/link-kinds.ts';
import { observed } from '../../support/plugins/observed.ts';

const pod = (...altnames: string[]) => observed({ lo: [], eth0: [] }, [], { eth0: { altnames } });
const [ADD, DELETE] = [
  { op: 'add-altname', link: 2, name: 'green' },
  { op: 'delete-altname', link: 2, name: 'green' },
] as const;
const RENAME = { op: 'rename-link', link: 2, from: 'eth0', to: 'green' } as const;
const LOST = { addresses: [], routes: [], neighbours: [] };

t.test('what each kind is', async (t) => {
  t.match(addAltname, { undoGivesBack: false, isChecked: true });
  t.match(deleteAltname, { undoGivesBack: true, isChecked: true });
  t.match(rename, { undoGivesBack: true, isChecked: true });
  t.strictSame(
    [addAltname.needsLook(ADD), deleteAltname.needsLook(DELETE), rename.needsLook(RENAME)],
    [false, false, true],
  );
  t.strictSame([...addAltname.undoneBy], ['ENODEV', 'EEXIST']);
  t.strictSame([...deleteAltname.undoneBy], ['ENODEV', 'ENOENT', 'EINVAL', 'EOPNOTSUPP']);
  t.strictSame([...rename.undoneBy], ['ENODEV']);
});

t.test('by the config alone, an altname can be taken away, and a rename where the first name is one', async (t) => {
  t.equal(addAltname.isKnownByConfig(ADD, pod()), true);
  t.equal(deleteAltname.isKnownByConfig(DELETE, pod()), false);
  t.equal(rename.isKnownByConfig({ ...RENAME, from: 'first' }, pod('first')), true);
  t.equal(rename.isKnownByConfig({ ...RENAME, from: 'first' }, pod()), false);
  t.equal(rename.isKnownByConfig({ ...RENAME, link: 9 }, pod()), false);
});

t.test('on a link that is gone nothing holds but a deletion', async (t) => {
  const gone = { link: 9 };
  t.equal(addAltname.holds({ ...ADD, ...gone }, pod()), false);
  t.equal(deleteAltname.holds({ ...DELETE, ...gone }, pod()), true);
  t.equal(rename.holds({ ...RENAME, ...gone }, pod()), false);
});

t.test('a rename under way is half made, and progress is of the same link only', async (t) => {
  t.equal(rename.isHalfMade?.(RENAME), false);
  t.equal(rename.isHalfMade?.({ ...RENAME, lost: LOST }), true);
  const undoing = { ...RENAME, from: 'green', to: 'eth0' };
  t.strictSame(rename.progress?.(RENAME, { ...undoing, lost: LOST }), { ...RENAME, lost: LOST });
  t.strictSame(rename.progress?.({ ...RENAME, lost: LOST }, undoing), RENAME);
  t.equal(rename.progress?.(RENAME, { ...undoing, link: 3, lost: LOST }), undefined);
  t.strictSame(rename.inverse({ ...RENAME, lost: LOST }), { ...undoing, lost: LOST });
});

t.test('in words', async (t) => {
  const words = ([ADD, DELETE, RENAME] as const).map((change) => [
    kindOf(change).describe(change, pod()),
    kindOf(change).difference(change, pod()),
  ]);
  t.strictSame(words, [
    ['add altname green to eth0', 'interface eth0 has no altname green'],
    ['delete altname green of eth0', 'interface eth0 still has the altname green'],
    ['rename interface eth0 to green', 'interface eth0 is not named green'],
  ]);
});

t.test('what lacks a field is not known', async (t) => {
  for (const change of [ADD, DELETE, RENAME]) {
    t.equal(parseChange(change), change);
    for (const key of Object.keys(change))
      t.equal(parseChange({ ...change, [key]: undefined }), undefined, `${change.op} ${key}`);
    t.equal(parseChange({ ...change, link: '2' }), undefined);
  }
  t.equal(parseChange({ ...ADD, name: 2 }), undefined);
  t.equal(parseChange({ ...RENAME, from: 2 }), undefined);
  t.equal(parseChange({ ...RENAME, to: 2 }), undefined);
  t.equal(parseChange({ ...ADD, op: 'toString' }), undefined);
});
