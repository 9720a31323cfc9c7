import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ApiClient, type RequestReport } from '../../../lib/kubernetes/client.ts';
import { ApiError } from '../../../lib/kubernetes/errors.ts';
import { ApiStandIn, refuse } from '../../support/kubernetes/api-stand-in.ts';
import { until } from '../../support/until.ts';

const POD = '/api/v1/namespaces/a/pods/p';

async function failure(answer: Promise<unknown>): Promise<ApiError> {
  const error = await answer.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error instanceof ApiError) return error;
  throw new Error(`not an ApiError: ${error}`);
}

async function standIn(t: Test, tls?: { key: string; cert: string }): Promise<ApiStandIn> {
  const server = new ApiStandIn(tls);
  await server.start();
  t.teardown(() => server.stop());
  return server;
}

t.test('reads and patches objects; errors have the server’s status and reason', async (t) => {
  const server = await standIn(t);
  const client = server.client();
  const { metadata } = server.put(POD, { metadata: { name: 'p', namespace: 'a', annotations: { kept: '1' } } });
  t.equal((await client.get(POD)).metadata.uid, metadata.uid);

  const { resourceVersion, uid } = metadata;
  const patched = await client.mergePatch(`${POD}/status`, {
    metadata: { resourceVersion, uid, annotations: { x: 'y' } },
  });
  t.strictSame(patched.metadata.annotations, { kept: '1', x: 'y' });
  const stale = { metadata: { resourceVersion, annotations: { x: 'z' } } };
  t.match(await failure(client.mergePatch(`${POD}/status`, stale)), {
    status: 409,
    reason: 'Conflict',
    isConflict: true,
  });
  t.strictSame(server.get(POD)?.metadata.annotations, { kept: '1', x: 'y' }, 'a stale patch changes nothing');
  t.match(await failure(client.get('/api/v1/namespaces/a/pods/none')), { status: 404, isNotFound: true });
});

t.test('a patch of another object of the same name fails', async (t) => {
  const server = await standIn(t);
  server.put(POD, { metadata: { name: 'p', namespace: 'a', uid: 'first' } });
  server.delete(POD);
  server.put(POD, { metadata: { name: 'p', namespace: 'a', uid: 'second' } });
  const patched = server.client().mergePatch(POD, { metadata: { uid: 'first' } });
  t.match(await failure(patched), { isConflict: true });
});

t.test('reports each request, and takes the pause that the server asks for', async (t) => {
  const server = await standIn(t);
  const reports: RequestReport[] = [];
  const access = { server: server.url, credentials: () => ({ token: 'secret' }) };
  const client = new ApiClient({ access, userAgent: 'waymark/test', report: (report) => reports.push(report) });
  t.teardown(() => client.close());
  server.fault = (_, response) => {
    response.setHeader('retry-after', '7');
    refuse(response, 429, 'TooManyRequests', 'slow down');
    return true;
  };
  t.match(await failure(client.get(POD)), { status: 429, retryAfterMs: 7000, message: 'slow down' });
  t.match(reports, [{ verb: 'get', code: 429 }]);
  t.match(server.asked[0]?.headers, { authorization: 'Bearer secret', 'user-agent': 'waymark/test' });
});

t.test('reports a request once, and not the end that we put to it ourselves', async (t) => {
  const server = await standIn(t);
  const reports: RequestReport[] = [];
  const access = { server: server.url, credentials: () => ({ token: 'secret' }) };
  const client = new ApiClient({ access, userAgent: 'waymark/test', report: (report) => reports.push(report) });
  t.teardown(() => client.close());
  const ending = new AbortController();
  const watch = await client.watch('/api/v1/pods', { resourceVersion: '100' }, ending.signal);
  const closed = new Promise((resolve) => watch.on('error', () => undefined).on('close', resolve));
  ending.abort();
  await closed;
  server.fault = () => true;
  const silent = new AbortController();
  const asked = client.list('/api/v1/pods', {}, silent.signal);
  silent.abort();
  await t.rejects(asked, /aborted/);
  t.match(reports, [{ verb: 'watch', code: 200 }]);
  t.equal(reports.length, 1);
  await server.stop();
  await t.rejects(client.get(POD));
  t.match(reports[1], { verb: 'get', code: 0 });
  await server.start();
});

t.test('what is not the API server’s JSON is an ApiError, and so is silence', async (t) => {
  const server = await standIn(t);
  const client = server.client();
  server.fault = (_, response) => {
    response.writeHead(502).end('<html>Bad Gateway</html>');
    return true;
  };
  t.match(await failure(client.get(POD)), { status: 502, message: `${POD}: HTTP 502` });
  server.fault = (_, response) => {
    response.end('[1]');
    return true;
  };
  await t.rejects(client.get(POD), /not an object/);
  await t.rejects(client.list('/api/v1/pods'), /not a list/);
  server.fault = () => true;
  await t.rejects(server.client(200).get(POD), /cannot be reached: no answer within 0\.2 s/);
  await server.stop();
  t.equal((await failure(client.get(POD))).status, undefined, 'nobody listens');
});

t.test('a watch may be silent for longer than an answer may take', async (t) => {
  const server = await standIn(t);
  const end = new AbortController();
  const stream = await server.client().watch('/api/v1/pods', { resourceVersion: '1' }, end.signal);
  t.equal(stream.socket.timeout, 0);
  stream.on('error', () => undefined);
  end.abort();
});

t.test('reads the token and the CA again, so a replaced one is used', async (t) => {
  const folder = t.testdir();
  const path = (name: string) => join(folder, name);
  const make = (name: string) => {
    const subject = ['-subj', '/CN=stand-in', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '1', '-nodes'];
    const files = ['-keyout', path(`${name}.key`), '-out', path(`${name}.crt`)];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', ...subject, ...files], { stdio: 'pipe' });
  };
  try {
    make('first');
    make('other');
  } catch {
    t.pass('needs openssl', { skip: true });
    return;
  }
  const text = (name: string) => readFileSync(path(name), 'utf8');
  const server = await standIn(t, { key: text('first.key'), cert: text('first.crt') });
  server.put(POD, { metadata: { name: 'p', namespace: 'a' } });
  writeFileSync(path('ca'), text('other.crt'));
  writeFileSync(path('token'), 'one');
  const access = { server: server.url, credentials: () => ({ ca: text('ca'), token: text('token') }) };
  const client = new ApiClient({ access, userAgent: 'test' });
  t.teardown(() => client.close());

  await t.rejects(client.get(POD), /self.signed certificate/, 'a server that another CA vouches for is not trusted');
  writeFileSync(path('ca'), text('first.crt'));
  t.equal((await client.get(POD)).metadata.name, 'p');
  writeFileSync(path('token'), 'two');
  await client.get(POD);
  t.strictSame(
    server.asked.map(({ headers }) => headers.authorization),
    ['Bearer one', 'Bearer two'],
  );

  // What a kubeconfig says by insecure-skip-tls-verify.
  const named = async (insecure: boolean | undefined) => {
    const careless = { server: server.url, credentials: () => ({ token: 'three', insecure }) };
    const client = new ApiClient({ access: careless, userAgent: 'test' });
    return client
      .get(POD)
      .then(({ metadata }) => metadata.name)
      .finally(() => client.close());
  };
  t.equal(await named(true), 'p', 'a server is trusted unseen only if that is asked for');
  for (const insecure of [false, undefined]) await t.rejects(named(insecure), /self.signed certificate/);
});

t.test('a refusal of a watch that does not end is an ApiError, as any other silence', async (t) => {
  const server = await standIn(t);
  const client = server.client(200);
  t.teardown(() => client.close());
  server.fault = (_, response) => {
    response.writeHead(500).write('{');
    return true;
  };
  const said = async () => {
    const { message } = await failure(client.watch('/api/v1/pods', {}, new AbortController().signal));
    return message;
  };
  // On a busy machine even the beginning of the answer may come too late.
  await until(async () => /broke off its answer/.test(await said()), 'the refusal is not broken off');
});
