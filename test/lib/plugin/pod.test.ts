import { readdirSync } from 'node:fs';
import t from 'tap';
import { HERE } from '../../../lib/cni/place.ts';
import type { Call } from '../../../lib/cni/runner.ts';
import { OWN_NAMESPACE, openNamespace } from '../../../lib/netns/netns.ts';
import { lazyHost, openIfNamespace, withPod } from '../../../lib/plugin/pod.ts';
import { noNamespaces, scratchPod } from '../../support/namespaces/namespace.ts';

const open = () => readdirSync('/proc/self/fd').length;

t.test(
  'work on a pod finds its namespace and the node’s, and leaves nothing open',
  { skip: noNamespaces },
  async (t) => {
    const [pod, node] = [scratchPod(t), scratchPod(t)];
    node.ip('link add only-there type bridge');
    const namespace = openNamespace(pod.path);
    t.teardown(() => namespace.close());
    const call = { namespace, place: { ...HERE, ownNamespace: node.path }, pacing: {} } as unknown as Call;
    const before = open();
    const seen = await withPod(call, async ({ socket, host }) => {
      t.equal(open(), before + 1, 'the node’s own when it is needed');
      const first = host();
      node.ip('link set only-there name renamed');
      const names = [first, host()].map((observed) =>
        observed
          .links()
          .map(({ name }) => name)
          .at(-1),
      );
      t.equal(open(), before + 2);
      return [names, socket.namespaceCookie > 0n];
    });
    t.strictSame(seen, [['renamed', 'renamed'], true], 'an observation reads when it is asked');
    t.equal(open(), before);
    const failing = async () => {
      throw new Error('not now');
    };
    await t.rejects(withPod(call, failing), { message: 'not now' });
    t.equal(open(), before);
    await t.rejects(withPod({ ...call, namespace: undefined }, failing), { code: 3 });
  },
);

t.test('a look at the node is a fresh one each time', { skip: noNamespaces }, async (t) => {
  const node = scratchPod(t);
  const before = open();
  const host = lazyHost({ ...HERE, ownNamespace: node.path });
  host.close();
  t.equal(open(), before);
  t.equal(host.observe().linkNamed('late'), undefined);
  node.ip('link add late type bridge');
  t.equal(host.observe().linkNamed('late')?.name, 'late');
  host.close();
  t.equal(open(), before);
});

t.test('a namespace of another kind is none', { skip: noNamespaces }, async (t) => {
  const other = openNamespace('/proc/self/ns/mnt');
  t.equal(openIfNamespace(other), undefined);
  other.close();
  const own = openNamespace(OWN_NAMESPACE);
  openIfNamespace(own)?.close();
  own.close();
  t.throws(() => openIfNamespace(own), { name: 'NetlinkError' });
});
