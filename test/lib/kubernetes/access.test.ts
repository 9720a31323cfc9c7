import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { inClusterAccess, kubeconfigAccess } from '../../../lib/kubernetes/access.ts';

const config = (user: object, cluster: object = { server: 'https://host:6443/' }) =>
  JSON.stringify({
    'current-context': 'here',
    contexts: [
      { name: 'there', context: { cluster: 'none', user: 'none' } },
      { name: 'here', context: { cluster: 'c', user: 'u' } },
    ],
    clusters: [
      { name: 'other', cluster: { server: 'https://other:6443' } },
      { name: 'c', cluster },
    ],
    users: [
      { name: 'other', user: { token: 'of another' } },
      { name: 'u', user },
    ],
  });

t.test('the pod’s own account, whose token is read again', async (t) => {
  const folder = t.testdir({ token: 'one\n', 'ca.crt': 'CA' });
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const access = inClusterAccess(env, folder);
  t.equal(access?.server, 'https://[fd00::1]:443');
  t.strictSame(access?.credentials(), { ca: 'CA', token: 'one' });
  writeFileSync(join(folder, 'token'), 'two');
  t.equal(access?.credentials().token, 'two');
});

t.test('no account outside a pod, or in a pod without one', async (t) => {
  t.equal(inClusterAccess({}, t.testdir({ token: 'one' })), undefined);
  t.equal(inClusterAccess({ KUBERNETES_SERVICE_HOST: '10.96.0.1' }, t.testdir({})), undefined);
});

t.test('a kubeconfig’s current context, with files beside it or data in it', async (t) => {
  const data = (text: string) => Buffer.from(text).toString('base64');
  const cluster = { server: 'https://host:6443/', 'certificate-authority': 'ca.pem' };
  const user = { 'client-certificate-data': data('CERT'), 'client-key-data': data('KEY') };
  const folder = t.testdir({
    certificates: config(user, cluster),
    token: config({ tokenFile: 'secret' }),
    'ca.pem': 'CA',
    secret: 'from a file\n',
  });
  const access = await kubeconfigAccess(join(folder, 'certificates'));
  t.equal(access.server, 'https://host:6443');
  t.match(access.credentials(), { ca: 'CA', cert: 'CERT', key: 'KEY' });
  t.equal((await kubeconfigAccess(join(folder, 'token'))).credentials().token, 'from a file');
});

t.test('says what is wrong with a kubeconfig', async (t) => {
  const folder = t.testdir({
    exec: config({ exec: { command: 'aws' } }),
    context: JSON.stringify({ 'current-context': 'here' }),
    server: config({}, { server: 'host:6443' }),
    yaml: '"',
    list: '7',
    lost: config({ tokenFile: 'nowhere' }),
  });
  const read = (name: string) => kubeconfigAccess(join(folder, name));
  await t.rejects(read('exec'), /exec, auth-provider/);
  await t.rejects(read('context'), /names no cluster/);
  await t.rejects(read('server'), /not an http/);
  await t.rejects(read('yaml'), /is not YAML/);
  await t.rejects(read('list'), /not a kubeconfig/);
  await t.rejects(read('none'), /cannot be read \(ENOENT\)/);
  const lost = await read('lost');
  t.throws(() => lost.credentials(), { name: 'AccessError', message: /nowhere cannot be read/ });
});
