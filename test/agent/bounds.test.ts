import { join } from 'node:path';
import t from 'tap';
import { agentProcess, page, parseMetrics, until } from '../support/agent/agent.ts';
import { ask, connection, requestBytes, type ShimCall } from '../support/agent/agent-client.ts';
import { noNamespaces, run, scratchFolder, scratchNamespace, scratchPod } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';

// The bounds of the agent, set by their options on the command line; test/cli/agent.test.ts has --max-running.

const OPTIONS: [option: string, value: number][] = [
  ['--max-waiting', 3],
  ['--queue-seconds', 1],
  ['--max-config-kib', 1],
  ['--max-configs-kib', 4],
  ['--max-dump-kib', 16],
  ['--annotation-seconds', 1],
];

const REFUSED = { accepted: true, stdout: '', stderr: '' };

t.test(
  'what exceeds a bound of the command line goes elsewhere, by the reason that is counted',
  { skip: noNamespaces },
  async (t) => {
    const args = OPTIONS.flatMap(([option, value]) => [option, String(value)]);
    const { socket } = await agentProcess(t, { args });
    const dataDir = join(scratchFolder(t), 'data');
    const [pod, huge, waiting] = [scratchPod(t), scratchPod(t), scratchNamespace(t)];
    waiting.ip('link add eth0 type veth peer name peer');
    const call = (plugin: string, verb: string, path: string, id: string, keys: object = {}): ShimCall => ({
      plugin,
      env: variables(verb, path, { CNI_CONTAINERID: id }),
      stdin: JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: plugin, dataDir, ...keys }),
    });
    const one = { interface: 'eth0', routes: [{ dst: '172.20.0.0/16', gw: '10.244.1.1' }] };
    const patient = { interface: 'eth0', hostAddresses: ['10.0.32.2'] };
    const metrics = async () => parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
    const refused = async (reason: string) =>
      (await metrics()).get(`waymark_connections_refused_total{reason="${reason}"}`) ?? 0;

    const ordinary = await ask(socket, call('static-route', 'ADD', pod.path, 'ordinary', one));
    t.equal(ordinary.code, 0, ordinary.stdout);

    const padded = { ...call('static-route', 'ADD', pod.path, 'padded', one) };
    t.equal(
      (await ask(socket, { ...padded, stdin: String(padded.stdin).padEnd(1024) })).code,
      0,
      'as large as it may be',
    );
    t.strictSame(await ask(socket, { ...padded, stdin: String(padded.stdin).padEnd(1025) }), {
      ...REFUSED,
      accepted: false,
    });
    t.equal(await refused('config too large'), 1);

    const half = await Promise.all([1, 2, 3].map(() => connection(socket)));
    for (const client of half)
      client.write(requestBytes({ ...padded, stdin: String(padded.stdin).padEnd(1024) }).subarray(0, 17));
    await until(async () => ((await metrics()).get('waymark_config_bytes') ?? 0) > 3 * 1024);
    t.strictSame(await ask(socket, { ...padded, stdin: String(padded.stdin).padEnd(1024) }), {
      ...REFUSED,
      accepted: false,
    });
    t.equal(await refused('too many configs'), 1);
    for (const client of half) client.destroy();
    await until(async () => (await metrics()).get('waymark_config_bytes') === 0);

    run(
      'ip',
      ['-n', huge.name, '-batch', '-'],
      Array.from({ length: 2000 }, (_, i) => `route add blackhole 11.0.${i >> 8}.${i & 255}\n`).join(''),
    );
    t.strictSame(await ask(socket, call('static-route', 'ADD', huge.path, 'huge', one)), REFUSED);
    t.equal(await refused('table too large'), 1);

    const limited = await ask(
      socket,
      call('seamless-gateway', 'ADD', waiting.path, 'limited', { ...patient, args: { cni: { waitSeconds: 600 } } }),
    );
    t.match(JSON.parse(limited.stdout), { code: 107, msg: /waited 1 s/ });

    // Patient ones, whose containers stay theirs.
    const clients = await Promise.all(
      ['a', 'b'].map(async (id) => {
        const client = await connection(socket);
        client.write(requestBytes(call('seamless-gateway', 'ADD', waiting.path, id, { ...patient, waitSeconds: 600 })));
        return client;
      }),
    );
    await until(async () => (await metrics()).get('waymark_requests_patient') === 2);
    t.strictSame(await ask(socket, call('static-route', 'DEL', pod.path, 'a')), REFUSED);
    t.equal(await refused('waited too long'), 1);
    const third = await connection(socket);
    third.write(requestBytes(call('seamless-gateway', 'ADD', waiting.path, 'c', { ...patient, waitSeconds: 600 })));
    await until(async () => (await metrics()).get('waymark_requests_patient') === 3);
    t.strictSame(await ask(socket, call('static-route', 'DEL', pod.path, 'a')), REFUSED);
    t.equal(await refused('queue full'), 1);
    t.equal(
      (await ask(socket, call('static-route', 'DEL', pod.path, 'ordinary', one))).code,
      0,
      'the others are served',
    );
    for (const client of [...clients, third]) client.destroy();
  },
);
