import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { CniError } from '../../../lib/cni/errors.ts';
import { parseStaticRouteConfig } from '../../../plugins/static-route/config.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';
import { planRequest } from '../../support/plugins/plan-request.ts';

/** The rules of both families, as `ip -j -d rule` prints them. */
function rulesOf(pod: Scratch): string {
  return JSON.stringify([pod.ipJson('-d -4 rule show'), pod.ipJson('-d -6 rule show')], null, 1);
}

function ours(pod: Scratch, family: 4 | 6) {
  return pod.ipJson(`-d -${family} rule show`).filter(({ protocol }) => protocol === '87');
}

function setUp(t: Test, rules: object[], more: object = {}) {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, rules, ...more };
  const run = (verb: string, own: object = config, args: string[] = []) =>
    call(staticRoute, variables(verb, pod.path), own, args);
  return { pod, dataDir, config, run };
}

/** Configs, and what `ip -j -d rule` must print of each, beside its priority and protocol 87. */
const FORMS: [rule: object, ipv4: object | undefined, ipv6: object | undefined][] = [
  [{ from: '10.0.0.5', table: 100 }, { src: '10.0.0.5', table: '100' }, undefined],
  [{ from: '10.0.0.0/8', table: 100 }, { src: '10.0.0.0', srclen: 8, table: '100' }, undefined],
  [{ from: 'FD00:0::5', table: 254 }, undefined, { src: 'fd00::5', table: 'main' }],
  [{ to: 'fd00::/16', table: 5000 }, undefined, { src: 'all', dst: 'fd00::', dstlen: 16, table: '5000' }],
  [
    { from: '10.0.0.0/8', to: '10.1.0.0/16', action: 'prohibit' },
    { src: '10.0.0.0', srclen: 8, dst: '10.1.0.0', dstlen: 16, action: 'prohibit' },
    undefined,
  ],
  [{ to: '0.0.0.0/0', table: 7 }, { src: 'all', table: '7' }, undefined],
  [
    { iif: 'eth0', table: 7 },
    { src: 'all', iif: 'eth0', table: '7' },
    { src: 'all', iif: 'eth0', table: '7' },
  ],
  [
    { oif: 'net1', table: 7 },
    { src: 'all', oif: 'eth0', table: '7' },
    { src: 'all', oif: 'eth0', table: '7' },
  ],
  [
    { fwmark: 256, table: 7 },
    { src: 'all', fwmark: '0x100', table: '7' },
    { src: 'all', fwmark: '0x100', table: '7' },
  ],
  [
    { fwmark: '0x5/0xff', from: 'fd00::/8', table: 7 },
    undefined,
    { src: 'fd00::', srclen: 8, fwmark: '0x5', fwmask: '0xff', table: '7' },
  ],
  [
    { fwmark: '0/15', from: '10.0.0.0/8', table: 7 },
    { src: '10.0.0.0', srclen: 8, fwmark: '0', fwmask: '0xf', table: '7' },
    undefined,
  ],
  [
    { ipproto: 'tcp', dport: '5000-5999', sport: 80, to: '10.0.0.0/8', action: 'blackhole' },
    {
      src: 'all',
      dst: '10.0.0.0',
      dstlen: 8,
      ipproto: 'tcp',
      sport: 80,
      dport_start: 5000,
      dport_end: 5999,
      action: 'blackhole',
    },
    undefined,
  ],
  [
    { ipproto: 58, from: 'fd00::/8', action: 'unreachable' },
    undefined,
    { src: 'fd00::', srclen: 8, ipproto: 'ipv6-icmp', action: 'unreachable' },
  ],
  ...['icmp', 'igmp', 'tcp', 'udp', 'gre', 'esp', 'ah', 'ipv6-icmp', 'sctp', 'udplite'].map(
    (ipproto): (typeof FORMS)[number] => [
      { ipproto, to: '10.0.0.0/8', table: 7 },
      { src: 'all', dst: '10.0.0.0', dstlen: 8, ipproto, table: '7' },
      undefined,
    ],
  ),
];

t.test('every form of a rule', { skip: noNamespaces }, async (t) => {
  for (const [rule, ipv4, ipv6] of FORMS) {
    t.test(JSON.stringify(rule), async (t) => {
      const { pod, run, config } = setUp(t, [rule]);
      pod.ip('link property add dev eth0 altname net1');
      const before = rulesOf(pod);
      success(await run('ADD'));
      for (const [family, printed] of [
        [4, ipv4],
        [6, ipv6],
      ] as const) {
        const wanted = printed === undefined ? [] : [{ priority: 20000, ...printed, protocol: '87' }];
        t.strictSame(ours(pod, family), wanted);
      }
      success(await run('CHECK'));
      const once = rulesOf(pod);
      success(await run('ADD'));
      t.equal(rulesOf(pod), once, 'a second ADD adds nothing');
      success(await run('DEL'));
      t.equal(rulesOf(pod), before, 'DEL leaves the rules as before');

      success(await run('ADD', { ...config, rules: [{ ...rule, priority: 77 }], protocol: 99 }));
      t.match(pod.ip('rule show') + pod.ip('-6 rule show'), /^77:/m, 'a priority');
      success(await run('DEL'));
      t.equal(rulesOf(pod), before);
    });
  }
});

t.test('rules of a repeated priority stand in the order of the list', { skip: noNamespaces }, async (t) => {
  const rules = ['10.3.0.0/16', '10.1.0.0/16', '10.2.0.0/16'].map((from, i) => ({
    from,
    table: 100 + i,
    priority: 50,
  }));
  const { pod, run } = setUp(t, rules);
  success(await run('ADD'));
  t.strictSame(
    ours(pod, 4).map(({ table }) => table),
    ['100', '101', '102'],
  );
});

t.test('a rule of somebody else', { skip: noNamespaces }, async (t) => {
  const rule = { from: '10.0.0.5', table: 100, priority: 50 };
  const others = 'rule add from 10.0.0.5 table 100 pref 50 proto static';

  t.test('that is the same counts as there, and is not ours to delete', async (t) => {
    const { pod, run } = setUp(t, [rule]);
    pod.ip(others);
    const before = rulesOf(pod);
    success(await run('ADD'));
    t.equal(rulesOf(pod), before);
    success(await run('CHECK'));
    success(await run('DEL'));
    t.equal(rulesOf(pod), before);
  });

  t.test('that is the same but for its owner stays when ours goes', async (t) => {
    const { pod, run } = setUp(t, [rule]);
    success(await run('ADD'));
    pod.ip(others);
    success(await run('DEL'));
    t.match(pod.ipJson('-d rule show pref 50'), [{ protocol: 'static' }]);
  });

  t.test('stays when DEL has no journal', async (t) => {
    const { pod, run } = setUp(t, [rule]);
    pod.ip(others);
    const before = rulesOf(pod);
    success(await run('DEL'));
    t.equal(rulesOf(pod), before);
  });

  t.test('for the same packets with another table is in the way', async (t) => {
    for (const [onConflict, after] of [
      ['fail', ['200']],
      ['keep', ['200']],
      ['replace', ['100']],
    ] as const) {
      const { pod, run, dataDir } = setUp(t, [rule], { onConflict });
      pod.ip('rule add from 10.0.0.5 table 200 pref 50 proto static');
      const before = rulesOf(pod);
      const { code, document } = await run('ADD');
      if (onConflict === 'fail') {
        const msg =
          'rules[0]: rule priority 50 from 10.0.0.5/32 lookup 100 is wanted, but rule priority 50 from 10.0.0.5/32 lookup 200 is there; see "onConflict"';
        t.match(document, { code: 103, msg });
        t.strictSame(readdirSync(join(dataDir, 'static-route')), [], 'no journal is left');
      } else t.equal(code, 0);
      t.strictSame(
        pod.ipJson('rule show pref 50').map(({ table }) => table),
        after,
        onConflict,
      );
      if (onConflict !== 'fail') success(await run('CHECK'));
      success(await run('DEL'));
      t.equal(rulesOf(pod), before, `${onConflict}: as before`);
    }
  });

  t.test('that the kernel would delete in place of ours is in the way, whatever onConflict says', async (t) => {
    for (const onConflict of ['fail', 'keep', 'replace']) {
      const { pod, run } = setUp(t, [rule], { onConflict });
      pod.ip('rule add from 10.0.0.5 iif eth0 table 100 pref 50 proto 87');
      const before = rulesOf(pod);
      t.match((await run('ADD')).document, { code: 103, msg: /which the kernel could not tell from it/ });
      t.equal(rulesOf(pod), before);
    }
  });
});

t.test('CHECK', { skip: noNamespaces }, async (t) => {
  t.test('reports every rule that is missing, and no others', async (t) => {
    const { pod, run } = setUp(t, [
      { from: '10.0.0.5', table: 100 },
      { to: 'fd00::/16', table: 100 },
      { from: '10.0.0.6', table: 100 },
    ]);
    success(await run('ADD'));
    pod.ip('rule del from 10.0.0.5');
    pod.ip('-6 rule del to fd00::/16');
    pod.ip('rule add from 10.9.9.9 table 9');
    const { document } = await run('CHECK');
    t.equal(document?.code, 106);
    t.strictSame(document?.details?.split('\n'), [
      'rules[0]: rule priority 20000 from 10.0.0.5/32 lookup 100 is missing',
      'rules[1]: rule priority 20000 from all to fd00::/16 lookup 100 is missing',
    ]);
  });

  t.test('reports a rule whose interface has another name by now, which selects nothing', async (t) => {
    const { pod, run } = setUp(t, [{ iif: 'eth0', table: 100 }]);
    success(await run('ADD'));
    pod.ip('link set eth0 down');
    pod.ip('link set eth0 name net1');
    pod.ip('link set net1 name eth0');
    success(await run('CHECK'));
    pod.ip('link set eth0 name net1');
    pod.ip('link property add dev net1 altname eth0');
    t.match((await run('CHECK')).document, { code: 106, msg: /iif net1 lookup 100 for IPv4 is missing/ });
    success(await run('DEL'));
    t.strictSame(ours(pod, 4), [], 'DEL takes it away all the same');
  });
});

t.test('DEL without a journal takes away what the config would have added', { skip: noNamespaces }, async (t) => {
  const { pod, run, dataDir } = setUp(t, [{ fwmark: 1, table: 100 }]);
  const before = rulesOf(pod);
  success(await run('ADD'));
  const { rmSync } = await import('node:fs');
  rmSync(dataDir, { recursive: true });
  success(await run('DEL'));
  t.equal(rulesOf(pod), before);
});

t.test('a list of which one change is refused leaves all as it was', { skip: noNamespaces }, async (t) => {
  const { pod, run, dataDir } = setUp(t, [{ from: '10.0.0.5', table: 100 }], {
    routes: [{ dst: '10.1.0.0/16', gw: '203.0.113.1' }],
  });
  const before = rulesOf(pod);
  t.match((await run('ADD')).document, { code: 104, msg: /^routes\[0\]/ });
  t.equal(rulesOf(pod), before);
  t.strictSame(readdirSync(join(dataDir, 'static-route')), []);
});

t.test('--noop says what ADD and DEL would do, and does nothing', { skip: noNamespaces }, async (t) => {
  const { pod, run } = setUp(t, [{ fwmark: 1, table: 100, priority: 5 }]);
  const before = rulesOf(pod);
  const lines = [4, 6].map((family) => `rule priority 5 from all fwmark 0x1 lookup 100 for IPv${family}`);
  t.strictSame(
    (await run('ADD', undefined, ['--noop'])).document?.changes,
    lines.map((line) => `add ${line}`),
  );
  t.equal(rulesOf(pod), before);
  success(await run('ADD'));
  const undo = lines.map((line) => `undo: add ${line}`).reverse();
  t.strictSame((await run('DEL', undefined, ['--noop'])).document?.changes, undo);
  t.not(rulesOf(pod), before);
});

t.test('explain says without a pod which rules a config adds', async (t) => {
  const { definition } = staticRoute;
  const document = {
    ...{ cniVersion: '1.1.0', name: 'net', type: 'static-route' },
    rules: [
      { from: '10.0.0.5', table: 7 },
      { fwmark: 1, action: 'blackhole', priority: 9 },
    ],
    sourceRouting: { table: 100 },
  };
  const { config } = parseStaticRouteConfig(document);
  t.strictSame(definition.outline(config, planRequest(document, '/run/netns/x', 'eth0')), [
    'add rule priority 20000 from 10.0.0.5/32 lookup 7',
    'add rule priority 9 from all fwmark 0x1 blackhole for IPv4',
    'add rule priority 9 from all fwmark 0x1 blackhole for IPv6',
    'add to table 100 what leads out of the interface, and its gateway',
    'add for each of its addresses a rule priority 30000 that looks up table 100',
  ]);
});

/** Rules that are wrong, and what is said of them. */
const WRONG: [rules: object[], ...messages: string[]][] = [
  [[{}], 'rules[0].table: is missing: a rule looks a route up in a table'],
  [[{ table: 0 }], 'rules[0].table: a whole number from 1 to 4294967295 is needed'],
  [[{ table: 5, action: 'blackhole' }], 'rules[0].table: goes with "lookup", not with "blackhole"'],
  [[{ table: 5, priority: 0 }], 'rules[0].priority: a whole number from 1 to 4294967295 is needed'],
  [[{ table: 5, action: 'goto' }], 'rules[0].action: must be "lookup" or "blackhole" or "unreachable" or "prohibit"'],
  [
    [{ table: 5, from: '10.0.0.1/8' }],
    'rules[0].from: 10.0.0.1/8 has bits set beyond its prefix length; the network is 10.0.0.0/8',
  ],
  [[{ table: 5, from: 'eth0' }], 'rules[0].from: "eth0" is not an IPv4 or IPv6 address'],
  [[{ table: 5, from: 'fd00::/8', to: '10.0.0.0/8' }], 'rules[0].to: 10.0.0.0/8 is of IPv4, but "from" is of IPv6'],
  [[{ table: 5, fwmark: 0 }], 'rules[0].fwmark: "0" needs a mask, as in 0/0xff'],
  [[{ table: 5, fwmark: '5/0' }], 'rules[0].fwmark: "5/0" has a mask without bits, which compares nothing'],
  [[{ table: 5, fwmark: '0x100/0xff' }], 'rules[0].fwmark: "0x100/0xff" has bits beyond its mask, which never match'],
  [
    [{ table: 5, fwmark: -1 }],
    'rules[0].fwmark: a mark is needed, such as 0x100, or a mark and a mask, such as 0x100/0xff00',
  ],
  [
    [{ table: 5, fwmark: '0x100000000' }],
    'rules[0].fwmark: a mark is needed, such as 0x100, or a mark and a mask, such as 0x100/0xff00',
  ],
  [
    [{ table: 5, ipproto: 'htcp' }],
    'rules[0].ipproto: a number from 1 to 255 is needed, or icmp, igmp, tcp, udp, gre, esp, ah, ipv6-icmp, sctp, udplite',
  ],
  [
    [{ table: 5, ipproto: 0 }],
    'rules[0].ipproto: a number from 1 to 255 is needed, or icmp, igmp, tcp, udp, gre, esp, ah, ipv6-icmp, sctp, udplite',
  ],
  [[{ table: 5, dport: 65535 }], 'rules[0].dport: a port from 1 to 65534 is needed, or a range such as 5000-5999'],
  [[{ table: 5, sport: '9-5' }], 'rules[0].sport: a port from 1 to 65534 is needed, or a range such as 5000-5999'],
  [[{ table: 5, iif: 'a/b' }], 'rules[0].iif: contains "/", ":", white space or NUL'],
  [[{ table: 5, source: '10.0.0.0/8' }], 'rules[0].source: is not a known key'],
  [[{ table: 5 }, { table: 5, priority: 20000 }], 'rules[1]: is rules[0] again'],
  [[{ table: 5 }, { table: 6 }], 'rules[1]: selects what rules[0] does at the same priority, and would never count'],
  [
    [{ iif: 'eth0', table: 5 }, { table: 5 }],
    'rules[1]: covers rules[0] (priority 20000 from all iif eth0 lookup 5 for IPv4) at the same priority, and the kernel could not delete it alone; put it first, or give it another priority',
  ],
];

for (const [rules, ...messages] of WRONG) {
  t.test(`${JSON.stringify(rules)} is error 7`, async (t) => {
    try {
      parseStaticRouteConfig({ cniVersion: '1.1.0', name: 'net', type: 'static-route', rules });
      t.fail('it is taken');
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      t.equal(error.code, 7);
      const text = `${error.message}\n${error.details ?? ''}`;
      for (const message of messages) t.ok(text.includes(message), text);
    }
  });
}

t.test('an interface that the pod does not have is error 100 with its place', { skip: noNamespaces }, async (t) => {
  const { run } = setUp(t, [
    { from: '10.0.0.5', table: 100 },
    { iif: 'net7', table: 7 },
  ]);
  t.match((await run('ADD')).document, { code: 100, msg: 'rules[1].iif: the pod has no interface "net7"' });
});
