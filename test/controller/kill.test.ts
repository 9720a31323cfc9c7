import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { hotPlugNode, NODE } from '../support/kubernetes/hot-plug.ts';
import { noReferencePlugins, REFERENCE_FOLDER } from '../support/plugins/chain.ts';
import { until } from '../support/until.ts';

const DYING = join(import.meta.dirname, '../support/kubernetes/dying-controller.ts');

// Something is attached, something detached, and something swapped, each way.
const WANTED = ['blue@net1,green@net2', 'red@net1,blue@net3'];

t.test(
  'an agent that is killed between any two effects loses, doubles and leaks nothing',
  { skip: noReferencePlugins },
  async (t) => {
    const node = await hotPlugNode(t);
    for (const name of ['blue', 'green', 'red']) node.define(name);
    const pod = node.pod('web', WANTED[0]);
    const leases = () => node.leftovers().filter((file) => file.startsWith('leases/')).length;
    const names = (wanted: string) => wanted.split(',').map((item) => item.split('@')[1] ?? '');
    const isRight = (wanted: string) => {
      const entries = wanted.split(',').map((item) => `default/${item}`);
      const said = pod
        .status()
        .slice(1)
        .map(({ name, interface: ifname }) => `${name}@${ifname}`);
      return said.join() === entries.join() && leases() === entries.length;
    };
    await pod.has(...names(WANTED[0] ?? ''));
    const { mac } = pod.links().net1 ?? {};

    for (let at = 1, wasKilled = true; wasKilled; at++) {
      await node.controller.stop();
      const wanted = WANTED[at % 2] ?? '';
      pod.select(wanted);
      const options = {
        at,
        server: node.api.url,
        node: NODE,
        criSocket: join(node.folder, 'cri.sock'),
        binDirs: [REFERENCE_FOLDER],
        stateDir: join(node.folder, 'state'),
        through: ['ip', 'netns', 'exec', node.node.name],
        cacheFolders: [],
      };
      const child = spawn(process.execPath, [DYING, JSON.stringify(options)], { stdio: 'inherit' });
      let isGone = false;
      const gone = once(child, 'exit').then(() => {
        isGone = true;
      });
      await until(() => isGone || isRight(wanted));
      // What it still has to do after the status is there, is over in a moment, or not begun.
      if (!isGone) await new Promise((resolve) => setTimeout(resolve, 300));
      wasKilled = isGone;
      child.kill('SIGKILL');
      await gone;

      await node.restart();
      await pod.has(...names(wanted)).catch((error: Error) => t.fail(`killed at boundary ${at}: ${error.message}`));
      await until(() => isRight(wanted), `killed at boundary ${at}: not right in the end`);
      t.equal(pod.links().net1?.mac, mac, `killed at boundary ${at}: the hardware address is kept`);
      t.equal(leases(), 2, `killed at boundary ${at}: no lease is lost or doubled`);
      if (!wasKilled) t.comment(`${at - 1} boundaries`);
      if (!t.passing()) break;
    }
    pod.select('');
    await pod.has();
    t.strictSame(node.leftovers(), []);
  },
);
