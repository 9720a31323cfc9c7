import t from 'tap';
import { type LookOptions, lookAt } from '../../controller/look.ts';
import { podOf } from '../../lib/attachments/pod.ts';
import type { Sandbox } from '../../lib/cri/runtime-service.ts';
import { noNamespaces, scratchPod } from '../support/namespaces/namespace.ts';

const NETWORKS = JSON.stringify([
  { name: 'blue', interface: 'net1' },
  { name: 'green', namespace: 'depot', interface: 'net2' },
]);
const STATUS = JSON.stringify([{ name: 'shop/old', interface: 'net1', mac: '02:00:00:00:00:01' }]);
const podWith = (annotations: { [name: string]: string }) =>
  podOf({
    metadata: { name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '1', annotations },
    status: { phase: 'Running' },
  });
const POD = podWith({ 'k8s.v1.cni.cncf.io/networks': NETWORKS });

const sandbox = (id: string, attempt: number, isReady = true): Sandbox => ({
  ...{ id, attempt, isReady },
  ...{ uid: 'u', name: 'web', namespace: 'shop' },
});

/** Looks with a runtime that has `path` for every sandbox, and tells which it was asked for. */
async function lookWith(path: string | undefined, pod = POD, sandboxes = [sandbox('a', 0)], more: object = {}) {
  const asked: string[] = [];
  const options: LookOptions = {
    sandboxes: {
      networkNamespace: async ({ id }) => {
        asked.push(id);
        return path;
      },
    },
    pathOf: (name) => name,
    globalNamespaces: undefined,
    cacheFolders: [],
    recordOf: ({ containerID, netns }) => ({
      ...{ version: 1, containerID, netns, attachments: [], defaults: [] },
      pod: { namespace: 'shop', name: 'web', uid: 'u' },
    }),
    ...more,
  };
  return { looked: await lookAt(options, pod, sandboxes), asked };
}

t.test('a pod without a sandbox that is ready, or without a namespace, is not looked at', async (t) => {
  t.strictSame(await lookWith('/n', POD, []), { looked: undefined, asked: [] });
  t.strictSame(await lookWith('/n', POD, [sandbox('a', 0, false)]), { looked: undefined, asked: [] });
  t.strictSame(await lookWith(undefined), { looked: undefined, asked: ['a'] });
});

t.test('a pod', { skip: noNamespaces }, async (t) => {
  const { path, ip, ipJson } = scratchPod(t);
  ip('link add net1 type veth peer name net2');
  ip('address add 10.9.0.5/24 dev net1');
  ip('link set net2 up');
  ip('link set net1 up');
  ip('route add default via 10.9.0.1 dev net1');
  const seen = async (pod = POD, more: object = {}) => (await lookWith(path, pod, undefined, more)).looked;

  t.test('is looked at in its newest sandbox that is ready', async (t) => {
    const sandboxes = [sandbox('a', 1), sandbox('b', 3), sandbox('c', 2), sandbox('d', 4, false)];
    const { looked, asked } = await lookWith(path, POD, sandboxes);
    t.strictSame(asked, ['b']);
    t.match(looked, { pod: POD, containerID: 'b', netns: path });
    t.strictSame(looked?.cached(), []);
    t.equal(looked?.cached(), looked?.cached(), 'the caches are read once');
  });

  t.test('holds its links, and what its status says', async (t) => {
    const looked = await seen(podWith({ 'k8s.v1.cni.cncf.io/network-status': STATUS }));
    t.strictSame(
      looked?.observed.names,
      ipJson('link show').map(({ ifname }) => ifname),
    );
    t.match(looked?.observed.attachments, [{ network: 'shop/old', ifname: 'net1' }]);
  });

  t.test('tells its gateways only where it selects one', async (t) => {
    const gateways = async (request: object) => {
      const networks = JSON.stringify([{ name: 'blue', interface: 'net1', ...request }]);
      const annotations = { 'k8s.v1.cni.cncf.io/networks': networks, 'k8s.v1.cni.cncf.io/network-status': STATUS };
      return (await seen(podWith(annotations)))?.observed.attachments[0]?.gateways;
    };
    t.strictSame(await gateways({ 'default-route': ['10.9.0.1'] }), ['10.9.0.1']);
    t.equal(await gateways({}), undefined);
  });

  t.test('has a plan for what it selects, within its namespace where pods are held to it', async (t) => {
    const none = await seen(podWith({}));
    t.match(none?.plan, { steps: [] });
    const both = JSON.stringify((await seen())?.plan);
    t.match(both, 'shop/blue');
    t.match(both, 'depot/green');
    const held = JSON.stringify((await seen(POD, { globalNamespaces: new Set() }))?.plan);
    t.match(held, 'shop/blue');
    t.not(held, both);
    t.equal(JSON.stringify((await seen(POD, { globalNamespaces: new Set(['depot']) }))?.plan), both);
  });
});
