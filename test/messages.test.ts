import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { consistentIfname } from '../plugins/consistent-ifname/main.ts';
import { seamlessGateway } from '../plugins/seamless-gateway/main.ts';
import { staticRoute } from '../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from './support/namespaces/namespace.ts';
import { call, type Document, variables } from './support/plugins/call.ts';

// What people read when something is wrong: each message names the key, the path or the reason that leads on.

const GATEWAY = '10.244.1.1';

t.test('error messages', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const folder = scratchFolder(t);
  const config = (keys: object) => ({ cniVersion: '1.1.0', name: 'net', dataDir: join(folder, 'data'), ...keys });
  const refused = async (plugin: Parameters<typeof call>[0], stdin: unknown, verb = 'ADD'): Promise<Document> => {
    const { code, document, stdout } = await call(plugin, variables(verb, pod.path), stdin);
    t.equal(code, 1, `refused ${stdout}`);
    return document as Document;
  };

  t.test('100 names the key of the interface that is missing', async (t) => {
    const details = /^the pod has lo, .*eth0/;
    for (const plugin of [staticRoute, consistentIfname, seamlessGateway]) {
      const keys = { interface: 'net7', ...(plugin === seamlessGateway && { hostAddresses: ['10.0.32.2'] }) };
      const msg = 'interface: the pod has no interface "net7"';
      t.match(await refused(plugin, config(keys)), { code: 100, msg, details });
    }
    const route = { dst: '10.9.0.0/16', gw: GATEWAY };
    t.match(await refused(staticRoute, config({ routes: [route, { dst: '10.8.0.0/16', dev: 'net7' }] })), {
      code: 100,
      msg: 'routes[1].dev: the pod has no interface "net7"',
    });
    const nexthops = [{ gw: GATEWAY }, { dev: 'net7' }];
    t.match(await refused(staticRoute, config({ addroutes: [{ dst: '10.8.0.0/16', nexthops }] })), {
      code: 100,
      msg: 'addroutes[0].nexthops[1].dev: the pod has no interface "net7"',
    });
  });

  t.test('5 names dataDir where it cannot be made or used', async (t) => {
    const routes = [{ dst: '10.9.0.0/16', gw: GATEWAY }];
    t.match(await refused(staticRoute, config({ dataDir: '/proc/waymark', routes })), {
      code: 5,
      msg: /^dataDir: \/proc\/waymark.*cannot be made \(ENOENT\)$/,
    });
    const file = join(folder, 'file');
    writeFileSync(file, '');
    t.match(await refused(staticRoute, config({ dataDir: file, routes })), { code: 5, msg: /^dataDir: .*ENOTDIR/ });
    t.match(await refused(staticRoute, config({ dataDir: '/proc/waymark' }), 'STATUS'), {
      code: 50,
      msg: /^this node cannot serve an ADD: dataDir: \/proc\/waymark/,
    });
  });

  t.test('6 has the reason of the parser, and nothing of the config', async (t) => {
    const cases: [stdin: string, reason: string][] = [
      ['{"name":"net","password": hunter2}', "Unexpected token 'h'"],
      ['hunter2', "Unexpected token 'h'"],
      [
        `{"password": "${'hunter2'.repeat(20)}" hunter2}`,
        "Expected ',' or '}' after property value in JSON at position",
      ],
      ['{"password":"hunter2', 'Unterminated string in JSON at position 20 (line 1 column 21)'],
      ['{"password":"hunter2"', "Expected ',' or '}' after property value in JSON at position 21 (line 1 column 22)"],
      ['{"password":"hunter2",}', 'Expected double-quoted property name in JSON at position 22 (line 1 column 23)'],
      ['{', "Expected property name or '}' in JSON at position 1 (line 1 column 2)"],
      ['[1', "Expected ',' or ']' after array element in JSON at position 2 (line 1 column 3)"],
      ['tru', 'Unexpected end of JSON input'],
      ['{"a":"\n"}', 'Bad control character in string literal in JSON at position 6 (line 1 column 7)'],
    ];
    for (const [stdin, reason] of cases) {
      const { code, msg = '' } = await refused(staticRoute, stdin);
      t.equal(code, 6);
      t.ok(msg.startsWith(`the network config is not valid JSON: ${reason}`), msg);
      t.notMatch(msg, /hunter|assword/, stdin);
    }
  });

  t.test('a missing file of a map is named once', async (t) => {
    const file = join(folder, 'nowhere/map.yaml');
    const { msg = '', details } = await refused(staticRoute, config({ topologyFile: file }));
    t.equal(msg, `the topology cannot be read: ${file}: ENOENT: no such file or directory`);
    t.equal(details, undefined);
  });

  t.test('what is wrong with a single thing stands in the message alone', async (t) => {
    const route = { dst: '10.9.0.0/16', gw: GATEWAY };
    pod.ip(`route add 10.9.0.0/16 via 10.244.1.9`);
    t.strictSame(await refused(staticRoute, config({ routes: [route] })), {
      cniVersion: '1.1.0',
      code: 103,
      msg: `routes[0]: 10.9.0.0/16 via ${GATEWAY} dev eth0 is wanted, but 10.9.0.0/16 via 10.244.1.9 dev eth0 is there; see "onConflict"`,
    });
    pod.ip('route del 10.9.0.0/16');
    t.strictSame(await refused(staticRoute, config({ routes: [route] }), 'CHECK'), {
      cniVersion: '1.1.0',
      code: 106,
      msg: `the pod is not as it should be: routes[0]: route 10.9.0.0/16 via ${GATEWAY} dev eth0 is missing`,
    });
    t.strictSame(await refused(staticRoute, config({ routes: [{ dst: '10.9.0.0/16', gw: '192.0.2.1' }] })), {
      cniVersion: '1.1.0',
      code: 104,
      msg: 'routes[0]: the kernel refused to add route 10.9.0.0/16 via 192.0.2.1 dev eth0: ENETUNREACH: Nexthop has invalid gateway',
    });
    t.match(await refused(staticRoute, config({ onConflict: 'x' })), { code: 7, details: undefined });
    const routes = Array.from({ length: 40 }, () => ({ dst: 'x' }));
    const { msg = '', details = '' } = await refused(staticRoute, config({ routes }));
    t.match(msg, /^invalid network config: routes\[0\]\.dst: .*; and \d+ more, see the log$/);
    t.ok(msg.length <= 300 && !msg.includes('\n'), msg);
    t.equal(details.split('\n').length, 40);
  });
});
