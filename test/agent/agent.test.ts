import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { listenAt } from '../../agent/socket-file.ts';
import type { Plugin } from '../../lib/cni/runner.ts';
import { DumpTooLarge } from '../../lib/netlink/errors.ts';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import { agentHere, freeAddress, noRoot, page, parseMetrics, until } from '../support/agent/agent.ts';
import { ask, connection, received, requestBytes } from '../support/agent/agent-client.ts';
import { noNamespaces, run, scratchFolder, scratchNamespace, scratchPod } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';

const CONFIG = JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: 'held' });

/** A plugin whose DEL ends when it is told to. */
function held(): { plugin: Plugin; begun: string[]; release: () => void } {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const begun: string[] = [];
  const none = async () => undefined;
  const DEL: Plugin['handlers']['DEL'] = async ({ request }) => {
    begun.push(request.ifname);
    await released;
    return undefined;
  };
  return {
    plugin: { name: 'held', version: '0', handlers: { ADD: none, CHECK: none, DEL, GC: none, STATUS: none } },
    begun,
    release,
  };
}

const del = (ifname: string) => ({ plugin: 'held', env: variables('DEL', '', { CNI_IFNAME: ifname }), stdin: CONFIG });

t.test('an agent that is stopped finishes what runs, and refuses all else', { skip: noRoot }, async (t) => {
  const { plugin, begun, release } = held();
  const listen = await freeAddress();
  const { agent, socket, log } = await agentHere(t, { plugins: [plugin], listen });
  const runs = ask(socket, del('runs'));
  await until(() => begun.length === 1);
  const waits = ask(socket, del('waits'));
  const [silent, half] = [await connection(socket), await connection(socket)];
  half.write(requestBytes(del('half')).subarray(0, 30));
  const closed = [received(silent), received(half)];
  await until(async () => (await page(listen, '/metrics')).body.includes('waymark_queue_length 1'));
  t.equal((await page(listen, '/readyz')).status, 200);

  const stopped = agent.stop();
  t.notOk(existsSync(socket), 'nobody new finds it');
  t.strictSame((await Promise.all(closed)).map(String), ['', ''], 'those that have not asked yet go elsewhere at once');
  t.strictSame(await waits, { accepted: true, stdout: '', stderr: '' }, 'so do those that wait');
  t.match(await page(listen, '/readyz'), { status: 503, body: 'stopping\n' });
  t.equal((await page(listen, '/healthz')).status, 200, 'it is well all the same');
  let done = false;
  void stopped.then(() => {
    done = true;
  });
  for (let i = 0; i < 5; i++) await page(listen, '/healthz');
  t.notOk(done, 'what runs is waited for');
  release();
  t.match(await runs, { code: 0 });
  await stopped;
  await agent.stop();
  t.strictSame(begun, ['runs']);
  t.equal(log.at(-1)?.msg, 'stopped');
  const handedBack = log.filter(({ msg }) => msg.startsWith('handed back'));
  t.match(handedBack, [{ level: 20, ifname: 'waits', reason: 'stopping' }], 'which is ordinary');
  t.notOk('err' in (handedBack[0] ?? {}));
  await t.rejects(page(listen, '/healthz'), { code: 'ECONNREFUSED' });
});

t.test(
  'the parts hear of what was added to a pod, and the log of what was handed back and why',
  { skip: noNamespaces },
  async (t) => {
    const attached: string[] = [];
    const part = {
      ...{
        name: 'x',
        status: () => ({}),
        register: () => undefined,
        start: () => undefined,
        stop: async () => undefined,
      },
      attached: (plugin: string, pod: string) => attached.push(`${plugin} ${pod}`),
    };
    const { plugin } = held();
    const large = async () => {
      throw new DumpTooLarge('list routes', 7);
    };
    const handlers = { ...plugin.handlers, DEL: async () => undefined, CHECK: large };
    const { socket, log } = await agentHere(t, { plugins: [{ ...plugin, handlers }], parts: [part] });
    const pod = scratchNamespace(t);
    const call = (verb: string, args: string) =>
      ask(socket, { plugin: 'held', env: variables(verb, pod.path, { CNI_ARGS: args }), stdin: CONFIG });
    const named = 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web';
    for (const [verb, args] of [
      ['DEL', named.replace('web', 'gone')],
      ['ADD', ''],
      ['ADD', named],
    ] as const)
      t.match(await call(verb, args), { code: 0 }, `${verb} ${args}`);
    t.strictSame(attached, ['held shop/web']);
    t.equal((await call('CHECK', named)).code, undefined);
    const back = log.filter(({ msg }) => msg.startsWith('handed back'));
    t.match(back, [
      {
        level: 40,
        verb: 'CHECK',
        pod: 'shop/web',
        reason: 'table too large',
        err: { message: 'list routes: more than 7 bytes' },
      },
    ]);
  },
);

t.test('an agent that takes over leaves what the first one runs, and keeps its socket', { skip: noRoot }, async (t) => {
  const { plugin, begun, release } = held();
  const listen = await freeAddress();
  const first = await agentHere(t, { plugins: [plugin], listen });
  const { socket } = first;
  const runs = ask(socket, del('runs'));
  await until(() => begun.length === 1);
  const second = await agentHere(t, { plugins: [plugin], listen, socket });
  const began = performance.now();
  const next = ask(socket, del('next'));
  await until(() => begun.length === 2);
  const stopped = first.agent.stop();
  t.ok(existsSync(socket));
  release();
  t.match(await runs, { code: 0 });
  t.match(await next, { code: 0 });
  await stopped;
  t.match(await ask(socket, del('after')), { code: 0 });
  t.equal((await page(listen, '/readyz')).status, 200);
  const took = second.log.flatMap(({ msg, ms }) => (msg === 'served' ? Number(ms) : []));
  t.equal(took.length, 2);
  t.ok(
    took.every((ms) => ms > 0.01 && ms < performance.now() - began && Number(ms.toFixed(3)) === ms),
    `${took} ms`,
  );
});

t.test('an agent that cannot have its socket serves nothing at all', { skip: noRoot }, async (t) => {
  const { plugin } = held();
  const listen = await freeAddress();
  const folder = scratchFolder(t);
  run('ln', ['-s', 'nowhere', join(folder, 'agent.sock')]);
  await t.rejects(agentHere(t, { plugins: [plugin], listen, socket: join(folder, 'agent.sock') }), {
    message: `${folder}/agent.sock: is a symbolic link, which is refused`,
  });
  await t.rejects(page(listen, '/healthz'), { code: 'ECONNREFUSED' });
});

t.test('an agent whose port is taken does not take the socket', { skip: noRoot }, async (t) => {
  const { plugin } = held();
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.teardown(() => other.close());
  const { port } = other.address() as { port: number };
  const socket = join(scratchFolder(t), 'agent.sock');
  const server = createServer((client) => client.end('first'));
  t.teardown(() => server.close());
  await listenAt(server, socket);
  await t.rejects(agentHere(t, { plugins: [plugin], listen: { host: '127.0.0.1', port }, socket }), {
    code: 'EADDRINUSE',
  });
  t.equal(String(await received(await connection(socket))), 'first');
});

t.test(
  'each call is one line of the log, with whom it was for and what came of it, and nothing of its config',
  { skip: noNamespaces },
  async (t) => {
    const { socket, log, folder } = await agentHere(t);
    const pod = scratchPod(t);
    const secret = 'c0nf1dent1al';
    const call = (verb: string, routes: object[], more: object = {}) => {
      const env = variables(verb, pod.path, {
        CNI_CONTAINERID: 'container-9',
        CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=till-0;K8S_POD_INFRA_CONTAINER_ID=x',
      });
      const stdin = JSON.stringify({
        cniVersion: '1.1.0',
        name: 'net',
        type: 'static-route',
        dataDir: join(folder, 'data'),
        routes,
        password: secret,
        args: { other: secret },
        ...more,
      });
      return ask(socket, { plugin: 'static-route', env, stdin });
    };
    await call('ADD', [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }]);
    await call('ADD', [{ dst: '10.9.0.0/16', gw: '10.99.0.1' }]);
    await call('CHECK', [], { logLevel: secret });
    await ask(socket, { plugin: 'static-route', env: variables('ADD', pod.path), stdin: `{"password":"${secret}",` });
    await ask(socket, { plugin: 'static-route', env: { CNI_COMMAND: 'VERSION' }, stdin: '' });
    const whose = {
      plugin: 'static-route',
      containerID: 'container-9',
      ifname: 'eth0',
      pod: 'shop/till-0',
      ms: Number,
    };
    t.match(
      log.map(({ time, ...line }) => ({ ...line, time: typeof time })),
      [
        { msg: 'serving', socket },
        { level: 30, verb: 'ADD', ...whose, code: 0, msg: 'served' },
        { level: 40, verb: 'ADD', ...whose, code: 103, msg: /routes\[0\]/ },
        { level: 40, verb: 'CHECK', ...whose, code: 7, msg: /logLevel/ },
        { level: 40, verb: 'ADD', containerID: 'container-1', code: 6, msg: /not valid JSON/ },
        { level: 30, verb: 'VERSION', containerID: '', code: 0 },
      ],
    );
    t.equal(log.length, 6);
    t.notMatch(JSON.stringify(log), secret);
    for (const { ms } of log.slice(1)) t.ok((ms as number) >= 0 && (ms as number) < 60_000);
  },
);

t.test('the counts are those of the calls that were made', { skip: noNamespaces }, async (t) => {
  const { socket, folder } = await agentHere(t);
  const pod = scratchPod(t);
  const before = pod.routes();
  const call = (verb: string, routes: object[], plugin = 'static-route', more: object = {}) => {
    const stdin = JSON.stringify({
      cniVersion: '1.1.0',
      name: 'net',
      type: plugin,
      dataDir: join(folder, 'data'),
      ...(plugin === 'static-route' && { routes }),
      ...more,
    });
    return ask(socket, { plugin, env: variables(verb, pod.path), stdin });
  };
  const routes = [
    { dst: '10.9.0.0/16', gw: '10.244.1.1' },
    { dst: '10.8.0.0/16', gw: '10.244.1.1' },
  ];
  const unreachable = { dst: '10.7.0.0/16', gw: '10.99.0.1' };
  t.match(JSON.parse((await call('ADD', [...routes, unreachable])).stdout), { code: 104 });
  t.equal(pod.routes(), before);
  await call('ADD', routes);
  await call('ADD', routes);
  await call('CHECK', routes);
  await call('DEL', routes);
  await call('ADD', [], 'consistent-ifname');
  await call('DEL', [], 'consistent-ifname');
  await call('WALK', []);
  await call('<script>', []);
  const samples = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
  const of = (name: string) =>
    Object.fromEntries([...samples].filter(([series]) => series.startsWith(`${name}{`) || series === name));
  const requests = Object.entries(of('waymark_requests_total'));
  t.strictSame(
    requests.filter(([, count]) => count === 0).map(([series]) => series),
    PLUGIN_NAMES.flatMap((plugin) => ['ADD', 'DEL', 'CHECK'].map((verb) => [plugin, verb] as const))
      .filter(([plugin]) => plugin !== 'static-route')
      .filter(([plugin, verb]) => plugin !== 'consistent-ifname' || verb === 'CHECK')
      .map(([plugin, verb]) => `waymark_requests_total{plugin="${plugin}",verb="${verb}",code="0"}`),
    'what every pod has is counted from the beginning',
  );
  t.strictSame(Object.fromEntries(requests.filter(([, count]) => count > 0)), {
    'waymark_requests_total{plugin="static-route",verb="ADD",code="104"}': 1,
    'waymark_requests_total{plugin="static-route",verb="ADD",code="0"}': 2,
    'waymark_requests_total{plugin="static-route",verb="CHECK",code="0"}': 1,
    'waymark_requests_total{plugin="static-route",verb="DEL",code="0"}': 1,
    'waymark_requests_total{plugin="consistent-ifname",verb="ADD",code="0"}': 1,
    'waymark_requests_total{plugin="consistent-ifname",verb="DEL",code="0"}': 1,
    'waymark_requests_total{plugin="static-route",verb="other",code="4"}': 2,
  });
  // Of the ADD that was refused, two were made and taken back.
  t.match(of('waymark_changes_applied_total'), {
    'waymark_changes_applied_total{plugin="static-route",op="add-route"}': 4,
  });
  t.match(of('waymark_changes_undone_total'), {
    'waymark_changes_undone_total{plugin="static-route",op="add-route"}': 4,
  });
  t.equal(
    of('waymark_changes_applied_total')['waymark_changes_applied_total{plugin="consistent-ifname",op="rename-link"}'],
    1,
  );
  t.equal(
    of('waymark_changes_undone_total')['waymark_changes_undone_total{plugin="consistent-ifname",op="rename-link"}'],
    1,
  );
  t.strictSame(of('waymark_requests_running'), { waymark_requests_running: 0 });
  t.strictSame(of('waymark_queue_length'), { waymark_queue_length: 0 });
  t.equal(samples.get('waymark_request_duration_seconds_count{plugin="static-route",verb="ADD"}'), 3);
  t.equal(samples.get('waymark_request_duration_seconds_bucket{le="+Inf",plugin="static-route",verb="ADD"}'), 3);
  const buckets = [...samples]
    .filter(([series]) => /_bucket.*verb="ADD"/.test(series) && series.includes('static-route'))
    .map(([, value]) => value);
  t.ok(buckets.length > 10);
  t.strictSame(
    buckets,
    buckets.toSorted((a, b) => a - b),
    'buckets are cumulative',
  );
  t.ok((samples.get('process_open_fds') ?? 0) > 0);
});
