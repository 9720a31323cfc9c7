import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { ran } from '../namespaces/enclosed.ts';
import { scratchFolder, scratchPod } from '../namespaces/namespace.ts';
import { variables } from '../plugins/call.ts';
import { PLUGINS, type PluginUnderTest } from '../plugins/plugins.ts';
import { previousResult } from '../plugins/previous-result.ts';
import { shimEnv } from './agent.ts';

type BareRuntime = { readonly files: { readonly [path: string]: string }; readonly start?: string };

/**
 * ADD, CHECK and DEL of every plugin by the shims of a folder, each in a root with nothing else in it: no libraries, no shell,
 * no /proc, no /dev. `socket`: where an agent listens, which must be agent.sock. `plugins`: those that it serves. `runtime`: files
 * that the root has all the same, by their paths in it, and the path of the one that starts the shims.
 */
export async function testShimsAlone(
  t: Test,
  shims: string,
  socket: string,
  { plugins = PLUGINS, runtime = { files: {} } }: { plugins?: readonly PluginUnderTest[]; runtime?: BareRuntime } = {},
): Promise<void> {
  const root = scratchFolder(t);
  for (const [path, source] of Object.entries(runtime.files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    copyFileSync(source, join(root, path));
  }
  const given = readdirSync(root);
  mkdirSync(join(root, 'run'));
  writeFileSync(join(root, 'netns'), '');
  const mounts = `mount --bind "$1" "$0/run" && mount --bind "$2" "$0/netns" && shift 2 && exec chroot "$0" "$@"`;
  for (const { name, config } of plugins) {
    const pod = scratchPod(t);
    copyFileSync(join(shims, name), join(root, name));
    t.strictSame(readdirSync(root).sort(), [...given, name, 'netns', 'run'].sort());
    const before = pod.routes();
    for (const verb of ['ADD', 'CHECK', 'DEL']) {
      const stdin = { ...config, name: 'net', type: name, prevResult: previousResult('1.1.0', '/netns') };
      const keys = name === 'static-route' ? { routes: [{ dst: '10.9.0.0/16' }] } : {};
      const called = [...(runtime.start === undefined ? [] : [runtime.start]), `/${name}`];
      const command = ['-m', 'sh', '-c', mounts, root, dirname(socket), pod.path, ...called];
      const env = { PATH: process.env.PATH, ...shimEnv('/run/agent.sock', variables(verb, '/netns')) };
      const child = spawn('unshare', command, { env });
      const answer = await ran(child, JSON.stringify({ cniVersion: '1.1.0', dataDir: '/run/data', ...stdin, ...keys }));
      t.match(answer, { code: 0 }, `${name} ${verb}: ${answer.stdout}`);
      if (verb === 'ADD' && name === 'static-route') t.match(pod.ip('route show proto 87'), '10.9.0.0/16');
    }
    t.equal(pod.routes(), before);
    rmSync(join(root, name));
  }
}
