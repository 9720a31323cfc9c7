import { execFileSync } from 'node:child_process';
import t from 'tap';
import {
  consistentName,
  furtherSelectionsOf,
  parseKactusSelections,
  selectionsOf,
} from '../../../lib/attachments/kactus.ts';
import { podOf } from '../../../lib/attachments/pod.ts';

const read = (list: unknown) => parseKactusSelections(typeof list === 'string' ? list : JSON.stringify(list), 'shop');
const podWith = (annotations: { [key: string]: string }) =>
  podOf({ metadata: { name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '7', annotations } });

t.test('an interface is named by the MD5 of its network', async (t) => {
  const md5 = execFileSync('md5sum', { input: 'blue', encoding: 'utf8' }).slice(0, 12);
  t.equal(consistentName('blue'), `net${md5}`);
});

t.test('reads name, namespace, hardware address and which one is primary', async (t) => {
  const { selections, refusals, problem } = read([
    { name: 'blue' },
    { name: 'red', namespace: 'other', ifMac: '02:00:00:00:00:01' },
    { name: 'green', isPrimary: true },
    { name: 'grey', isPrimary: false, ifMac: '' },
  ]);
  t.strictSame([refusals, problem], [[], undefined]);
  t.strictSame(
    selections.map(({ network, interface: ifname, origin, isPrimary, request }) => [
      network,
      ifname,
      origin,
      isPrimary,
      request.mac,
    ]),
    [
      ['shop/blue', consistentName('blue'), 'kactus', undefined, undefined],
      ['other/red', consistentName('red'), 'kactus', undefined, '02:00:00:00:00:01'],
      ['shop/green', undefined, 'kactus', true, undefined],
      ['shop/grey', consistentName('grey'), 'kactus', undefined, undefined],
    ],
  );
});

t.test('what is no JSON list is somebody else’s, and one that is cut short is a problem', async (t) => {
  for (const text of [undefined, '', '{}', 'blue'])
    t.strictSame(parseKactusSelections(text, 'shop'), { selections: [], refusals: [] });
  t.match(read('  [{'), { selections: [], refusals: [], problem: 'kactus’ annotation is not JSON' });
});

t.test('refuses what it cannot read, and more than one primary network', async (t) => {
  t.strictSame(
    read([7, { name: 'blue', isPrimary: 'yes' }, {}, { name: 'ok' }])
      .refusals.map(({ reason }) => reason)
      .slice(0, 2),
    ['a selection is not an object', '"isPrimary" is neither true nor false'],
  );
  t.equal(read([7, { name: 'blue', isPrimary: 'yes' }, {}, { name: 'ok' }]).refusals.length, 3);
  const two = read([
    { name: 'a', isPrimary: true },
    { name: 'b', isPrimary: true },
  ]);
  t.match(two, { selections: [], problem: 'only one network can be primary' });
  t.equal(read([{ name: 'a', isPrimary: true }]).problem, undefined);
});

t.test('a pod selects by both annotations, kactus’ first; its primary one is no further one', async (t) => {
  const pod = podWith({
    networks: '[{"name":"green","isPrimary":true},{"name":"blue"},7]',
    'k8s.v1.cni.cncf.io/networks': 'red',
  });
  const names = (all: { selections: readonly { network: string }[] }) => all.selections.map(({ network }) => network);
  t.strictSame(names(selectionsOf(pod)), ['shop/green', 'shop/blue', 'shop/red']);
  t.equal(selectionsOf(pod).refusals.length, 1);
  t.notOk('problem' in selectionsOf(pod));
  t.strictSame(names(furtherSelectionsOf(pod)), ['shop/blue', 'shop/red']);
  t.equal(selectionsOf(podWith({ networks: '[{' })).problem, 'kactus’ annotation is not JSON');
  t.match(selectionsOf(podWith({ networks: '[{', 'k8s.v1.cni.cncf.io/networks': '[{' })).problem, /^(?!kactus)/);
});
