import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Scratch } from '../namespaces/namespace.ts';
import { until } from '../until.ts';
import type { ApiForBoth } from './api-for-both.ts';

/**
 * Starts Multus' daemon in a node's namespace, and waits until it listens. The folder of its socket, for `daemonSocketDir` of
 * its shim's config. As in its container, it has the account of a pod of the cluster.
 */
export async function multusDaemon(
  t: Test,
  { program, node, folder, api }: { program: string; node: Scratch; folder: string; api: ApiForBoth },
): Promise<string> {
  const [sockets, run, log] = ['sockets', 'run', 'daemon.log'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const account = join(run, 'secrets/kubernetes.io/serviceaccount');
  for (const path of [join(run, 'netns'), account]) mkdirSync(path, { recursive: true });
  copyFileSync(await api.openSecurelyIn(node), join(account, 'ca.crt'));
  writeFileSync(join(account, 'token'), 'x');
  // As in its manifest. It ends unless it may write a list of its own in front of the cluster's, which nobody reads here: the
  // entry's config comes with each call.
  const lists = join(folder, 'lists');
  mkdirSync(lists);
  writeFileSync(
    join(lists, '10-cluster.conf'),
    JSON.stringify({ cniVersion: '0.3.1', name: 'cluster', type: 'bridge' }),
  );
  const config = {
    cniVersion: '0.3.1',
    cniConfigDir: lists,
    multusAutoconfigDir: lists,
    multusConfigFile: 'auto',
    socketDir: sockets,
    logToStderr: true,
    logLevel: 'error',
  };
  writeFileSync(join(folder, 'daemon.json'), JSON.stringify(config));
  // Namespaces of pods that are made later appear in both.
  const script = `set -e; mount --rbind /run/netns ${run}/netns; mount --rbind ${run} /run; exec ${program} -config ${folder}/daemon.json`;
  const output = openSync(log, 'a');
  const child = spawn('ip', ['netns', 'exec', node.name, 'sh', '-c', script], {
    stdio: ['ignore', output, output],
    env: {
      PATH: process.env.PATH,
      KUBERNETES_SERVICE_HOST: '127.0.0.1',
      KUBERNETES_SERVICE_PORT: '6444',
      // The stand-in lists and watches in two requests.
      KUBE_FEATURE_WatchListClient: 'false',
    },
  });
  closeSync(output);
  const ended = new Promise((resolve) => child.once('exit', resolve));
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await until(() => {
    if (child.exitCode !== null) throw new Error(`Multus’ daemon has ended: ${readFileSync(log, 'utf8')}`);
    return existsSync(join(sockets, 'multus.sock'));
  });
  return sockets;
}
