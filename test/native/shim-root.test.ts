import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { agentHere, shimEnv, shimOf } from '../support/agent/agent.ts';
import { noMounts, ran } from '../support/namespaces/enclosed.ts';
import { scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';
import { PLUGINS } from '../support/plugins/plugins.ts';
import { previousResult } from '../support/plugins/previous-result.ts';

// A node with a root of nothing: no libraries, no shell, no /proc, no /dev.

const noShim = noMounts || (existsSync(shimOf('static-route')) ? false : 'needs scripts/build.sh');

t.test('in a root with nothing else, the shims hand their calls to the agent', { skip: noShim }, async (t) => {
  const { socket } = await agentHere(t);
  const root = scratchFolder(t);
  mkdirSync(join(root, 'run'));
  writeFileSync(join(root, 'netns'), '');
  const mounts = `mount --bind "$1" "$0/run" && mount --bind "$2" "$0/netns" && exec chroot "$0" "/$3"`;
  for (const { name, config } of PLUGINS) {
    const pod = scratchPod(t);
    copyFileSync(shimOf(name), join(root, name));
    t.strictSame(readdirSync(root).sort(), [name, 'netns', 'run'].sort());
    const before = pod.routes();
    for (const verb of ['ADD', 'CHECK', 'DEL']) {
      const stdin = { ...config, name: 'net', type: name, prevResult: previousResult('1.1.0', '/netns') };
      const keys = name === 'static-route' ? { routes: [{ dst: '10.9.0.0/16' }] } : {};
      const command = ['-m', 'sh', '-c', mounts, root, dirname(socket), pod.path, name];
      const env = { PATH: process.env.PATH, ...shimEnv('/run/agent.sock', variables(verb, '/netns')) };
      const child = spawn('unshare', command, { env });
      const answer = await ran(child, JSON.stringify({ cniVersion: '1.1.0', dataDir: '/run/data', ...stdin, ...keys }));
      t.match(answer, { code: 0 }, `${name} ${verb}: ${answer.stdout}`);
      if (verb === 'ADD' && name === 'static-route') t.match(pod.ip('route show proto 87'), '10.9.0.0/16');
    }
    t.equal(pod.routes(), before);
    rmSync(join(root, name));
  }
});
