import { join } from 'node:path';
import t, { type Test } from 'tap';
import { refuse } from '../../support/kubernetes/api-stand-in.ts';
import {
  type MultiNetworkNode,
  multiNetworkNode,
  type StartedPod,
} from '../../support/kubernetes/multi-network-node.ts';
import { scratchNamespace } from '../../support/namespaces/namespace.ts';
import { noReferencePlugins } from '../../support/plugins/chain.ts';

// `default-route` of a pod that starts. Routes are read by `ip`.

const NETWORKS = 'k8s.v1.cni.cncf.io/networks';
const skip = noReferencePlugins;

/** A node whose cluster network has default routes of both families, and networks `blue` and `green` of both. */
async function nodeOfBoth(t: Test): Promise<{ node: MultiNetworkNode; config: object }> {
  const node = await multiNetworkNode(t);
  const both = (name: string, index: number, more: object = {}) => ({
    ...node.bridge(name, more),
    ipam: {
      type: 'host-local',
      dataDir: join(node.folder, 'leases'),
      ranges: [[{ subnet: `10.88.${index}.0/24` }], [{ subnet: `fd00:88:${index}::/64` }]],
    },
  });
  node.define('blue', both('blue', 1));
  node.define('green', both('green', 2, { isGateway: true, isDefaultGateway: true }));
  return { node, config: { delegates: [both('cluster', 0, { isGateway: true, isDefaultGateway: true })] } };
}

/** `4 10.88.0.1 eth0`, for each default route. */
function defaults({ scratch }: StartedPod): string[] {
  return [4, 6].flatMap((family) =>
    scratch.ipJson(`-${family} route show default`).map(({ gateway, dev }) => `${family} ${gateway} ${dev}`),
  );
}

const BLUE = ['4 10.88.1.1 net1', '6 fd00:88:1::1 net1'];
const blue = (...gateways: string[]) => ({ name: 'blue', 'default-route': gateways });

t.test('both families; the result and the status say it; CHECK holds, and fails without', { skip }, async (t) => {
  const { node, config } = await nodeOfBoth(t);
  const pod = node.pod('web', { [NETWORKS]: [blue('10.88.1.1', 'fd00:88:1::1')] });
  const result = await pod.add({ config });
  t.strictSame(defaults(pod), BLUE);
  t.strictSame(
    result.routes?.filter(({ dst }) => dst === '0.0.0.0/0' || dst === '::/0'),
    [],
    'eth0 has none in its result',
  );
  const [own, second] = pod.status();
  t.equal(own?.gateway, undefined);
  t.strictSame(second?.gateway, ['10.88.1.1', 'fd00:88:1::1']);
  t.equal((await pod.run('CHECK', { config })).code, 0);

  await pod.add({ config });
  t.strictSame(defaults(pod), BLUE, 'ADD twice');
  t.equal((await pod.run('CHECK', { config })).code, 0);

  t.equal((await pod.run('DEL', { config })).code, 0);
  t.strictSame(node.leftovers(), []);
});

t.test('CHECK tells of a default route that is gone, also where no plugin looks', { skip }, async (t) => {
  const { node, config } = await nodeOfBoth(t);
  node.define('quiet', { cniVersion: '1.0.0', disableCheck: true, plugins: [node.bridge('quiet')] });
  const address = /^10\.\d+\.\d+\./;
  const probe = node.pod('probe', { [NETWORKS]: 'quiet' });
  await probe.add({ config });
  const gateway = `${address.exec(probe.links().net1?.[0] ?? '')?.[0]}1`;
  const chosen = node.pod('chosen', { [NETWORKS]: [{ name: 'quiet', 'default-route': [gateway] }] });
  await chosen.add({ config });
  t.equal((await chosen.run('CHECK', { config })).code, 0);
  chosen.scratch.ip('route delete default');
  t.match((await chosen.run('CHECK', { config })).document, { code: 106, msg: /default\/quiet: default-route: / });
});

t.test('one family each of two networks, one of which brings default routes of its own', { skip }, async (t) => {
  const { node, config } = await nodeOfBoth(t);
  const pod = node.pod('web', {
    [NETWORKS]: [blue('fd00:88:1::1'), { name: 'green', 'default-route': ['10.88.2.1'] }],
  });
  await pod.add({ config });
  t.strictSame(defaults(pod), ['4 10.88.2.1 net2', '6 fd00:88:1::1 net1']);
  t.equal((await pod.run('CHECK', { config })).code, 0);
  t.equal((await pod.run('DEL', { config })).code, 0);
  t.strictSame(node.leftovers(), []);
});

t.test('the family that nobody chose stays as it is; a network’s own default routes yield', { skip }, async (t) => {
  const { node, config } = await nodeOfBoth(t);
  const pod = node.pod('web', { [NETWORKS]: [blue('10.88.1.1'), { name: 'green' }] });
  await pod.add({ config });
  const found = defaults(pod);
  t.strictSame(
    found.filter((line) => line.startsWith('4')),
    ['4 10.88.1.1 net1'],
  );
  t.match(pod.scratch.ip('-6 route show default'), 'via fd00:88::1 dev eth0');
});

t.test('several of one family are refused, before anything is made', { skip }, async (t) => {
  const { node, config } = await nodeOfBoth(t);
  const wrong = [
    [blue('10.88.1.1', '10.88.1.2')],
    [blue('10.88.1.1'), { name: 'green', 'default-route': ['10.88.2.1'] }],
  ];
  for (const [index, networks] of wrong.entries()) {
    const pod = node.pod(`web-${index}`, { [NETWORKS]: networks });
    const answer = await pod.run('ADD', { config });
    t.match(answer.document, { code: 7, msg: /of one family/ });
    t.strictSame(pod.links(), {});
  }
  t.strictSame(node.leftovers(), []);
});

t.test('a gateway that cannot be: everything is undone, and the error says which', { skip }, async (t) => {
  const { node, config } = await nodeOfBoth(t);
  const pod = node.pod('web', { [NETWORKS]: [blue('fd00:88:1::1'), { name: 'green', 'default-route': ['10.1.2.3'] }] });
  const { code, document } = await pod.run('ADD', { config });
  t.equal(code, 1);
  t.match(document?.msg, /default-route: .*10\.1\.2\.3/);
  t.strictSame(pod.links(), {});
  t.strictSame(node.leftovers(), []);
});

t.test('a status that cannot be written: the default routes go with the rest', { skip }, async (t) => {
  const { node, config } = await nodeOfBoth(t);
  node.api.fault = ({ method }, response) => {
    if (method !== 'PATCH') return undefined;
    refuse(response, 403, 'Forbidden', 'may not patch');
    return true;
  };
  const pod = node.pod('web', { [NETWORKS]: [blue('10.88.1.1')] });
  const { document } = await pod.run('ADD', { config });
  t.match(document, { code: 11 });
  t.strictSame(pod.links(), {});
  t.strictSame(node.leftovers(), []);
});

t.test(
  'in a chain, eth0 of the plugins in front loses its default route, and has it again after DEL',
  { skip },
  async (t) => {
    const { node } = await nodeOfBoth(t);
    const pod = node.pod('web', { [NETWORKS]: [blue('10.88.1.1')] });
    const peer = scratchNamespace(t);
    pod.scratch.ip(`link add eth0 type veth peer name peer netns ${peer.name}`);
    peer.ip('link set peer up');
    pod.scratch.ip('link set eth0 up');
    pod.scratch.ip('address add 10.88.0.9/24 dev eth0');
    pod.scratch.ip('route add default via 10.88.0.1 dev eth0');
    const chained = { delegates: undefined, interface: 'eth0' };
    const result = await pod.add({ config: chained });
    t.strictSame(defaults(pod), ['4 10.88.1.1 net1']);
    t.notOk(result.routes?.some(({ dst }) => dst === '0.0.0.0/0'));
    t.equal((await pod.run('DEL', { config: chained })).code, 0);
    t.strictSame(defaults(pod), ['4 10.88.0.1 eth0']);
    t.strictSame(node.leftovers(), []);
  },
);

t.test('DEL after the namespace is gone leaves no journal', { skip }, async (t) => {
  const { node, config } = await nodeOfBoth(t);
  const pod = node.pod('web', { [NETWORKS]: [blue('10.88.1.1')] });
  await pod.add({ config });
  t.ok(node.leftovers().includes(`${pod.containerID}-net1.json`));
  pod.scratch.remove();
  t.equal((await pod.run('DEL', { config })).code, 0);
  t.strictSame(node.leftovers(), []);
});
