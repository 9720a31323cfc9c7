import { createServer, type ServerHttp2Session } from 'node:http2';
import { join } from 'node:path';
import { loadSync } from '@grpc/proto-loader';
import t from 'tap';
import { FIELDS, PodResources } from '../../../lib/kubelet/pod-resources.ts';
import { POD_RESOURCES_PROTO, PodResourcesStandIn } from '../../support/kubernetes/pod-resources-stand-in.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';
import { until } from '../../support/until.ts';

t.test('the devices of a pod are those of the resource, of all its containers, sorted', async (t) => {
  const socket = join(scratchFolder(t), 'kubelet.sock');
  const kubelet = new PodResourcesStandIn();
  await kubelet.start(socket);
  const resources = new PodResources(socket, 60_000);
  t.teardown(() => {
    resources.close();
    kubelet.stop();
  });
  const pod = { namespace: 'shop', name: 'web' };
  t.strictSame(await resources.devicesOf(pod, 'vendor/vf'), []);
  kubelet.given = [
    { namespace: 'shop', pod: 'web', resource: 'vendor/vf', devices: ['0000:03:02.5', '0000:03:02.1'] },
    { namespace: 'shop', pod: 'web', resource: 'vendor/gpu', devices: ['gpu-1'] },
    { namespace: 'shop', pod: 'web', resource: 'vendor/vf', devices: ['0000:03:02.4', '0000:03:02.1'] },
    { namespace: 'other', pod: 'web', resource: 'vendor/vf', devices: ['0000:03:02.7'] },
    { namespace: 'shop', pod: 'web-2', resource: 'vendor/vf', devices: ['0000:03:02.6'] },
  ];
  const devices = ['0000:03:02.1', '0000:03:02.4', '0000:03:02.5'];
  t.strictSame(await resources.devicesOf(pod, 'vendor/vf'), devices);
});

t.test('a client that is closed leaves no connection', async (t) => {
  const socket = join(scratchFolder(t), 'kubelet.sock');
  const server = createServer();
  const sessions: ServerHttp2Session[] = [];
  server.on('session', (session) => sessions.push(session));
  server.on('stream', (stream) => stream.on('error', () => undefined).close());
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const resources = new PodResources(socket);
  await t.rejects(resources.devicesOf({ namespace: 'a', name: 'b' }, 'c'));
  t.match(sessions, [{ destroyed: false }]);
  resources.close();
  await until(() => sessions.every(({ destroyed }) => destroyed), 'the connection is still there', 20);
});

t.test('nobody who answers is an error', async (t) => {
  const socket = join(scratchFolder(t), 'none.sock');
  await t.rejects(new PodResources(socket).devicesOf({ namespace: 'a', name: 'b' }, 'c'), /none\.sock: .*ENOENT/);
});

t.test('the field numbers are those of the published interface', async (t) => {
  const definition = loadSync(POD_RESOURCES_PROTO, { keepCase: true }) as { [name: string]: unknown };
  for (const [message, fields] of Object.entries(FIELDS)) {
    const { type } = (definition[`v1.${message}`] ?? {}) as { type?: { field: { name: string; number: number }[] } };
    const numbers = new Map(type?.field.map(({ name, number }) => [name, number]));
    for (const [name, number] of Object.entries(fields)) t.equal(numbers.get(name), number, `${message}.${name}`);
  }
});
