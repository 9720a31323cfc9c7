import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Call } from '../../../lib/cni/runner.ts';
import { DirectCluster, directCluster, isSamePod } from '../../../plugins/multi-network/cluster.ts';
import { parseMultiNetworkConfig } from '../../../plugins/multi-network/config.ts';
import { podOfArgs } from '../../../plugins/multi-network/wanted.ts';
import { handSetClock } from '../../support/clock.ts';
import { ApiStandIn, refuse } from '../../support/kubernetes/api-stand-in.ts';
import { kubeconfig } from '../../support/multus/kubeconfig.ts';

const WEB = { namespace: 'shop', name: 'web', uid: 'u' };

async function clusterOf(t: Test) {
  const api = new ApiStandIn();
  await api.start();
  api.put('/api/v1/namespaces/shop/pods/web', { metadata: { name: 'web', namespace: 'shop', uid: 'u' }, spec: {} });
  const lost: string[] = [];
  const cluster = new DirectCluster(api.client(), { lost: (why) => lost.push(why), eventsMs: 60_000 });
  t.teardown(async () => {
    await cluster.close();
    await api.stop();
  });
  return { api, cluster, lost };
}

t.test('a pod is the one of that UID, by the API server’s or the kubelet’s', async (t) => {
  const pod = { ...podOfArgs({ args: {} }), uid: 'api', sandboxUid: 'kubelet' };
  const is = (uid: string) => isSamePod(pod, { ...WEB, uid });
  t.strictSame(['', 'api', 'kubelet', 'other'].map(is), [true, true, true, false]);
});

t.test('a pod that is not there, or another one of the same name, is 11', async (t) => {
  const { cluster } = await clusterOf(t);
  t.equal((await cluster.pod(WEB)).uid, 'u');
  t.equal((await cluster.pod({ ...WEB, uid: '' })).uid, 'u');
  await t.rejects(cluster.pod({ ...WEB, name: 'no' }), { code: 11, message: 'pod shop/no does not exist' });
  await t.rejects(cluster.pod({ ...WEB, uid: 'v' }), {
    code: 11,
    message: 'pod shop/web has UID u, and the runtime starts the one with v',
  });
});

t.test('a server that is busy is asked again, for ten seconds', async (t) => {
  const { api, cluster } = await clusterOf(t);
  let asked = 0;
  api.fault = (_, response) => {
    if (asked++ > 1) return undefined;
    response.setHeader('retry-after', '0.001');
    refuse(response, 429, 'TooManyRequests', 'slow down');
    return true;
  };
  t.equal((await cluster.pod(WEB)).uid, 'u');
  t.equal(asked, 3);
  const clock = handSetClock(t);
  asked = 0;
  api.fault = (_, response) => {
    asked++;
    clock.ms += 5000;
    response.setHeader('retry-after', '0.001');
    refuse(response, 503, 'ServiceUnavailable', 'it starts');
    return true;
  };
  await t.rejects(cluster.pod(WEB), { code: 11, message: 'pod shop/web cannot be read: it starts' });
  t.equal(asked, 3, 'after 5 s and after 10 s, not after 15 s');
});

t.test('the status is written with what it has to say, given what it says', async (t) => {
  const { api, cluster } = await clusterOf(t);
  const before: unknown[] = [];
  const publish = async (name: string) =>
    cluster.publish(await cluster.pod(WEB), (entries) => {
      before.push(entries.length);
      return [...entries, { name, interface: name }];
    });
  await publish('net1');
  await publish('net2');
  t.strictSame(before, [0, 1]);
  const { metadata } = api.get('/api/v1/namespaces/shop/pods/web') as { metadata: { annotations: object } };
  t.match(Object.values(metadata.annotations), [/net1[\s\S]*net2/]);
});

t.test('a refusal is no reason to ask again', async (t) => {
  const { api, cluster } = await clusterOf(t);
  let asked = 0;
  api.fault = (_, response) => {
    asked++;
    refuse(response, 403, 'Forbidden', 'may not');
    return true;
  };
  await t.rejects(cluster.pod(WEB), { code: 11, message: 'pod shop/web cannot be read: may not' });
  t.equal(asked, 1);
});

t.test('nobody can be asked outside of a cluster, without a kubeconfig; a wrong one is 7', async (t) => {
  const call = {
    place: { pathOf: (path: string) => path },
    env: {},
    log: { warn: () => undefined },
  } as unknown as Call;
  const of = (keys: object) =>
    directCluster(parseMultiNetworkConfig({ name: 'n', cniVersion: '1.0.0', ...keys }).config, call);
  t.equal(await of({}), undefined);
  t.equal(await of({ kubeconfig: '' }), undefined);
  await t.rejects(of({ kubeconfig: '/nowhere' }), { code: 7, message: /^kubeconfig: \/nowhere cannot be read/ });
  const place = {
    pathOf: () => {
      throw new TypeError('ours');
    },
  };
  const config = parseMultiNetworkConfig({ name: 'n', cniVersion: '1.0.0', kubeconfig: '/x' }).config;
  const file = join(t.testdir(), 'kubeconfig');
  writeFileSync(file, kubeconfig('http://127.0.0.1:9'));
  const cluster = await of({ kubeconfig: file });
  t.ok(cluster instanceof DirectCluster);
  await cluster?.close();
  await t.rejects(directCluster(config, { ...call, place } as unknown as Call), { name: 'TypeError' });
});
