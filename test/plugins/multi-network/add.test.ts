import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { consistentName } from '../../../lib/attachments/kactus.ts';
import { podOf } from '../../../lib/attachments/pod.ts';
import type { JsonObject } from '../../../lib/cni/json.ts';
import { ApiError } from '../../../lib/kubernetes/errors.ts';
import type { KubeObject } from '../../../lib/kubernetes/object.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { add } from '../../../plugins/multi-network/add.ts';
import { recorded } from '../../../plugins/multi-network/attach.ts';
import type { Cluster } from '../../../plugins/multi-network/cluster.ts';
import { noNamespaces, scratchNamespace } from '../../support/namespaces/namespace.ts';
import { workOf } from '../../support/plugins/delegation.ts';

const ARGS = { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web', K8S_POD_UID: 'u' };

type World = {
  networks?: string;
  keys?: object;
  args?: object;
  document?: object;
  services?: object;
  noop?: boolean;
  links?: string[];
};

/** A pod that selects `networks`, and ADD of it; `told` has what the API server is told. */
function worldOf(t: Test, { networks, keys, args = ARGS, document, services, noop = false, links = [] }: World = {}) {
  const scratch = scratchNamespace(t);
  for (const link of links) scratch.ip(`link add ${link} type bridge`);
  const annotations = networks === undefined ? {} : { 'k8s.v1.cni.cncf.io/networks': networks };
  const pod = podOf({ metadata: { name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '1', annotations } });
  const told: string[] = [];
  const statuses: (readonly JsonObject[])[] = [];
  const world = { before: [] as JsonObject[], fault: undefined as Error | undefined, closed: 0 };
  const cluster: Cluster = {
    pod: async () => pod,
    definition: async (network) => {
      const [namespace = '', name = ''] = network.split('/');
      if (name === 'absent') throw new ApiError('not found', { status: 404 });
      const config = JSON.stringify({ cniVersion: '1.0.0', name, type: 'a' });
      return { metadata: { name, namespace, uid: 'u', resourceVersion: '1' }, spec: { config } } as KubeObject;
    },
    publish: async (_, compose) => {
      if (world.fault !== undefined) throw world.fault;
      statuses.push(compose(world.before));
    },
    event: (_, reason, message) => void told.push(`${reason}: ${message}`),
    close: async () => void world.closed++,
  };
  const own = [{ type: 'a', name: 'cluster', cniVersion: '1.0.0' }];
  const { call, ...work } = workOf(t, scratch, {
    ...{ args: { ...args }, noop, keys: { delegates: own, ...keys } },
    ...(document && { document }),
    services: { cluster: async () => cluster, ...services },
  });
  for (const ifname of ['net1', consistentName('blue')])
    work.standIn.results[ifname] = { cniVersion: '1.0.0', interfaces: [{ name: ifname, sandbox: '/n' }] };
  const namespace = openNamespace(scratch.path);
  t.teardown(() => namespace.close());
  const whole = { ...work, call: { ...call, namespace } };
  return {
    ...whole,
    world,
    told,
    statuses,
    run: () => add(whole),
    names: () => recorded(whole).map(({ ifname }) => ifname),
  };
}

t.test('a pod that starts', { skip: noNamespaces }, async (t) => {
  t.test('gets its own network and what it selects; the answer is the own one’s, the status has all', async (t) => {
    const { run, standIn, statuses, told, world } = worldOf(t, { networks: 'blue,none' });
    const interfaces = [{ name: 'eth0', sandbox: '/n' }];
    standIn.results.eth0 = {
      cniVersion: '1.0.0',
      interfaces,
      ips: [
        { address: '10.0.0.5/24', interface: 0 },
        { address: 'fd00::5/64', interface: 0 },
      ],
    };
    t.strictSame(await run(), standIn.results.eth0);
    t.strictSame(standIn.asked, ['ADD cluster eth0', 'ADD blue net1', 'ADD none net2']);
    t.match(statuses, [
      [
        { name: 'cluster', interface: 'eth0', default: true },
        { name: 'shop/blue', interface: 'net1' },
      ],
    ]);
    t.strictSame(
      told,
      ['AddedInterface: Add eth0 [10.0.0.5/24 fd00::5/64] from cluster', 'AddedInterface: Add net1 [] from shop/blue'],
      'not of one that made nothing',
    );
    t.equal(world.closed, 1);
  });

  t.test('a result of another version is answered in the one that is asked for', async (t) => {
    const { run, standIn } = worldOf(t);
    standIn.results.eth0 = { cniVersion: '0.4.0', ips: [{ version: '4', address: '10.0.0.5/24' }] };
    t.match(await run(), { cniVersion: '1.0.0', ips: [{ address: '10.0.0.5/24' }] });
    t.notOk('version' in (((await run()) as { ips: object[] }).ips[0] ?? {}));
  });

  t.test('with --noop it says what it would do, and does nothing', async (t) => {
    const { run, standIn, names } = worldOf(t, { networks: 'blue', noop: true });
    t.strictSame(await run(), {
      ...{ cniVersion: '1.0.0', plugin: 'multi-network', command: 'ADD' },
      changes: ['attach eth0 to cluster', 'attach net1 to shop/blue'],
    });
    t.strictSame([standIn.asked, names()], [[], []]);
  });

  t.test('nobody who can be asked of its networks is 11; what is no pod needs nobody', async (t) => {
    const nobody = { services: { cluster: async () => undefined } };
    await t.rejects(worldOf(t, nobody).run(), {
      code: 11,
      message: /^nobody can be asked for the networks of pod shop\/web: /,
    });
    const { run, standIn } = worldOf(t, { ...nobody, args: {} });
    await run();
    t.strictSame(standIn.asked, ['ADD cluster eth0']);
  });

  t.test('a definition that is missing is an event of the pod', async (t) => {
    const { run, told, world } = worldOf(t, { networks: 'absent' });
    await t.rejects(run(), { message: /cannot find a network-attachment-definition \(absent\)/ });
    t.match(told, [/^NoNetworkFound: cannot find a network-attachment-definition \(absent\)/]);
    t.equal(world.closed, 1);
    const wrong = worldOf(t, { networks: '[{' });
    await t.rejects(wrong.run(), { code: 7 });
    t.strictSame(wrong.told, [], 'what the pod’s author has written wrong is none');
  });
});

t.test('a status that cannot be written', { skip: noNamespaces }, async (t) => {
  const published = async (fault: Error, services: object = {}) => {
    const all = worldOf(t, { networks: 'blue', services });
    all.world.fault = fault;
    const error = await all.run().then(
      () => undefined,
      (error: Error) => error,
    );
    return { ...all, error };
  };

  t.test('takes all back, with 11', async (t) => {
    const { error, standIn, names, told } = await published(new ApiError('may not', { status: 403 }));
    t.match(error, { code: 11, message: "the pod's network status cannot be written: may not" });
    t.strictSame(standIn.asked.slice(2), ['DEL blue net1', 'DEL cluster eth0']);
    t.strictSame([names(), told], [[], []]);
  });

  t.test('may be written later by the agent, if the server is to blame', async (t) => {
    const later = { mayPublishLater: true };
    const { error, standIn, logs, names } = await published(new ApiError('it starts', { status: 503 }), later);
    t.equal(error, undefined);
    t.equal(standIn.asked.length, 2);
    t.strictSame(names(), ['eth0', 'net1']);
    t.match(logs, ['warn the status of a pod will be written later {"reason":"it starts"}']);
    t.match((await published(new ApiError('may not', { status: 403 }), later)).error, { code: 11 });
    t.match((await published(new ApiError('it starts', { status: 503 }))).error, { code: 11 });
  });

  t.test('is passed on where it is no answer of the server', async (t) => {
    t.match((await published(new TypeError('ours'))).error, { name: 'TypeError', message: 'ours' });
  });
});

t.test('a further network of a running pod', { skip: noNamespaces }, async (t) => {
  const { run, standIn, statuses, names, world } = worldOf(t, { args: { ...ARGS, K8S_POD_NETWORK: 'blue' } });
  world.before = [{ name: 'cluster', interface: 'eth0' }];
  await run();
  t.equal(standIn.asked.length, 1);
  t.match(standIn.asked, [/^ADD blue net/]);
  t.match(statuses, [[{ name: 'cluster', interface: 'eth0' }, { name: 'shop/blue' }]]);
  t.equal(names().length, 1);
  world.before = [{ name: 'old', interface: names()[0] }];
  await run();
  t.strictSame(
    statuses.at(-1)?.map(({ name }) => name),
    ['shop/blue'],
    'in the place of what the status had of that interface',
  );
});

t.test('in a chain', { skip: noNamespaces }, async (t) => {
  const prevResult = {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'eth0', sandbox: '/n' }],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '10.9.0.0/16' }],
  };
  const chained = { keys: { delegates: undefined }, links: ['eth0'] };

  t.test('the result of the plugins in front is passed on, and is in the status', async (t) => {
    const { run, standIn, statuses } = worldOf(t, { ...chained, networks: 'blue', document: { prevResult } });
    t.strictSame(await run(), prevResult);
    t.strictSame(standIn.asked, ['ADD blue net1']);
    t.match(statuses, [[{ name: 'waymark', interface: 'eth0', default: true }, { name: 'shop/blue' }]]);
  });

  t.test('without one it is what is seen of the interface', async (t) => {
    const { run } = worldOf(t, chained);
    t.match(await run(), { cniVersion: '1.0.0', interfaces: [{ name: 'eth0' }], ips: [] });
    await t.rejects(worldOf(t, { ...chained, links: [] }).run(), { code: 100 });
    const named = { ...chained, keys: { delegates: undefined, interface: 'eth7' }, document: { prevResult } };
    await t.rejects(worldOf(t, named).run(), { code: 100, message: /eth7/ }, 'also beside a result, if one is named');
  });

  t.test('a chosen default route takes that of the plugins in front from the result', async (t) => {
    const networks = JSON.stringify([{ name: 'blue', 'default-route': ['10.0.0.1'] }]);
    const { run } = worldOf(t, { ...chained, networks, document: { prevResult } });
    t.strictSame(((await run()) as { routes: object[] }).routes, [{ dst: '10.9.0.0/16' }]);
  });
});

t.test('ADD waits for the cluster’s network before all else', { skip: noNamespaces }, async (t) => {
  const { run, call, folder, ...rest } = worldOf(t, { keys: { readinessindicatorfile: '/cni/ready' } });
  let pauses = 0;
  const pause = async () => {
    if (pauses++ > 0) writeFileSync(join(folder, 'ready'), '');
  };
  const waiting = { ...rest, call: { ...call, pacing: { pause } } };
  await add(waiting as never);
  t.equal(pauses, 2);
  t.strictSame(rest.standIn.asked, ['ADD cluster eth0']);
});
