import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { validAttachments } from '../../../lib/plugin/gc.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';

t.test('the list of valid attachments', async (t) => {
  const valid = [{ containerID: 'c', ifname: 'eth0' }];
  const [key, first] = ['cni.dev/valid-attachments', 'cni.dev/attachments'];
  t.strictSame(validAttachments({ [key]: valid, [first]: [] }), valid);
  t.strictSame(validAttachments({ [first]: valid }), valid);
  t.strictSame(validAttachments({}), []);
  for (const wrong of [
    'x',
    {},
    [null],
    [...valid, {}],
    [{ containerID: 'c' }],
    [{ ifname: 'eth0' }],
    [{ containerID: 'c', ifname: 7 }],
  ])
    t.throws(() => validAttachments({ [key]: wrong } as never), { code: 7, message: /^cni\.dev\/valid-attachments: / });
});

t.test('GC', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const routes = [{ dst: '10.1.0.0/16', gw: '10.244.1.1' }];
  const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, routes };
  const ask = (verb: string, keys: object = {}) => call(staticRoute, variables(verb, pod.path), { ...config, ...keys });
  const journal = join(dataDir, 'static-route', 'container-1-eth0.json');
  const valid = [{ containerID: 'container-1', ifname: 'eth0' }];
  success(await ask('ADD'));

  t.test('takes the list of valid attachments by its first name too, which older runtimes send alone', async (t) => {
    success(await ask('GC', { 'cni.dev/attachments': valid }));
    t.ok(existsSync(journal));
  });

  t.test('forgets nothing where it only says what it would do, and tells what it forgot', async (t) => {
    const none = { 'cni.dev/valid-attachments': [] };
    const noop = await call(staticRoute, variables('GC', pod.path), { ...config, ...none }, ['--noop']);
    t.match(noop.document, { command: 'GC', changes: [] });
    t.ok(existsSync(journal));
    t.equal((await ask('GC', { 'cni.dev/valid-attachments': valid })).stderr, '');
    t.match(JSON.parse((await ask('GC', none)).stderr), { level: 'info', msg: 'forgot attachments', files: [journal] });
    t.notOk(existsSync(journal));
    success(await ask('ADD'));
  });

  t.test('goes on after a file that it cannot read, and reports it at the end', async (t) => {
    mkdirSync(join(dataDir, 'static-route', 'aaa-eth0.json'));
    const { document } = await ask('GC', { 'cni.dev/valid-attachments': [] });
    t.match(document, { code: 5, msg: /could not be forgotten: .*aaa-eth0\.json/ });
    t.notOk(existsSync(journal));
  });
});
