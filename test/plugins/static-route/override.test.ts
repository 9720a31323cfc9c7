import { join } from 'node:path';
import t, { type Test } from 'tap';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';

// A route-override config with its type changed, without the faults of that plugin.

const ROUTES = [
  'default via 10.244.1.1',
  '10.1.0.0/16 via 10.244.1.1 metric 50',
  '10.2.0.0/16 via 10.244.1.2 mtu lock 1300',
  'default via fd00:244:1::1',
  '2001:db8:1::/48 via fd00:244:1::1',
  '10.3.0.0/16 dev peer',
];

type Pod = Scratch & {
  before: string;
  prevResult: object;
  verb(command: string, keys: object): ReturnType<typeof call>;
};

function podWithRoutes(t: Test): Pod {
  const pod = scratchPod(t);
  for (const route of ROUTES) pod.ip(`route add ${route}`);
  const prevResult = {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'eth0', sandbox: pod.path }],
    ips: [{ address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 0 }],
    // The previous plugin told of two of them only.
    routes: [
      { dst: '0.0.0.0/0', gw: '10.244.1.1' },
      { dst: '10.1.0.0/16', gw: '10.244.1.1' },
    ],
  };
  const config = {
    cniVersion: '1.0.0',
    name: 'net',
    type: 'static-route',
    dataDir: join(scratchFolder(t), 'data'),
    prevResult,
  };
  return {
    ...pod,
    before: pod.routes(),
    prevResult,
    verb: (command, keys) => call(staticRoute, variables(command, pod.path), { ...config, ...keys }),
  };
}

function destinations(pod: Scratch): unknown[] {
  return ['-4', '-6'].flatMap((family) => pod.ipJson(`${family} route show dev eth0`).map(({ dst }) => dst));
}

const CONNECTED = ['10.244.1.0/24', 'fd00:244:1::/64', 'fe80::/64'];

const cases: [title: string, keys: object, left: string[], result: string[]][] = [
  ['flushroutes takes all but connected and link-local routes', { flushroutes: true }, CONNECTED, []],
  [
    'flushgateway takes the defaults of both families',
    { flushgateway: true },
    ['10.1.0.0/16', '10.2.0.0/16', ...CONNECTED, '2001:db8:1::/48'],
    ['10.1.0.0/16'],
  ],
  [
    'delroutes takes routes that the previous result does not list',
    { delroutes: [{ dst: '10.2.0.0/16' }, { dst: '2001:db8:1::/48' }] },
    ['default', '10.1.0.0/16', ...CONNECTED, 'default'],
    ['0.0.0.0/0', '10.1.0.0/16'],
  ],
  [
    'delroutes with a gateway takes those through it only',
    {
      delroutes: [
        { dst: '10.1.0.0/16', gw: '10.244.1.9' },
        { dst: '10.2.0.0/16', gw: '10.244.1.2' },
      ],
    },
    ['default', '10.1.0.0/16', ...CONNECTED, '2001:db8:1::/48', 'default'],
    ['0.0.0.0/0', '10.1.0.0/16'],
  ],
  [
    'delroutes of what is not there is fine',
    { delroutes: [{ dst: '10.77.0.0/16' }] },
    ['default', '10.1.0.0/16', '10.2.0.0/16', ...CONNECTED, '2001:db8:1::/48', 'default'],
    ['0.0.0.0/0', '10.1.0.0/16'],
  ],
];

t.test('of the routes on the interface', { skip: noNamespaces }, async (t) => {
  for (const [title, keys, left, result] of cases) {
    t.test(title, async (t) => {
      const pod = podWithRoutes(t);
      const answer = success(await pod.verb('ADD', keys));
      t.strictSame(destinations(pod).sort(), [...left].sort());
      t.strictSame(
        answer.routes?.map(({ dst }) => dst),
        result,
        'the result has what is left of the previous one',
      );
      t.match(pod.ipJson('route show 10.3.0.0/16'), [{ dev: 'peer' }], 'other interfaces keep theirs');
      t.strictSame(success(await pod.verb('ADD', keys)), answer, 'ADD twice gives the same');
      success(await pod.verb('CHECK', keys));
      success(await pod.verb('DEL', keys));
      t.equal(pod.routes(), pod.before, 'DEL puts all of them back');
    });
  }
});

t.test('addroutes', { skip: noNamespaces }, async (t) => {
  t.test('come after the flush, in the place of what it took', async (t) => {
    const pod = podWithRoutes(t);
    const keys = {
      flushgateway: true,
      addroutes: [
        { dst: '0.0.0.0/0', gw: '10.244.1.7' },
        { dst: '2001:db8:9::/48', gw: 'fd00:244:1::7' },
      ],
    };
    const answer = success(await pod.verb('ADD', keys));
    t.match(pod.ipJson('route show default'), [{ gateway: '10.244.1.7' }]);
    t.strictSame(
      answer.routes?.map(({ dst, gw }) => [dst, gw]),
      [
        ['10.1.0.0/16', '10.244.1.1'],
        ['0.0.0.0/0', '10.244.1.7'],
        ['2001:db8:9::/48', 'fd00:244:1::7'],
      ],
    );
    t.strictSame(success(await pod.verb('ADD', keys)), answer);
    success(await pod.verb('CHECK', keys));
    success(await pod.verb('DEL', keys));
    t.equal(pod.routes(), pod.before);
  });

  t.test('that the kernel refuses fail ADD, and what was flushed comes back', async (t) => {
    const pod = podWithRoutes(t);
    const { document } = await pod.verb('ADD', {
      flushroutes: true,
      addroutes: [{ dst: '10.9.0.0/16', gw: '192.0.2.1' }],
    });
    t.match(document, { code: 104, msg: /^addroutes\[0\]: .*ENETUNREACH/ });
    t.equal(pod.routes(), pod.before);
  });

  t.test('work in args.cni, as an attachment’s own', async (t) => {
    const pod = podWithRoutes(t);
    const keys = { args: { cni: { flushroutes: true, addroutes: [{ dst: '10.9.0.0/16', gw: '10.244.1.3' }] } } };
    success(await pod.verb('ADD', keys));
    t.strictSame(destinations(pod).sort(), ['10.9.0.0/16', ...CONNECTED].sort());
    success(await pod.verb('DEL', keys));
    t.equal(pod.routes(), pod.before);
  });
});

t.test(
  'a route of ours in another table does not spare the one in the main table',
  { skip: noNamespaces },
  async (t) => {
    const pod = podWithRoutes(t);
    const keys = {
      delroutes: [{ dst: '10.2.0.0/16' }],
      addroutes: [{ dst: '10.2.0.0/16', gw: '10.244.1.1', table: 100 }],
    };
    pod.ip('route add 10.2.0.0/16 via 10.244.1.1 table 100');
    const before = pod.routes();
    success(await pod.verb('ADD', keys));
    t.strictSame(pod.ipJson('route show 10.2.0.0/16'), []);
    t.match(pod.ipJson('route show table 100'), [{ dst: '10.2.0.0/16', gateway: '10.244.1.1' }]);
    success(await pod.verb('DEL', keys));
    t.equal(pod.routes(), before);
  },
);

t.test('CHECK looks at our routes only', { skip: noNamespaces }, async (t) => {
  const pod = podWithRoutes(t);
  const keys = { flushroutes: true, addroutes: [{ dst: '10.9.0.0/16', gw: '10.244.1.3' }] };
  success(await pod.verb('ADD', keys));
  pod.ip('route add default via 10.244.1.8');
  success(await pod.verb('CHECK', keys));
  pod.ip('route del 10.9.0.0/16');
  t.match((await pod.verb('CHECK', keys)).document, { code: 106, msg: /addroutes\[0\]/ });
  success(await pod.verb('CHECK', { ...keys, skipcheck: true }));
});
