import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Change } from '../../../lib/change/change.ts';
import { rename } from '../../../lib/change/link-kinds.ts';
import { apply, undo } from '../../../lib/change/transaction.ts';
import { FileError } from '../../../lib/files/files.ts';
import { NetlinkError } from '../../../lib/netlink/errors.ts';
import { Observation } from '../../../lib/observation/observation.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { socketIn } from '../../support/namespaces/transport.ts';
import { call, variables } from '../../support/plugins/call.ts';

const RTM_DELLINKPROP = 109;
const ENOBUFS = 105;

// Found by test/bad-input-property.test.ts.
t.test('a replaced route whose gateway lies in a replaced subnet comes back too', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  pod.ip('route add 10.200.0.0/16 via 10.244.1.2');
  const before = pod.routes();
  const config = (subnet: object) => ({
    cniVersion: '1.1.0',
    name: 'net',
    type: 'static-route',
    dataDir: join(scratchFolder(t), 'data'),
    onConflict: 'replace',
    routes: [
      { dst: '10.244.1.0/24', ...subnet },
      { dst: '10.200.0.0/16', dev: 'eth0' },
    ],
  });

  await t.test('after an ADD that the kernel refused', async (t) => {
    // Without the subnet's own route, its gateway is out of reach.
    const answer = await call(staticRoute, variables('ADD', pod.path), config({ gw: '10.244.1.1' }));
    t.match(answer.document, { code: 104, msg: 'routes[0]' });
    t.equal(pod.routes(), before);
  });

  await t.test('after a DEL', async (t) => {
    const stdin = config({ gw: '10.244.1.1', onlink: true });
    t.equal((await call(staticRoute, variables('ADD', pod.path), stdin)).code, 0);
    t.equal((await call(staticRoute, variables('DEL', pod.path), stdin)).code, 0);
    t.equal(pod.routes(), before);
  });
});

t.test('others have a turn between writes, and not before the first', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const socket = socketIn(t, pod);
  const link = Number(pod.ipJson('link show eth0')[0]?.ifindex);
  let turns = 0;
  const breathe = async () => {
    turns += 1;
  };
  const name = (op: 'add-altname' | 'delete-altname', name: string): Change => ({ op, link, name });
  await apply(socket, [name('add-altname', 'green'), name('add-altname', 'red')], Observation.of(socket), { breathe });
  t.equal(turns, 0);
  // A rename is made by itself, and so is what comes before and behind it.
  const renaming: Change = { op: 'rename-link', link, from: 'eth0', to: 'blue' };
  await apply(socket, [name('delete-altname', 'red'), renaming, name('add-altname', 'eth0')], Observation.of(socket), {
    breathe,
  });
  t.equal(turns, 2);
  t.strictSame(pod.ipJson('link show blue')[0]?.altnames, ['green', 'eth0']);
});

t.test('a journal that cannot be written in the middle of a rename', { skip: noNamespaces }, async (t) => {
  const { make } = rename;
  rename.make = async () => {
    throw new FileError('/run/waymark/x.json', 'cannot be written (ENOSPC)');
  };
  t.teardown(() => Object.assign(rename, { make }));
  const pod = scratchPod(t);
  const socket = socketIn(t, pod);
  const link = Number(pod.ipJson('link show eth0')[0]?.ifindex);
  const changes: Change[] = [
    { op: 'add-altname', link, name: 'green' },
    { op: 'rename-link', link, from: 'eth0', to: 'blue' },
  ];

  await t.test('is a refusal to ADD, which takes back what it made', async (t) => {
    const refused = await apply(socket, changes, Observation.of(socket)).catch((error: unknown) => error);
    t.match(refused, { index: 1, reason: { cause: { name: 'FileError' } } });
    t.equal(pod.ipJson('link show eth0')[0]?.altnames, undefined);
  });

  await t.test('does not keep DEL from taking away what is ours', async (t) => {
    pod.ip('link property add dev eth0 altname green');
    pod.ip('link set eth0 name blue');
    const { failed } = await undo(socket, changes);
    t.match(failed, [{ change: { op: 'rename-link' }, error: { code: 'EIO', message: /cannot be written/ } }]);
    t.equal(pod.ipJson('link show blue')[0]?.altnames, undefined);
  });
});

t.test('an undo goes on where the answer to a change is lost', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const socket = socketIn(t, pod);
  const link = Number(pod.ipJson('link show eth0')[0]?.ifindex);
  const { change } = socket;
  socket.change = async (...asked) => {
    if (asked[0].some(({ type }) => type === RTM_DELLINKPROP)) throw new NetlinkError('receive', ENOBUFS);
    return change.apply(socket, asked);
  };
  const changes: Change[] = [
    { op: 'rename-link', link, from: 'eth0', to: 'blue' },
    { op: 'add-altname', link, name: 'green' },
  ];
  await apply(socket, changes, Observation.of(socket));
  const { count, failed } = await undo(socket, changes);
  t.equal(count, 1);
  t.match(failed, [{ change: { op: 'add-altname' }, error: { code: 'ENOBUFS' }, isLost: true }]);
  t.match(pod.ipJson('link show eth0'), [{ altnames: ['green'] }]);
});

t.test(
  'an ADD on a damaged journal records again what DEL could undo by the config',
  { skip: noNamespaces },
  async (t) => {
    const pod = scratchPod(t);
    const before = pod.routes();
    const dataDir = join(scratchFolder(t), 'data');
    const routes = ['10.1.0.0/16', '10.2.0.0/16'].map((dst) => ({ dst, gw: '10.244.1.1' }));
    const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, routes };
    const ask = (verb: string, more = {}) => call(staticRoute, variables(verb, pod.path), { ...config, ...more });
    t.equal((await ask('ADD')).code, 0);
    const path = join(dataDir, 'static-route/container-1-eth0.json');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.slice(0, text.indexOf('10.2.0.0')));
    t.equal((await ask('ADD')).code, 0);
    // Without the config's help: the journal must have both again.
    t.equal((await ask('DEL', { routes: [] })).code, 0);
    t.equal(pod.routes(), before);
  },
);
