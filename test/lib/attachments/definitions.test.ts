import t, { type Test } from 'tap';
import { Definitions, withoutRest } from '../../../lib/attachments/definitions.ts';
import { ApiError } from '../../../lib/kubernetes/errors.ts';
import { ApiStandIn } from '../../support/kubernetes/api-stand-in.ts';
import { until } from '../../support/until.ts';

// A stand-in for the API server. The real one serves both kinds in test/cluster.

const standard = (network: string) => path(network, 'k8s.cni.cncf.io', 'network-attachment-definitions');
const kaloom = (network: string) => path(network, 'kaloom.com', 'networks');

function path(network: string, group: string, plural: string): string {
  const [namespace, name] = network.split('/');
  return `/apis/${group}/v1/namespaces/${namespace}/${plural}/${name}`;
}

async function definitionsOf(t: Test, globalNamespaces?: ReadonlySet<string>) {
  const api = new ApiStandIn();
  await api.start();
  const changes: string[] = [];
  const failures: Error[] = [];
  const client = api.client();
  const definitions = new Definitions({
    client,
    globalNamespaces,
    changed: (network, pods) => changes.push(`${network} for ${pods.join()}`),
    failed: (error) => failures.push(error),
  });
  t.teardown(async () => {
    await definitions.stop();
    client.close();
    await api.stop();
  });
  const put = (at: string) => {
    const [, , , version, , namespace, , name] = at.split('/');
    return api.put(at, { apiVersion: `${at.split('/')[2]}/${version}`, metadata: { name, namespace } });
  };
  return { api, definitions, changes, failures, put };
}

const from = async (definitions: Definitions, network: string) => {
  const { apiVersion, metadata } = await definitions.get(network);
  return `${apiVersion} ${metadata.namespace}/${metadata.name}`;
};

t.test('a NetworkAttachmentDefinition comes first, and costs one request', async (t) => {
  const { api, definitions, put } = await definitionsOf(t);
  api.kinds.add('networks');
  put(standard('shop/blue'));
  put(kaloom('shop/blue'));
  t.equal(await from(definitions, 'shop/blue'), 'k8s.cni.cncf.io/v1 shop/blue');
  t.equal(api.asked.length, 1);
});

t.test('else kactus’ Network of the namespace serves, else the one of default', async (t) => {
  const { api, definitions, put } = await definitionsOf(t);
  api.kinds.add('networks');
  put(kaloom('default/blue'));
  t.equal(await from(definitions, 'shop/blue'), 'kaloom.com/v1 default/blue');
  t.equal(await from(definitions, 'default/blue'), 'kaloom.com/v1 default/blue');
  put(kaloom('shop/blue'));
  t.equal(await from(definitions, 'shop/blue'), 'kaloom.com/v1 shop/blue');
});

t.test('a Network of default is not for pods elsewhere where namespace isolation forbids it', async (t) => {
  for (const [globals, isFound] of [
    [new Set(['default']), true],
    [new Set<string>(), false],
  ] as const) {
    const { api, definitions, put } = await definitionsOf(t, globals);
    api.kinds.add('networks');
    put(kaloom('default/blue'));
    const read = await definitions.get('shop/blue').catch((error: Error) => error);
    t.equal(!(read instanceof Error), isFound);
    t.equal(await from(definitions, 'default/blue'), 'kaloom.com/v1 default/blue');
  }
});

t.test(
  'what is nowhere is not found, by the standard’s path, also without the kind or the right to read it',
  async (t) => {
    const { api, definitions } = await definitionsOf(t);
    const missing = async () => {
      await t.rejects(definitions.get('shop/blue'), { isNotFound: true, message: /network-attachment-definitions/ });
      return api.asked.length;
    };
    t.equal(await missing(), 2, 'without the kind, one request more');
    api.kinds.add('networks');
    t.equal(await missing(), 5);
    api.fault = ({ path }, response) => {
      if (!path.includes('kaloom')) return undefined;
      response.writeHead(403).end(JSON.stringify({ kind: 'Status', code: 403, message: 'forbidden' }));
      return true;
    };
    t.equal(await missing(), 7);
    api.fault = (_, response) => {
      response.writeHead(500).end();
      return true;
    };
    await t.rejects(definitions.get('shop/blue'), ApiError);
  },
);

t.test('tells of a definition that comes or changes, of either kind, and not of one that was read', async (t) => {
  const { api, definitions, changes, failures, put } = await definitionsOf(t);
  api.kinds.add('networks');
  put(standard('shop/green'));
  await definitions.get('shop/green');
  await t.rejects(definitions.get('shop/blue'));
  definitions.wait('shop/web', new Set(['shop/blue', 'shop/green']));
  t.equal(definitions.watched, 6);
  await until(() => api.watching === 6);
  t.strictSame(changes, [], 'nothing is new');
  put(kaloom('default/blue'));
  await until(() => changes.length === 1);
  put(standard('shop/green'));
  await until(() => changes.length === 2);
  t.strictSame(changes, ['shop/blue for shop/web', 'shop/green for shop/web']);
  definitions.wait('shop/web', new Set());
  await until(() => api.watching === 0);
  t.strictSame(failures, []);
});

t.test('tells of one that went after it was read and before the watch of it began', async (t) => {
  const { api, definitions, changes, put } = await definitionsOf(t);
  for (const network of ['shop/blue', 'shop/green']) put(standard(network));
  await definitions.get('shop/blue');
  await definitions.get('shop/green');
  api.delete(standard('shop/blue'));
  definitions.wait('shop/web', new Set(['shop/blue', 'shop/green', 'shop/never-read']));
  await until(() => changes.length > 0, 'nobody is told');
  await until(() => api.watching === 3);
  t.strictSame(changes, ['shop/blue for shop/web']);
});

t.test('does not watch a kind that the cluster does not have, nor more than there is room for', async (t) => {
  const { api, definitions } = await definitionsOf(t);
  await t.rejects(definitions.get('shop/blue'));
  const names = Array.from({ length: 80 }, (_, index) => `shop/n${index}`);
  definitions.wait('shop/web', new Set(names));
  t.equal(definitions.watched, 64);
  await until(() => api.watching === 64);
  t.equal(api.count('GET', /kaloom/), 1, 'but for the one that found it out');
});

t.test('who only wants to know asks once for many, and not at all where it is watched', async (t) => {
  const { api, definitions, put } = await definitionsOf(t);
  t.equal(await definitions.find('shop/blue'), undefined);
  put(standard('shop/blue'));
  const before = api.asked.length;
  const found = await Promise.all([definitions.find('shop/blue'), definitions.find('shop/blue')]);
  t.equal(api.asked.length, before + 1);
  t.strictSame(
    found.map((each) => each?.metadata.name),
    ['blue', 'blue'],
  );
  await definitions.find('shop/blue');
  t.equal(api.asked.length, before + 2, 'and again the next time');
  definitions.wait('shop/web', new Set(['shop/blue', 'shop/none']));
  t.strictSame(
    ['shop/blue', 'shop/red'].map((network) => definitions.isWatched(network)),
    [true, false],
  );
  await until(() => api.watching === 2);
  const asked = api.asked.length;
  t.match(await definitions.find('shop/blue'), { metadata: { name: 'blue', namespace: 'shop' } });
  t.equal(api.asked.length, asked);
  t.equal(await definitions.find('shop/none'), undefined);
  t.ok(api.asked.length > asked, 'one that is not there may be of the other kind');
  api.fault = (_, response) => {
    response.writeHead(500).end();
    return true;
  };
  await t.rejects(definitions.find('shop/red'), ApiError);
});

t.test('a look is not what a watch has to differ from; who leaves is not told', async (t) => {
  const { api, definitions, changes, put } = await definitionsOf(t);
  put(standard('shop/blue'));
  await definitions.peek('shop/blue');
  definitions.wait('shop/web', new Set(['shop/blue']));
  definitions.wait('shop/db', new Set(['shop/blue']));
  await until(() => changes.length === 1);
  t.strictSame(changes, ['shop/blue for shop/web,shop/db']);
  definitions.wait('shop/web', new Set());
  t.ok(definitions.isWatched('shop/blue'));
  put(standard('shop/blue'));
  await until(() => changes.length === 2);
  t.equal(changes[1], 'shop/blue for shop/db');
  t.equal(api.watching, 1);
});

t.test('what was read last is known of 256 definitions', async (t) => {
  const { api, definitions, changes, put } = await definitionsOf(t);
  const names = Array.from({ length: 257 }, (_, index) => `shop/n${index}`);
  for (const name of names) put(standard(name));
  for (const name of names.slice(0, 256)) await definitions.get(name);
  const waitFor = async (name: string) => {
    definitions.wait('shop/web', new Set([name]));
    await until(() => api.watching === 1);
    definitions.wait('shop/web', new Set());
    await until(() => api.watching === 0);
  };
  await waitFor('shop/n0');
  t.strictSame(changes, []);
  await definitions.get('shop/n256');
  await waitFor('shop/n1');
  t.strictSame(changes, []);
  await waitFor('shop/n0');
  t.strictSame(changes, ['shop/n0 for shop/web']);
});

t.test('of a definition is kept what says how its network is attached', async (t) => {
  const metadata = { name: 'blue', uid: 'u', resourceVersion: '7' };
  const rest = { labels: { a: 'b' }, managedFields: [] };
  t.strictSame(withoutRest({ metadata: { ...metadata, ...rest } }), { metadata, spec: { config: undefined } });
  const whole = {
    apiVersion: 'kaloom.com/v1',
    metadata: { ...metadata, namespace: 'shop', annotations: { a: 'b' } },
    spec: { config: '{}', plugin: 'vlan' },
  };
  t.strictSame(withoutRest({ ...whole, kind: 'Network', metadata: { ...whole.metadata, ...rest } }), whole);
});
