import { execFileSync } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ApiClient, MAX_ANSWER_BYTES, type RequestReport, VERBS } from '../../../lib/kubernetes/client.ts';
import { ApiError } from '../../../lib/kubernetes/errors.ts';
import { handSetClock } from '../../support/clock.ts';
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

t.test('reports how long the server took, in seconds', async (t) => {
  const server = await standIn(t);
  const reports: RequestReport[] = [];
  const access = { server: server.url, credentials: () => ({}) };
  const client = new ApiClient({ access, userAgent: 'waymark/test', report: (report) => reports.push(report) });
  t.teardown(() => client.close());
  const clock = handSetClock(t);
  server.fault = (_, response) => {
    clock.ms += 2500;
    response.end('{}');
    return true;
  };
  await failure(client.get(POD));
  t.strictSame(reports, [{ verb: 'get', code: 200, seconds: 2.5 }]);
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

const ANSWERS: [status: number, headers: object, body: string, expected: object][] = [
  [404, {}, '{"message":"no","details":{"name":"p"}}', { status: 404, isUnknownKind: false, message: 'no' }],
  [404, {}, '{"message":"no","details":{}}', { status: 404, isUnknownKind: true }],
  [404, {}, '404 page not found', { status: 404, isUnknownKind: true, message: `${POD}: HTTP 404` }],
  [403, {}, '{"message":"no"}', { status: 403, isUnknownKind: false }],
  [500, {}, 'null', { status: 500, message: `${POD}: HTTP 500` }],
  [300, {}, '{}', { status: 300 }],
  [429, { 'retry-after': '1' }, '{}', { status: 429, retryAfterMs: 1000 }],
  [429, { 'retry-after': '0' }, '{}', { status: 429, retryAfterMs: undefined }],
  [429, { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' }, '{}', { status: 429, retryAfterMs: undefined }],
  [200, {}, 'no JSON', { status: 200, message: `${POD}: the answer is not JSON` }],
];

t.test('what an answer says that is none', async (t) => {
  const server = await standIn(t);
  const client = server.client();
  t.teardown(() => client.close());
  for (const [status, headers, body, expected] of ANSWERS) {
    server.fault = (_, response) => {
      response.writeHead(status, { ...headers }).end(body);
      return true;
    };
    const error = await failure(client.get(POD));
    t.strictSame(Object.fromEntries(Object.keys(expected).map((key) => [key, error[key as keyof ApiError]])), expected);
  }
  server.fault = (_, response) => {
    response.writeHead(299).end('{"metadata":{"name":"p","uid":"u","resourceVersion":"1"}}');
    return true;
  };
  t.equal((await client.get(POD)).metadata.uid, 'u');
});

t.test('a list is a page of objects, and where the next one begins', async (t) => {
  const server = await standIn(t);
  const client = server.client();
  t.teardown(() => client.close());
  let answer: object = {};
  server.fault = (_, response) => {
    response.end(JSON.stringify(answer));
    return true;
  };
  const [whole, half] = [{ metadata: { name: 'p', uid: 'u', resourceVersion: '1' } }, { metadata: { name: 'p' } }];
  answer = { items: [whole, half], metadata: { resourceVersion: '7', continue: 'x' } };
  const query = { limit: 2, labelSelector: 'a=b,c', fieldSelector: undefined };
  t.strictSame(await client.list('/api/v1/pods', query), { items: [whole], resourceVersion: '7', continueToken: 'x' });
  t.strictSame(
    [...(server.asked[0]?.query ?? [])],
    [
      ['limit', '2'],
      ['labelSelector', 'a=b,c'],
    ],
  );
  answer = { items: [], metadata: { resourceVersion: '7', continue: '' } };
  t.strictSame(await client.list('/api/v1/pods'), { items: [], resourceVersion: '7' });
  await client.list('/api/v1/pods', { limit: 3 });
  t.strictSame([...(server.asked.at(-1)?.query ?? [])], [['limit', '3']]);
  for (const wrong of [{ items: {}, metadata: { resourceVersion: '7' } }, { items: [] }, { items: [], metadata: {} }]) {
    answer = wrong;
    await t.rejects(client.list('/api/v1/pods'), /the answer is not a list/);
  }
});

t.test('what is sent has a type and a length, what is asked has neither', async (t) => {
  const server = await standIn(t);
  const client = server.client();
  t.teardown(() => client.close());
  const object = { metadata: { name: 'é', uid: 'u', resourceVersion: '1' } };
  server.fault = (_, response) => {
    response.end(JSON.stringify(object));
    return true;
  };
  t.strictSame(await client.create('/api/v1/namespaces/a/events', object), object);
  await client.mergePatch(POD, {});
  await client.get(POD);
  const length = String(Buffer.byteLength(JSON.stringify(object)));
  t.strictSame(
    server.asked.map(({ method, headers }) => [
      method,
      headers['content-type'],
      headers['content-length'],
      headers.authorization,
    ]),
    [
      ['POST', 'application/json', length, undefined],
      ['PATCH', 'application/merge-patch+json', '2', undefined],
      ['GET', undefined, undefined, undefined],
    ],
  );
  t.strictSame(VERBS, ['get', 'list', 'watch', 'create', 'patch']);
});

t.test('an answer has 256 MiB at most', async (t) => {
  t.equal(MAX_ANSWER_BYTES, 268_435_456);
  const server = await standIn(t);
  const text = '{"metadata":{"name":"p","uid":"u","resourceVersion":"1"}}';
  server.fault = (_, response) => {
    response.end(text);
    return true;
  };
  const clientFor = (maxAnswerBytes: number) => {
    const access = { server: server.url, credentials: () => ({}) };
    const client = new ApiClient({ access, userAgent: 'test', maxAnswerBytes });
    t.teardown(() => client.close());
    return client;
  };
  t.equal((await clientFor(text.length).get(POD)).metadata.uid, 'u');
  const message = `the API server broke off its answer: the answer has more than ${text.length - 1} bytes`;
  t.match(await failure(clientFor(text.length - 1).get(POD)), { message, status: undefined });
});

t.test('sixteen requests are under way at a time, and watches beside them', async (t) => {
  const server = await standIn(t);
  const client = server.client();
  t.teardown(() => client.close());
  const held: (() => void)[] = [];
  server.fault = ({ query, path }, response) => {
    if (path === '/version' || query.has('watch')) return undefined;
    held.push(() => response.end('{"metadata":{"name":"p","uid":"u","resourceVersion":"1"}}'));
    return true;
  };
  const all = Array.from({ length: 18 }, () => client.get(POD));
  await until(() => held.length === 16);
  const ending = new AbortController();
  const watch = await client.watch('/api/v1/pods', { resourceVersion: '100' }, ending.signal);
  watch.on('error', () => undefined);
  // One that comes later is answered, so there is no earlier one to come.
  await server
    .client()
    .get('/version')
    .catch(() => undefined);
  t.equal(held.length, 16);
  held[0]?.();
  await until(() => held.length === 17);
  for (let at = 1; at < 18; at++) {
    await until(() => held.length > at);
    held[at]?.();
  }
  t.equal((await Promise.all(all)).length, 18);
  ending.abort();
});

t.test('a request that is broken off before it is sent is not sent', async (t) => {
  const server = await standIn(t);
  const client = server.client();
  t.teardown(() => client.close());
  await t.rejects(client.list('/api/v1/pods', {}, AbortSignal.abort()), /cannot be reached: aborted/);
  t.strictSame(server.asked, []);
});

t.test('leaves nothing behind: of a request no listener, and once it is closed no connection', async (t) => {
  const sockets = new Set<Socket>();
  const server = createServer((_, response) => response.end('{"items":[],"metadata":{"resourceVersion":"1"}}'));
  // Else it would close idle ones itself.
  server.keepAliveTimeout = 0;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new ApiClient({ access: { server: url, credentials: () => ({}) }, userAgent: 'test' });
  const { signal } = new AbortController();
  await client.list('/api/v1/pods', {}, signal);
  for await (const _ of await client.watch('/api/v1/pods', {}, signal));
  await until(() => getEventListeners(signal, 'abort').length === 0, 'a listener is left', 10);
  t.equal(sockets.size, 2, 'they are kept for what comes next');
  client.close();
  await until(() => sockets.size === 0, 'a connection is left', 10);
});
