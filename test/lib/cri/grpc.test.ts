import { once } from 'node:events';
import * as http2 from 'node:http2';
import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import * as errors from '../../../lib/cri/errors.ts';
import { GrpcClient, MAX_ANSWER_BYTES } from '../../../lib/cri/grpc.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';
import { until } from '../../support/until.ts';

// What a server may answer, by https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.

type Answer = (stream: ServerHttp2Stream) => void;

/** A client of a server that answers so. */
async function clientOf(t: Test, answer: Answer, maxBytes?: number, timeoutMs = 60_000): Promise<GrpcClient> {
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => undefined);
    answer(stream);
  });
  return clientAt(t, server, timeoutMs, maxBytes);
}

/** A client of this server, until the test ends. */
async function clientAt(t: Test, server: Http2Server, timeoutMs?: number, maxBytes?: number): Promise<GrpcClient> {
  const socket = join(scratchFolder(t), 'grpc.sock');
  server.listen(socket);
  await once(server, 'listening');
  const client = new GrpcClient(socket, timeoutMs, maxBytes);
  t.teardown(() => {
    client.close();
    server.close();
  });
  return client;
}

/** The bytes of a message, and then the status in trailers. */
const message = (hex: string, trailers: object = { 'grpc-status': '0' }): Answer => {
  return (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ ...trailers }));
    stream.end(Buffer.from(hex, 'hex'));
  };
};
const atOnce = (headers: object): Answer => {
  return (stream) => stream.respond({ ':status': 200, ...headers }, { endStream: true });
};
const failed = (code: string, text: string) => ({ 'grpc-status': code, 'grpc-message': text });

const ANSWERS: [what: string, answer: Answer, expected: string | { message: string; code?: number }][] = [
  ['a message', message('00000000030a0178'), '0a0178'],
  ['a message without a field', message('0000000000'), ''],
  ['no message', message(''), { message: 'the answer is cut short' }],
  ['a prefix that is cut', message('00000000'), { message: 'the answer is cut short' }],
  ['a message that is cut', message('00000000030a01'), { message: 'the answer is cut short' }],
  ['more than the message', message('00000000020a0178'), { message: 'the answer is cut short' }],
  ['a compressed one', message('01000000030a0178'), { message: 'the answer is compressed, which was not asked for' }],
  ['no status', message('00000000030a0178', {}), { message: 'the connection closed before the answer' }],
  [
    'a failure behind a message',
    message('0000000000', failed('5', 'no such pod')),
    { message: 'no such pod', code: 5 },
  ],
  ['one at once', atOnce(failed('14', 'not yet')), { message: 'not yet', code: 14 }],
  ['one without words', atOnce({ 'grpc-status': '13' }), { message: 'gRPC status 13', code: 13 }],
  ['encoded words', atOnce(failed('2', 'caf%C3%A9 50%25')), { message: 'café 50%', code: 2 }],
  ['words that only look so', atOnce(failed('2', '100%')), { message: '100%', code: 2 }],
];

for (const [what, answer, expected] of ANSWERS) {
  t.test(`an answer: ${what}`, async (t) => {
    const asked = (await clientOf(t, answer)).call('/a.B/C', Buffer.alloc(0));
    if (typeof expected === 'string') t.equal((await asked).toString('hex'), expected);
    else await t.rejects(asked, { name: 'GrpcError', code: undefined, ...expected });
  });
}

t.test('an answer has 64 MiB at most', async (t) => {
  t.equal(MAX_ANSWER_BYTES, 67_108_864);
  const answer = message('00000000030a0178');
  t.equal((await (await clientOf(t, answer, 8)).call('/a.B/C', Buffer.alloc(0))).length, 3);
  const tooLong = (await clientOf(t, answer, 7)).call('/a.B/C', Buffer.alloc(0));
  await t.rejects(tooLong, { name: 'GrpcError', message: 'the answer has more than 7 bytes' });
});

t.test('one connection serves all calls, until the service breaks it off', async (t) => {
  const sessions: ServerHttp2Session[] = [];
  const server = createServer();
  server.on('session', (session) => sessions.push(session));
  server.on('stream', message('0000000000'));
  const client = await clientAt(t, server);
  const call = () => client.call('/a.B/C', Buffer.alloc(0));
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  await call();
  await call();
  t.equal(sessions.length, 1);
  t.equal(timers(), before, 'nothing waits for an answer that has come');
  sessions[0]?.destroy();
  // A call that the broken connection still has may fail.
  await until(() => call().then(Boolean, () => false));
  t.equal(sessions.length, 2);
});

t.test('a service that ends answers what it was asked, and what comes later goes to the next', async (t) => {
  const [streams, sessions]: [ServerHttp2Stream[], http2.ClientHttp2Session[]] = [[], []];
  const connect = (...args: Parameters<typeof http2.connect>) => {
    const session = http2.connect(...args);
    sessions.push(session);
    return session;
  };
  const { GrpcClient: Client } = await t.mockImport<typeof import('../../../lib/cri/grpc.ts')>(
    '../../../lib/cri/grpc.ts',
    { 'node:http2': { ...http2, connect }, '../../../lib/cri/errors.ts': errors },
  );
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream) => streams.push(stream));
  const socket = join(scratchFolder(t), 'grpc.sock');
  server.listen(socket);
  await once(server, 'listening');
  const client = new Client(socket);
  t.teardown(() => {
    client.close();
    server.close();
  });
  const call = () => client.call('/a.B/C', Buffer.alloc(0));
  const first = call();
  await until(() => streams.length === 1);
  streams[0]?.session?.close();
  await until(() => sessions[0]?.closed === true);
  t.equal(sessions[0]?.destroyed, false, 'an answer is still to come');
  const second = call();
  await until(() => streams.length === 2);
  for (const stream of streams.toReversed()) message('00000000030a0178')(stream);
  t.strictSame((await Promise.all([first, second])).map(String), ['\n\x01x', '\n\x01x']);
  t.equal(sessions.length, 2);
});

t.test('an answer that does not come in time is not waited for by the service either', async (t) => {
  let stream: ServerHttp2Stream | undefined;
  const opened: Answer = (one) => {
    stream = one;
  };
  const client = await clientOf(t, opened, undefined, 200);
  await t.rejects(client.call('/a.B/C', Buffer.alloc(0)), { message: 'no answer within 0.2 s' });
  await until(() => stream === undefined || stream.closed);
});

t.test('a question has its method, how long it waits, and a message behind its length', async (t) => {
  const asked: unknown[] = [];
  const pieces: Buffer[] = [];
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    asked.push(...[':method', ':path', 'content-type', 'te', 'grpc-timeout'].map((name) => headers[name]));
    stream.on('data', (piece: Buffer) => pieces.push(piece));
    stream.on('end', () => message('0000000000')(stream));
  });
  const client = await clientAt(t, server);
  await client.call('/a.B/C', Buffer.from('0a0178', 'hex'));
  t.strictSame(asked, ['POST', '/a.B/C', 'application/grpc', 'trailers', '10000m']);
  t.equal(Buffer.concat(pieces).toString('hex'), '00000000030a0178');
});
