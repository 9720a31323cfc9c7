import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { join } from 'node:path';
import { loadSync } from '@grpc/proto-loader';
import t, { type Test } from 'tap';
import { field } from '../../../lib/cri/protobuf.ts';
import { FIELDS, RuntimeService } from '../../../lib/cri/runtime-service.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

// A stand-in for a container runtime: answers with the bytes that it is given. test/pod/cri.test.ts asks a real one.

type Answer = (method: string, message: Buffer, stream: ServerHttp2Stream) => Buffer | undefined;

async function runtime(
  t: Test,
  answer: Answer,
  timeoutMs = 60_000,
): Promise<{ service: RuntimeService; server: Http2Server; socket: string }> {
  const socket = join(scratchFolder(t), 'cri.sock');
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    const pieces: Buffer[] = [];
    stream.on('error', () => undefined);
    stream.on('data', (piece: Buffer) => pieces.push(piece));
    stream.on('end', () => {
      const bytes = answer(String(headers[':path']).replace(/.*\//, ''), Buffer.concat(pieces).subarray(5), stream);
      if (bytes === undefined) return;
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(bytes.length, 1);
      stream.end(Buffer.concat([prefix, bytes]));
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  const service = new RuntimeService(socket, timeoutMs);
  t.teardown(() => {
    service.close();
    server.close();
  });
  return { service, server, socket };
}

const failed =
  (code: number, message: string): Answer =>
  (_, __, stream) => {
    stream.respond({ ':status': 200, 'grpc-status': String(code), 'grpc-message': message }, { endStream: true });
    return undefined;
  };

const item = (id: string, uid: string, state: number, attempt: number) => {
  const about = [field(1, 'web'), field(2, uid), field(3, 'shop'), field(4, attempt)];
  // Labels, which are skipped, stand among the rest.
  const label = Buffer.concat([field(1, 'app'), field(2, 'x'.repeat(300))]);
  return field(1, Buffer.concat([field(1, id), field(2, Buffer.concat(about)), field(3, state), field(5, label)]));
};

const info = (text: string) => field(2, Buffer.concat([field(1, 'info'), field(2, text)]));

t.test('lists the sandboxes of a pod', async (t) => {
  const asked: string[] = [];
  const { service } = await runtime(t, (method, message) => {
    asked.push(`${method} ${message.toString('hex')}`);
    return Buffer.concat([item('new', 'u-1', 0, 1), item('old', 'u-1', 1, 0), item('other', 'u-2', 0, 0)]);
  });
  const sandbox = { name: 'web', namespace: 'shop' };
  t.strictSame(await service.sandboxes('u-1'), [
    { id: 'new', ...sandbox, uid: 'u-1', attempt: 1, isReady: true },
    { id: 'old', ...sandbox, uid: 'u-1', attempt: 0, isReady: false },
  ]);
  t.equal((await service.sandboxes()).length, 3);
  // A filter (1), with a label selector (3): an entry with a key (1) and a value (2).
  const hex = (text: string) => Buffer.from(text).toString('hex');
  const label = `0a15${hex('io.kubernetes.pod.uid')}1203${hex('u-1')}`;
  t.strictSame(asked, [`ListPodSandbox 0a1e1a1c${label}`, 'ListPodSandbox ']);
});

t.test('finds the network namespace in what containerd and CRI-O say', async (t) => {
  let said = '';
  const asked: string[] = [];
  const { service } = await runtime(t, (method, message) => {
    asked.push(`${method} ${message.toString('hex')}`);
    return info(said);
  });
  const spec = (namespaces: unknown) => JSON.stringify({ pid: 7, runtimeSpec: { linux: { namespaces } } });
  said = spec([{ type: 'pid' }, { type: 'network', path: '/var/run/netns/cni-1' }]);
  t.equal(await service.networkNamespace('a'), '/var/run/netns/cni-1');
  t.strictSame(asked, ['PodSandboxStatus 0a01611001'], 'the sandbox (1), and all that is known (2)');
  said = spec([{ type: 'pid' }]);
  t.equal(await service.networkNamespace('a'), undefined, 'a pod in the node’s network has none');
  said = '{"runtimeSpec":null}';
  await t.rejects(service.networkNamespace('a'), /does not say the namespaces of sandbox a/);
  said = 'pid 7';
  await t.rejects(service.networkNamespace('a'), /not JSON/);
});

t.test('a sandbox that does not exist has no namespace; other failures are errors', async (t) => {
  let answer = failed(5, 'no such sandbox');
  const { service } = await runtime(t, (...call) => answer(...call));
  t.equal(await service.networkNamespace('gone'), undefined);
  answer = failed(13, '50%25 of it is broken');
  await t.rejects(service.networkNamespace('a'), /^50% of it is broken$/);
  await t.rejects(service.sandboxes(), /^50% of it is broken$/);
  answer = (_, __, stream) => {
    stream.close();
    return undefined;
  };
  await t.rejects(service.sandboxes(), /connection closed before the answer/);
});

t.test('a runtime that does not answer is given up', async (t) => {
  const { service } = await runtime(t, () => undefined, 500);
  await t.rejects(service.sandboxes(), /no answer within 0\.5 s/);
});

t.test('connects again after the runtime was away', async (t) => {
  const { service, server, socket } = await runtime(t, () => item('a', 'u', 0, 0));
  t.equal((await service.sandboxes()).length, 1);
  service.close();
  t.equal((await service.sandboxes()).length, 1);
  const nobody = new RuntimeService(`${socket}.none`);
  await t.rejects(nobody.sandboxes(), /ENOENT/);
  server.close();
});

t.test('the field numbers are those of the published interface', async (t) => {
  const proto = join(import.meta.dirname, '../../support/containerd/cri.proto');
  const definition = loadSync(proto, { keepCase: true }) as { [name: string]: unknown };
  for (const [message, fields] of Object.entries(FIELDS)) {
    const { type } = (definition[`runtime.v1.${message}`] ?? {}) as {
      type?: { field: { name: string; number: number }[] };
    };
    const numbers = new Map(type?.field.map(({ name, number }) => [name, number]));
    for (const [name, number] of Object.entries(fields)) t.equal(numbers.get(name), number, `${message}.${name}`);
  }
});
