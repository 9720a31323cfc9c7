import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cluster } from '../../cluster/cluster.ts';
import type { ClusterNode } from '../../cluster/node.ts';
import { type Command, compileMeasure, firstStart, planText } from '../measure.ts';
import { TENANT } from './networks.ts';

// What nobody who calls the plugins can be faster than: they themselves, started one after another by a program that does
// nothing else.

/** The address that is attached. */
export const ALONE_ADDRESS = '10.10.10.112';

/** Attaches the network `tenant` to a pod as `net2`, and detaches it. */
export class PluginsAlone {
  readonly #node: ClusterNode;

  constructor(cluster: Cluster, node: ClusterNode, namespace: string) {
    this.#node = node;
    copyFileSync(compileMeasure(cluster.folder.path), join(node.disk, 'opt/measure'));
    node.run(['chmod', '755', '/opt/measure']);
    for (const verb of ['ADD', 'DEL']) {
      const calls = TENANT.plugins.map((plugin, place) => callOf(node, namespace, verb, plugin, place));
      writeFileSync(join(node.disk, `opt/alone-${verb}`), planText(verb === 'ADD' ? calls : calls.toReversed()));
    }
  }

  /** When the first plugin of ADD was started, in milliseconds since the epoch. */
  attach(): number {
    return this.#run('ADD');
  }

  /** The same of DEL. */
  detach(): number {
    return this.#run('DEL');
  }

  #run(verb: string): number {
    return firstStart(this.#node.run(['/opt/measure', 'rounds', '1', `/opt/alone-${verb}`]));
  }
}

type Plugin = (typeof TENANT.plugins)[number];

function callOf(node: ClusterNode, namespace: string, verb: string, plugin: Plugin, place: number): Command {
  const sandbox = `/run/netns/${namespace}`;
  const { capabilities: _, ...own } = plugin;
  const { cniVersion, name } = TENANT;
  const address = `${ALONE_ADDRESS}/24`;
  // What the bridge plugin answers, as far as the one after it wants to know.
  const prevResult = {
    cniVersion,
    interfaces: [{ name: 'br-tenant' }, { name: 'net2', sandbox }],
    ips: [{ version: '4', interface: 1, address }],
  };
  const config = {
    ...own,
    cniVersion,
    name,
    ...(place === 0 ? { runtimeConfig: { ips: [address] } } : { prevResult }),
  };
  const stdin = `/opt/alone-${verb}-${place}.json`;
  writeFileSync(join(node.disk, stdin), JSON.stringify(config));
  const env = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    CNI_COMMAND: verb,
    CNI_CONTAINERID: 'alone',
    CNI_NETNS: sandbox,
    CNI_IFNAME: 'net2',
    CNI_PATH: '/opt/cni/bin',
  };
  return { program: `/opt/cni/bin/${plugin.type}`, args: [], stdin, env };
}
