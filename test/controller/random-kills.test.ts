import { once } from 'node:events';
import t from 'tap';
import { startDying } from '../support/kubernetes/dying-agent.ts';
import { type FakePod, hotPlugNode } from '../support/kubernetes/hot-plug.ts';
import { noReferencePlugins } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

// Edits of many pods while the agent is killed at any moment: WAYMARK_KILL_SECONDS sets for how long. Where exactly it is
// killed is up to chance; what has to come of it is not. The stand-ins are those of controller.test.ts.

const SECONDS = Number(process.env.WAYMARK_KILL_SECONDS ?? 8);
const PODS = 30;
const NETWORKS = ['blue', 'green', 'red'];

/** Some networks, under names that change places. */
function anySelection(): string[] {
  const names = ['net1', 'net2', 'net3'].sort(() => Math.random() - 0.5);
  return NETWORKS.filter(() => Math.random() < 0.5).map((network, index) => `${network}@${names[index]}`);
}

t.test(`random kills for ${SECONDS} s under edits on ${PODS} pods`, { skip: noReferencePlugins }, async (t) => {
  t.setTimeout((SECONDS + 900) * 1000);
  const node = await hotPlugNode(t);
  for (const name of NETWORKS) node.define(name);
  const pods: FakePod[] = Array.from({ length: PODS }, (_, index) => node.pod(`pod-${index}`));
  const wanted = new Map<FakePod, string[]>();
  await node.controller.stop();

  let edits = 0;
  let kills = 0;
  const end = Date.now() + SECONDS * 1000;
  while (Date.now() < end) {
    const agent = startDying(node, 0);
    const gone = once(agent, 'exit');
    const until = Math.min(end, Date.now() + 500 + Math.random() * 2500);
    while (Date.now() < until) {
      const pod = pods[Math.floor(Math.random() * PODS)] as FakePod;
      const selection = anySelection();
      wanted.set(pod, selection);
      pod.select(selection.join(','));
      edits++;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 200));
    }
    agent.kill('SIGKILL');
    kills++;
    await gone;
  }
  t.comment(`${edits} edits, ${kills} kills`);

  await node.restart();
  const isRight = (pod: FakePod) => {
    const selection = wanted.get(pod) ?? [];
    const [, ...said] = pod.status();
    const links = pod.links();
    const inKernel = Object.keys(links).filter((name) => name !== 'eth0');
    return (
      said.map(({ name, interface: ifname }) => `${name}@${ifname}`).join() ===
        selection.map((item) => `default/${item}`).join() &&
      inKernel.length === selection.length &&
      said.every(({ interface: ifname = '', ips, mac }) => {
        return links[ifname]?.mac === mac && links[ifname]?.ips.join() === ips?.join();
      })
    );
  };
  for (const pod of pods) {
    await until(() => isRight(pod), `${pod.name} never has ${wanted.get(pod)}`).catch((error: Error) => {
      t.fail(error.message, { links: pod.links(), status: pod.status(), pending: node.controller.status().pending });
    });
  }
  const leases = () => node.leftovers().filter((file) => file.startsWith('leases/'));
  const attachments = [...wanted.values()].flat().length;
  await until(() => leases().length === attachments, 'as many leases as attachments');
  t.pass(`each of ${PODS} pods has what its last edit says, by kernel and status, after ${kills} kills`);
  for (const pod of pods) pod.select('');
  await until(() => node.leftovers().length === 0, 'something is left');
  t.strictSame(node.leftovers(), []);
});
