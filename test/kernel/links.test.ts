import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Plugin } from '../../lib/cni/runner.ts';
import { consistentIfname } from '../../plugins/consistent-ifname/main.ts';
import { multiNetwork } from '../../plugins/multi-network/main.ts';
import { seamlessGateway } from '../../plugins/seamless-gateway/main.ts';
import { staticRoute } from '../../plugins/static-route/main.ts';
import { batch, LINK_KINDS, type LinkKind, makeLink, tableOf } from '../support/kernel/kinds.ts';
import {
  noNamespaces,
  type Scratch,
  scratchFolder,
  scratchNamespace,
  settle,
} from '../support/namespaces/namespace.ts';
import { call, type Document, success, variables } from '../support/plugins/call.ts';
import { until } from '../support/until.ts';

// Our plugins, one after another as in a list, on an interface of every kind that the kernel has.

const GREEN = 'net9f27410725ab';

const LIST: readonly [Plugin, keys: object][] = [
  [multiNetwork, {}],
  [
    staticRoute,
    {
      routes: [
        { dst: '10.9.0.0/16', gw: '10.244.1.1' },
        { dst: '10.10.0.0/16', gw: '10.244.1.1', table: 100_000 },
        { dst: '2001:db8:9::/48', gw: 'fd00:244:1::1' },
        { dst: '2001:db8:10::/48', nexthops: [{ gw: 'fd00:244:1::1' }, { gw: 'fd00:244:1::2' }] },
      ],
    },
  ],
  [seamlessGateway, { hostAddresses: ['10.0.32.2', 'fd00:32::2'] }],
  [consistentIfname, {}],
];

for (const kind of LINK_KINDS) {
  t.test(kind.title, { skip: noNamespaces }, async (t) => {
    const [node, pod] = [scratchNamespace(t), scratchNamespace(t)];
    const missing = makeLink(kind, node, pod);
    if (missing !== false) {
      t.pass(missing, { skip: missing });
      return;
    }
    await testList(t, kind, pod);
  });
}

async function testList(t: Test, kind: LinkKind, pod: Scratch): Promise<void> {
  const dataDir = join(scratchFolder(t), 'data');
  const prevResult = {
    interfaces: [{ name: 'eth0', sandbox: pod.path }],
    ips: [
      { address: '10.244.1.5/24', interface: 0 },
      { address: 'fd00:244:1::5/64', interface: 0 },
    ],
  };
  const ask = async (verb: string, [plugin, keys]: (typeof LIST)[number], previous: object): Promise<Document> => {
    const config = { cniVersion: '1.1.0', name: 'green', type: plugin.name, dataDir, ...keys, prevResult: previous };
    return success(await call(plugin, variables(verb, pod.path), config));
  };

  const before = await stateOf(pod);
  let result: object = prevResult;
  for (const entry of LIST) result = await ask('ADD', entry, result);
  const own = tableOf(kind);
  const there = batch(pod, ['route show proto 87 table all'], ['-j'])
    .split('\n')
    .flatMap((line) => JSON.parse(line || '[]') as { [key: string]: string }[])
    .map(({ dst, table = 'main', gateway = 'several', dev = GREEN }) => `${dst} ${gateway} ${dev} ${table}`);
  t.strictSame(there.sort(), [
    `10.0.32.2 10.244.1.1 ${GREEN} ${own}`,
    `10.10.0.0/16 10.244.1.1 ${GREEN} 100000`,
    `10.9.0.0/16 10.244.1.1 ${GREEN} ${own}`,
    `2001:db8:10::/48 several ${GREEN} ${own}`,
    `2001:db8:9::/48 fd00:244:1::1 ${GREEN} ${own}`,
    `fd00:32::2 fd00:244:1::1 ${GREEN} ${own}`,
  ]);
  for (const entry of LIST) await ask('CHECK', entry, result);
  for (const entry of LIST.toReversed()) await ask('DEL', entry, result);
  t.strictSame(await stateOf(pod), before, 'after DEL all is as before');
}

/**
 * Links, addresses and routes, as `ip` prints them, but for the timers of a bridge, and the operational state, which the
 * kernel works out some time later. Where a link goes down for its name, the order of the routes to fe80::/64 of several
 * links changes.
 */
async function stateOf(pod: Scratch): Promise<string[]> {
  // Some time after a link has come up, the kernel notices that it has no carrier.
  const isNoticed = ({ flags = 'LOWER_UP' }) => /LOWER_UP|NO-CARRIER/.test(String(flags));
  await until(() => pod.ipJson('link show up').every(isNoticed), 'the carrier of a link is not known');
  settle(pod);
  const state = batch(pod, ['link show', 'address show', 'route show table all'], ['-j', '-d']);
  return state
    .replace(/("\w+_timer"):[0-9.]+/g, '$1:0')
    .replace(/"operstate":"(UNKNOWN|UP)"/g, '"operstate":"UP"')
    .split('\n')
    .flatMap((line) => JSON.parse(line || '[]').map((entry: object) => JSON.stringify(entry)))
    .sort();
}
