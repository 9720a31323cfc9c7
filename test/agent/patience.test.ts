import type { Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { agentHere, agentProcess, descriptorsOf, page, parseMetrics, until } from '../support/agent/agent.ts';
import { ask, connection, received, requestBytes, type ShimCall } from '../support/agent/agent-client.ts';
import {
  noNamespaces,
  type Scratch,
  scratchFolder,
  scratchNamespace,
  scratchPod,
} from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';

// Calls that wait: for an address (`waitSeconds`), or for a gateway's answer (`verifyGateway`).

/** A pod whose interface has no address, for which seamless-gateway waits. */
function podWithoutAddress(t: Test): Scratch {
  const pod = scratchNamespace(t);
  pod.ip('link add eth0 type veth peer name peer');
  pod.ip('link set peer up');
  pod.ip('link set eth0 up');
  return pod;
}

function call(folder: string, verb: string, netns: string, containerID: string, more: object = {}): ShimCall {
  const stdin = JSON.stringify({
    cniVersion: '1.1.0',
    name: 'net',
    type: 'seamless-gateway',
    dataDir: join(folder, 'data'),
    hostAddresses: ['10.0.32.2'],
    interface: 'eth0',
    ...more,
  });
  return { plugin: 'seamless-gateway', env: variables(verb, netns, { CNI_CONTAINERID: containerID }), stdin };
}

/** By an annotation, as Multus passes it on. */
const annotated = (keys: object) => ({ args: { cni: keys } });

async function gauge(socket: string, name: string): Promise<number | undefined> {
  return parseMetrics((await page({ socketPath: socket }, '/metrics')).body).get(name);
}

t.test('patient calls take no place among those that run', { skip: noNamespaces }, async (t) => {
  const { socket, folder } = await agentHere(t, { limits: { running: 1, annotationSeconds: 600 } });
  const [waiting, pod] = [podWithoutAddress(t), scratchPod(t)];
  const before = descriptorsOf('self');
  const clients = await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const client = await connection(socket);
      client.write(requestBytes(call(folder, 'ADD', waiting.path, `patient-${i}`, annotated({ waitSeconds: 600 }))));
      return client;
    }),
  );
  await until(async () => (await gauge(socket, 'waymark_requests_patient')) === 40);
  for (const verb of ['ADD', 'CHECK', 'DEL'])
    t.equal((await ask(socket, call(folder, verb, pod.path, 'other'))).code, 0, verb);

  await t.test('and end when their callers go, with all that they held', async (t) => {
    for (const client of clients) client.destroy();
    await until(async () => (await gauge(socket, 'waymark_requests_patient')) === 0);
    await until(
      () => descriptorsOf('self') <= before,
      () => `${descriptorsOf('self')} descriptors, not ${before}`,
    );
    t.equal((await ask(socket, call(folder, 'DEL', waiting.path, 'patient-7'))).code, 0, 'the container is free');
    t.equal(await gauge(socket, 'waymark_connections_refused_total{reason="caller gone"}'), 40);
  });
});

t.test('an agent that is told to stop does not wait for patient calls', { skip: noNamespaces }, async (t) => {
  const { socket, child, ended } = await agentProcess(t);
  const folder = scratchFolder(t);
  const pod = podWithoutAddress(t);
  const stopped = ask(socket, call(folder, 'ADD', pod.path, 'a', { waitSeconds: 600 }));
  await until(async () => (await gauge(socket, 'waymark_requests_patient')) === 1);
  t.equal((await ask(socket, call(folder, 'DEL', pod.path, 'b'))).code, 0);
  child.kill('SIGTERM');
  t.strictSame(await ended, { code: 0, signal: null });
  t.strictSame(
    await stopped,
    { accepted: true, stdout: '', stderr: '' },
    'its shim goes to the single-file executable',
  );
});

t.test(
  'an annotation gets what the node allows to wait, and a config what it asks for',
  { skip: noNamespaces },
  async (t) => {
    const { socket, folder } = await agentHere(t, { limits: { annotationSeconds: 1 } });
    const [waiting, pod] = [podWithoutAddress(t), scratchPod(t)];
    const cases: [title: string, keys: object, path: string, waits: boolean][] = [
      ['waitSeconds', { waitSeconds: 600 }, waiting.path, true],
      ['verifyGateway', { verifyGateway: { timeoutSeconds: 600 } }, pod.path, true],
      ['args.cni.waitSeconds', annotated({ waitSeconds: 600 }), waiting.path, false],
      ['args.cni.verifyGateway', annotated({ verifyGateway: { timeoutSeconds: 600 } }), pod.path, false],
      ['args.cni.waitSeconds within the limit', annotated({ waitSeconds: 0.1 }), waiting.path, false],
    ];
    const patient: { title: string; client: Socket }[] = [];
    for (const [i, [title, keys, path, waits]] of cases.entries()) {
      const client = await connection(socket);
      const answer = received(client);
      client.write(requestBytes(call(folder, 'ADD', path, `c${i}`, keys)));
      if (waits) {
        patient.push({ title, client });
        continue;
      }
      const text = (await answer).toString();
      t.match(text, /"code": 107/, title);
      const isLimited = !title.includes('within');
      t.equal(text.includes('more than this node allows'), isLimited, `${title}: a warning`);
      if (isLimited) t.match(text, /(waited|within) 1 s/, title);
    }
    // Those that began before the ones that were limited, and are not answered yet.
    for (const { title, client } of patient) {
      t.notOk(client.destroyed, title);
      client.destroy();
    }
    await until(async () => (await gauge(socket, 'waymark_requests_patient')) === 0);
    t.strictSame(
      pod.ipJson('neigh show').filter(({ state }) => String(state).includes('INCOMPLETE')),
      [],
    );
  },
);
