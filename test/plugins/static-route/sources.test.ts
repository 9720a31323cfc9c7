import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Result } from '../../../lib/cni/result.ts';
import { explainAdd, outlineAdd } from '../../../lib/plugin/explain.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { clashes, withoutListed } from '../../../plugins/static-route/sources.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';
import { observed } from '../../support/plugins/observed.ts';
import { planRequest } from '../../support/plugins/plan-request.ts';

// One route that several places of a config name: `routes`, `addroutes`, a map, the config itself and `args.cni`.

const A = '10.244.1.1';
const B = '10.244.1.2';
const MAP = {
  vrf: {
    site: {
      subnets: {
        '10.244.1.0/24': { gw: A },
        '10.2.0.0/16': { gw: '10.2.0.1' },
        '10.3.0.0/16': { gw: '10.3.0.1' },
      },
    },
  },
};
const byArgs = (keys: object) => ({ args: { cni: keys } });

type Pod = Scratch & { before: string; verb(command: string, keys: object): ReturnType<typeof call> };

function podOf(t: Test): Pod {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const prevResult = {
    cniVersion: '1.1.0',
    interfaces: [{ name: 'eth0', sandbox: pod.path }],
    ips: [{ address: '10.244.1.5/24', gateway: A, interface: 0 }],
  };
  const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, prevResult };
  return {
    ...pod,
    before: pod.routes(),
    verb: (command, keys) => call(staticRoute, variables(command, pod.path), { ...config, ...keys }),
  };
}

function routesOf(pod: Scratch): string[] {
  return pod.ipJson('route show proto 87').map(({ dst, gateway }) => `${dst} via ${gateway}`);
}

const same: [title: string, keys: object, routes: string[]][] = [
  [
    'in routes and addroutes',
    { routes: [{ dst: '10.9.0.0/16', gw: B }], addroutes: [{ dst: '10.9.0.0/16', gw: B }] },
    [`10.9.0.0/16 via ${B}`],
  ],
  [
    'in routes and args.cni.addroutes',
    { routes: [{ dst: '10.9.0.0/16', gw: B }], ...byArgs({ addroutes: [{ dst: '10.9.0.0/16', gw: B }] }) },
    [`10.9.0.0/16 via ${B}`],
  ],
  [
    'written out, and by prevResult’s gateway',
    { routes: [{ dst: '10.9.0.0/16' }], addroutes: [{ dst: '10.9.0.0/16', gw: A }] },
    [`10.9.0.0/16 via ${A}`],
  ],
  [
    'with the next hops in another order',
    {
      routes: [{ dst: '10.9.0.0/16', nexthops: [{ gw: A }, { gw: B }] }],
      addroutes: [{ dst: '10.9.0.0/16', nexthops: [{ gw: B }, { gw: A }] }],
    },
    ['10.9.0.0/16 via undefined'],
  ],
  [
    'listed and in a map',
    { routes: [{ dst: '10.2.0.0/16', gw: A }], topology: MAP },
    [`10.2.0.0/16 via ${A}`, `10.3.0.0/16 via ${A}`],
  ],
  [
    'listed and in a map, through another gateway: the listed one wins',
    { routes: [{ dst: '10.2.0.0/16', gw: B }], topology: MAP },
    [`10.2.0.0/16 via ${B}`, `10.3.0.0/16 via ${A}`],
  ],
  [
    'in args.cni.addroutes and in a map, through another gateway: the listed one wins',
    { topology: MAP, ...byArgs({ addroutes: [{ dst: '10.2.0.0/16', gw: B }] }) },
    [`10.2.0.0/16 via ${B}`, `10.3.0.0/16 via ${A}`],
  ],
];

t.test('one destination from two sources is one route', { skip: noNamespaces }, async (t) => {
  for (const [title, keys, routes] of same) {
    t.test(title, async (t) => {
      const pod = podOf(t);
      const answer = success(await pod.verb('ADD', keys));
      t.strictSame(routesOf(pod).sort(), routes);
      t.equal(answer.routes?.length, routes.length, 'and one route of the result');
      success(await pod.verb('CHECK', keys));
      t.strictSame(success(await pod.verb('ADD', keys)), answer, 'ADD again finds nothing to do');
      success(await pod.verb('DEL', keys));
      t.equal(pod.routes(), pod.before);
    });
  }
});

/** Two routes of one destination, table and priority that are not the same. `isWritten` if any pod would tell. */
const clashing: [title: string, keys: object, isWritten: boolean][] = [
  [
    'through two gateways',
    { routes: [{ dst: '10.9.0.0/16', gw: A }], addroutes: [{ dst: '10.9.0.0/16', gw: B }] },
    true,
  ],
  [
    'by args.cni',
    { routes: [{ dst: '10.9.0.0/16', gw: A }], ...byArgs({ addroutes: [{ dst: '10.9.0.0/16', gw: B }] }) },
    true,
  ],
  [
    'of two types',
    { routes: [{ dst: '10.9.0.0/16', type: 'blackhole' }], addroutes: [{ dst: '10.9.0.0/16', gw: B }] },
    true,
  ],
  [
    'on the link, and through a gateway that is written out',
    { routes: [{ dst: '10.9.0.0/16', gw: A }], addroutes: [{ dst: '10.9.0.0/16' }] },
    true,
  ],
  [
    'on the link, and through prevResult’s gateway',
    { routes: [{ dst: '10.9.0.0/16' }], addroutes: [{ dst: '10.9.0.0/16' }] },
    false,
  ],
  [
    'with another mtu',
    { routes: [{ dst: '10.9.0.0/16', gw: A, mtu: 1300 }], addroutes: [{ dst: '10.9.0.0/16', gw: A }] },
    false,
  ],
];

t.test(
  'two different routes to one destination are error 7 that names both places',
  { skip: noNamespaces },
  async (t) => {
    const both = /addroutes\[0\]: has the destination, table and priority of routes\[0\], but is another route/;
    for (const [title, keys, isWritten] of clashing) {
      t.test(title, async (t) => {
        const pod = podOf(t);
        t.match((await pod.verb('ADD', keys)).document, { code: 7, msg: both });
        t.equal(pod.routes(), pod.before, 'nothing is changed');
        success(await pod.verb('DEL', keys));

        const previous: Result = {
          interfaces: [{ name: 'eth0', sandbox: '/run/netns/pod' }],
          ips: [{ address: '10.244.1.5/24', gateway: A, interface: 0 }],
        };
        const seen = observed({ eth0: ['10.244.1.5/24'] });
        const request = planRequest(
          { cniVersion: '1.1.0', name: 'net', prevResult: previous, ...keys },
          '/run/netns/pod',
          'eth0',
        );
        const view = { observed: seen, host: () => seen };
        await t.rejects(
          explainAdd(staticRoute.definition, request, view),
          { code: 7, message: both },
          'explain says so too',
        );
        const outline = outlineAdd(staticRoute.definition, request);
        if (isWritten) await t.rejects(outline, { code: 7, message: both }, 'explain says so without a pod');
        else await t.resolves(outline, 'which shows with a pod only');
      });
    }
  },
);

t.test('routes that differ in table or priority are two', { skip: noNamespaces }, async (t) => {
  const pod = podOf(t);
  const keys = {
    routes: [{ dst: '10.9.0.0/16', gw: A }],
    addroutes: [
      { dst: '10.9.0.0/16', gw: B, priority: 5 },
      { dst: '10.9.0.0/16', gw: B, table: 100 },
    ],
  };
  success(await pod.verb('ADD', keys));
  t.equal(pod.ipJson('route show proto 87 table all').length, 3);
  success(await pod.verb('CHECK', keys));
  success(await pod.verb('DEL', keys));
  t.equal(pod.routes(), pod.before);
});

t.test('without a map or addroutes, none of the listed routes is looked at', async (t) => {
  const unread = <T>(): T[] => new Proxy([], { get: (_, name) => t.fail(`reads ${String(name)}`) });
  t.strictSame(withoutListed([], unread()), []);
  t.strictSame(clashes({ routes: unread(), addroutes: [] }), []);
});
