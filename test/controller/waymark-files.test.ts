import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { WaymarkFiles } from '../../controller/waymark-files.ts';
import { ApiStandIn } from '../support/kubernetes/api-stand-in.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';
import { until } from '../support/until.ts';

const PATH = '/api/v1/namespaces/waymark/configmaps/waymark-files';

async function filesOf(t: Test) {
  const api = new ApiStandIn();
  api.kinds.add('configmaps');
  await api.start();
  const root = scratchFolder(t);
  mkdirSync(join(root, 'etc'));
  const client = api.client();
  const logs: string[] = [];
  const files = new WaymarkFiles({
    ...{ client, namespace: 'waymark', pathOf: (path: string) => join(root, path) },
    log: (_, message, fields) => logs.push(`${message} ${JSON.stringify(fields)}`),
    backoff: { firstMs: 10, maxMs: 20 },
  });
  files.start();
  t.teardown(async () => {
    await files.stop();
    client.close();
    await api.stop();
  });
  const put = (data: object, binaryData: object = {}, name = 'waymark-files') =>
    api.put(PATH.replace('waymark-files', name), { metadata: { name, namespace: 'waymark' }, data, binaryData });
  const folder = join(root, 'etc/waymark');
  const read = (name: string) => {
    try {
      return readFileSync(join(folder, name), 'utf8');
    } catch {
      return undefined;
    }
  };
  return { api, files, put, folder, read, logs };
}

t.test('each key is a file, replaced as a whole, and only if it differs; of no other ConfigMap', async (t) => {
  const { put, folder, read, api } = await filesOf(t);
  put({ 'other.yaml': 'x' }, {}, 'others');
  put({ 'topology.yaml': 'vrf: {}' }, { blob: Buffer.from([0, 255]).toString('base64') });
  await until(() => read('topology.yaml') === 'vrf: {}' && read('blob') !== undefined);
  t.strictSame(readFileSync(join(folder, 'blob')), Buffer.from([0, 255]));
  t.equal(statSync(join(folder, 'topology.yaml')).mode & 0o777, 0o600);
  const inode = (name: string) => lstatSync(join(folder, name)).ino;
  const [map, blob] = [inode('topology.yaml'), inode('blob')];
  put({ 'topology.yaml': 'vrf: {a: 1}' }, { blob: Buffer.from([0, 255]).toString('base64') });
  await until(() => read('topology.yaml') === 'vrf: {a: 1}');
  t.not(inode('topology.yaml'), map, 'by rename');
  t.equal(inode('blob'), blob);

  put({ 'new.yaml': '' });
  await until(() => read('new.yaml') === '');
  api.delete(PATH);
  put({ 'newer.yaml': '1' });
  await until(() => read('newer.yaml') === '1');
  t.strictSame(readdirSync(folder).sort(), ['blob', 'new.yaml', 'newer.yaml', 'topology.yaml'], 'what goes stays here');
});

t.test('what is no plain name is refused, and does not hold up the others', async (t) => {
  const { put, folder, read, files, logs } = await filesOf(t);
  const names = ['..', '.hidden', '../escape', 'a/b', '', 'x'.repeat(221)];
  put({ ...Object.fromEntries(names.map((name) => [name, 'bad'])), good: 'good' });
  await until(() => logs.some((line) => line.includes('"file":"good"')));
  t.equal(read('good'), 'good');
  t.equal(files.problems.length, names.length);
  t.strictSame(readdirSync(folder), ['good']);
  t.strictSame(readdirSync(join(folder, '..')), ['waymark']);
  t.match(logs, [/"file":"good"/]);
});

t.test('a link in a file’s place is replaced, not followed; what cannot be written is tried again', async (t) => {
  const { put, folder, read, files, logs } = await filesOf(t);
  mkdirSync(folder, { mode: 0o755 });
  writeFileSync(join(folder, '..', 'precious'), 'precious');
  mkdirSync(join(folder, 'stuck'));
  put({ stuck: 'free', more: 'more' });
  await until(() => files.problems.length === 1);
  t.equal(read('more'), 'more');
  rmdirSync(join(folder, 'stuck'));
  await until(() => files.problems.length === 0);
  t.equal(read('stuck'), 'free');
  t.strictSame(files.problems, []);
  t.equal(logs.filter((line) => line.includes('cannot be written')).length, 1, 'told once');
  symlinkSync('../precious', join(folder, 'link'));
  put({ link: 'text' });
  await until(() => read('link') === 'text' || files.problems.length > 0);
  t.equal(readFileSync(join(folder, '..', 'precious'), 'utf8'), 'precious');
});
