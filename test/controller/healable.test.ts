import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Followed } from '../../controller/followed.ts';
import { defaultRoutesOf, healableOf } from '../../controller/healable.ts';
import type { Looked } from '../../controller/look.ts';
import type { Updatable } from '../../lib/plugin/update-list.ts';
import { parseNetwork } from '../../lib/runtime/network.ts';

const FOLLOWED = { ifname: 'net1', network: 'default/blue' } as unknown as Followed;
const UPDATABLE = new Map(['static-route', 'seamless-gateway'].map((type) => [type, {}])) as unknown as Updatable;

const healable = (...plugins: { type: string; [key: string]: unknown }[]) =>
  healableOf(
    FOLLOWED,
    parseNetwork({ cniVersion: '1.0.0', name: 'blue', plugins }, 'x'),
    UPDATABLE,
    (path) => `/node${path}`,
  );

t.test('each plugin that can be updated is healed, once, by the data folder of its first entry', async (t) => {
  const found = healable(
    { type: 'bridge' },
    { type: 'static-route', dataDir: '/a' },
    { type: 'seamless-gateway' },
    { type: 'static-route', dataDir: '/b' },
  );
  const about = { ifname: 'net1', network: 'blue', onConflict: 'fail', of: 'default/blue' };
  t.strictSame(found, [
    { plugin: 'static-route', dataDir: '/node/a', ...about },
    { plugin: 'seamless-gateway', dataDir: '/node/run/waymark', ...about },
  ]);
});

t.test('not one of which any entry says off, in the list or for the attachment', async (t) => {
  t.strictSame(healable({ type: 'static-route', reconcile: 'off' }), []);
  t.strictSame(healable({ type: 'static-route' }, { type: 'static-route', reconcile: 'off' }), []);
  t.strictSame(healable({ type: 'static-route', args: { cni: { reconcile: 'off' } } }), []);
  t.equal(healable({ type: 'static-route', reconcile: 'heal' }).length, 1);
});

t.test('what is in the way is treated as all entries agree, else as with fail', async (t) => {
  const conflictOf = (...conflicts: (string | undefined)[]) =>
    healable(...conflicts.map((onConflict) => ({ type: 'static-route', onConflict })))[0]?.onConflict;
  t.strictSame(
    ['replace', 'keep', 'fail', 'odd', undefined].map((one) => conflictOf(one)),
    ['replace', 'keep', 'fail', 'fail', 'fail'],
  );
  t.equal(conflictOf('keep', 'keep'), 'keep');
  t.equal(conflictOf('keep', 'replace'), 'fail');
  t.equal(conflictOf('replace', undefined), 'fail');
});

t.test('default routes are healed where there is a journal of them', async (t) => {
  const dataDir = t.testdir();
  mkdirSync(join(dataDir, 'default-route'));
  writeFileSync(join(dataDir, 'default-route/c-net1.json'), '');
  const attachments = [
    { ifname: 'net1', network: 'default/blue' },
    { ifname: 'net2', network: 'default/green' },
  ];
  const looked = { containerID: 'c', observed: { attachments } } as unknown as Looked;
  t.strictSame(defaultRoutesOf(looked, dataDir), [
    { plugin: 'default-route', dataDir, ifname: 'net1', network: undefined, onConflict: 'fail', of: 'default/blue' },
  ]);
});
