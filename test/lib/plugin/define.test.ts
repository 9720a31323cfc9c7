import { existsSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, run, type Scratch, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, type Env, success, variables } from '../../support/plugins/call.ts';

// What every plugin's verbs promise, shown with the one whose changes are the simplest.

const ROUTES = [
  { dst: '10.1.0.0/16', gw: '10.244.1.1' },
  { dst: '10.2.0.0/16', gw: '10.244.1.1', priority: 50, table: 100 },
  { dst: '2001:db8:3::/48', gw: 'fd00:244:1::1' },
];

type Pod = Scratch & {
  before: string;
  config: object;
  journal: string;
  verb(command: string, more?: More): ReturnType<typeof call>;
};
type More = { env?: Env; config?: object; args?: string[] };

function podWith(t: Test, keys: object = {}, obstacles: string[] = []): Pod {
  const pod = scratchPod(t);
  for (const obstacle of obstacles) pod.ip(`route add ${obstacle}`);
  const dataDir = join(scratchFolder(t), 'data');
  const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, routes: ROUTES, ...keys };
  return {
    ...pod,
    before: pod.routes(),
    config,
    journal: join(dataDir, 'static-route', 'container-1-eth0.json'),
    verb: (command, more = {}) =>
      call(staticRoute, variables(command, pod.path, more.env), { ...config, ...more.config }, more.args),
  };
}

t.test('ADD', { skip: noNamespaces }, async (t) => {
  t.test('twice gives the same table and the same result', async (t) => {
    const pod = podWith(t);
    const first = success(await pod.verb('ADD'));
    const table = pod.routes();
    t.not(table, pod.before);
    t.strictSame(success(await pod.verb('ADD')), first);
    t.equal(pod.routes(), table);
    success(await pod.verb('DEL'));
    t.equal(pod.routes(), pod.before, 'and DEL takes all of it away');
  });

  t.test('writes its journal for the owner only', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    t.equal(statSync(pod.journal).mode & 0o777, 0o600);
    t.equal(statSync(join(pod.journal, '..')).mode & 0o777, 0o700);
  });

  t.test('with --noop prints the plan, and changes nothing', async (t) => {
    const pod = podWith(t);
    const { changes } = success(await pod.verb('ADD', { args: ['--noop'] }));
    t.strictSame(changes, [
      'add route 10.1.0.0/16 via 10.244.1.1 dev eth0',
      'add route 10.2.0.0/16 via 10.244.1.1 dev eth0 table 100 metric 50',
      'add route 2001:db8:3::/48 via fd00:244:1::1 dev eth0',
    ]);
    t.equal(pod.routes(), pod.before);
    t.notOk(existsSync(pod.journal));
  });

  t.test('does not count a journal of an earlier namespace at the same path as its own', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    const other = podWith(t);
    const config = { dataDir: join(pod.journal, '../..') };
    success(await other.verb('ADD', { config }));
    success(await other.verb('DEL', { config }));
    t.equal(other.routes(), other.before);
  });

  t.test('is refused with 5 where the journal cannot be written, and changes nothing', async (t) => {
    const pod = podWith(t);
    writeFileSync(join(pod.journal, '../..'), 'a file in the place of the data folder');
    t.match((await pod.verb('ADD')).document, { code: 5 });
    t.equal(pod.routes(), pod.before);
  });

  t.test('is refused with 5 where the data folder is a symbolic link, and writes nothing through it', async (t) => {
    const pod = podWith(t);
    const target = scratchFolder(t);
    mkdirSync(join(pod.journal, '../..'), { mode: 0o700 });
    run('ln', ['-s', target, join(pod.journal, '..')]);
    t.match((await pod.verb('ADD')).document, { code: 5, msg: /symbolic links are refused/ });
    t.equal(pod.routes(), pod.before);
    t.strictSame(run('ls', ['-A', target]), '');
  });
});

t.test('DEL', { skip: noNamespaces }, async (t) => {
  t.test('twice succeeds', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    success(await pod.verb('DEL'));
    success(await pod.verb('DEL'));
    t.equal(pod.routes(), pod.before);
  });

  t.test('without an ADD succeeds, and does not touch a route of somebody else that the config has too', async (t) => {
    const pod = podWith(t, {}, ['10.1.0.0/16 via 10.244.1.1']);
    success(await pod.verb('DEL'));
    t.equal(pod.routes(), pod.before);
  });

  t.test('without a namespace succeeds, and forgets the journal', async (t) => {
    for (const netns of ['', '/run/netns/wm-gone', '/dev/null']) {
      const pod = podWith(t);
      success(await pod.verb('ADD'));
      success(await pod.verb('DEL', { env: { CNI_NETNS: netns } }));
      t.notOk(existsSync(pod.journal), `CNI_NETNS="${netns}"`);
    }
  });

  t.test('without a previous result undoes all', async (t) => {
    const pod = podWith(t);
    const prevResult = { cniVersion: '1.1.0', interfaces: [{ name: 'eth0', sandbox: pod.path }], ips: [] };
    success(await pod.verb('ADD', { config: { prevResult } }));
    success(await pod.verb('DEL'));
    t.equal(pod.routes(), pod.before);
  });

  t.test('without a journal removes what the config would have added', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    rmSync(pod.journal);
    success(await pod.verb('DEL'));
    t.equal(pod.routes(), pod.before);
  });

  t.test('with a journal that was cut short, at any point, removes everything that was added', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    const { size } = statSync(pod.journal);
    for (let length = 0; length < size; length += 37) {
      success(await pod.verb('ADD'));
      truncateSync(pod.journal, length);
      success(await pod.verb('DEL'));
      if (pod.routes() !== pod.before) t.fail(`not as before with a journal of ${length} bytes`);
    }
    t.equal(pod.routes(), pod.before);
    t.notOk(existsSync(pod.journal));
  });

  t.test('with a config that ADD refuses succeeds, and undoes what an ADD before had made', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    success(await pod.verb('DEL', { config: { routes: 'nonsense', rutes: 1 } }));
    t.equal(pod.routes(), pod.before);
  });

  t.test('leaves routes of others to the same destination, in other tables and with other metrics', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    pod.ip('route add 10.1.0.0/16 via 10.244.1.1 dev eth0 metric 9 proto 87');
    pod.ip('route add 10.2.0.0/16 via 10.244.1.1 dev eth0 metric 51 table 100 proto 87');
    pod.ip('route add 10.2.0.0/16 via 10.244.1.1 dev eth0 metric 50 table 101 proto 87');
    pod.ip('route add 2001:db8:3::/48 via fd00:244:1::1 dev eth0 metric 2000 proto 87');
    success(await pod.verb('DEL'));
    t.strictSame(
      [...pod.ipJson('-4 route show table all proto 87'), ...pod.ipJson('-6 route show table all proto 87')].map(
        ({ dst, metric, table }) => [dst, metric, table],
      ),
      [
        ['10.2.0.0/16', 51, '100'],
        ['10.2.0.0/16', 50, '101'],
        ['10.1.0.0/16', 9, undefined],
        ['2001:db8:3::/48', 2000, undefined],
      ],
    );
  });

  t.test('leaves a route that somebody put in the place of ours', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    pod.ip('route replace 10.1.0.0/16 via 10.244.1.7 dev eth0 proto 87');
    success(await pod.verb('DEL'));
    t.match(pod.ipJson('route show 10.1.0.0/16'), [{ gateway: '10.244.1.7' }]);
  });

  t.test('removes our next hop only from an IPv6 route to which somebody appended another', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    pod.ip('-6 route append 2001:db8:3::/48 via fd00:244:1::7 dev eth0');
    success(await pod.verb('CHECK'));
    success(await pod.verb('DEL'));
    t.match(pod.ipJson('-6 route show 2001:db8:3::/48'), [{ gateway: 'fd00:244:1::7' }]);
  });

  t.test('does not touch an identical route that was there before ADD', async (t) => {
    const pod = podWith(t, {}, ['10.1.0.0/16 via 10.244.1.1']);
    success(await pod.verb('ADD'));
    success(await pod.verb('DEL'));
    t.equal(pod.routes(), pod.before);
  });

  t.test('removes one of two networks of the same container and interface, not the other', async (t) => {
    const pod = podWith(t);
    const other = { name: 'other', routes: [{ dst: '10.99.0.0/16', gw: '10.244.1.1' }] };
    success(await pod.verb('ADD'));
    success(await pod.verb('ADD', { config: other }));
    success(await pod.verb('DEL'));
    t.strictSame(
      pod.ipJson('route show table all proto 87').map(({ dst }) => dst),
      ['10.99.0.0/16'],
    );
    success(await pod.verb('DEL', { config: other }));
    t.equal(pod.routes(), pod.before);
    t.notOk(existsSync(pod.journal));
  });

  t.test('without a journal leaves what another attachment of the pod has recorded', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    success(await pod.verb('DEL', { env: { CNI_IFNAME: 'net1' }, config: { interface: 'eth0' } }));
    success(await pod.verb('CHECK'));
  });

  t.test('with --noop prints what it would undo, and undoes nothing', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    const table = pod.routes();
    t.match(success(await pod.verb('DEL', { args: ['--noop'] })).changes, [
      /^undo: add route 2001:db8:3::\/48/,
      /./,
      /10\.1\.0\.0/,
    ]);
    t.equal(pod.routes(), table);
  });

  t.test('succeeds where the interface is gone, and its routes with it', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    pod.ip('link del eth0');
    success(await pod.verb('DEL'));
    t.notOk(existsSync(pod.journal));
  });
});

t.test('a replaced route', { skip: noNamespaces }, async (t) => {
  const obstacle = '10.1.0.0/16 via 10.244.1.9 mtu lock 1300 advmss 1200 proto static';
  const replacing = (t: Test) => podWith(t, { onConflict: 'replace' }, [obstacle, '2001:db8:3::/48 via fd00:244:1::9']);

  t.test('is given back by DEL, with all its attributes', async (t) => {
    const pod = replacing(t);
    success(await pod.verb('ADD'));
    t.match(pod.ipJson('route show 10.1.0.0/16'), [{ gateway: '10.244.1.1' }]);
    success(await pod.verb('CHECK'));
    success(await pod.verb('DEL'));
    t.equal(pod.routes(), pod.before);
  });

  t.test('is given back by DEL after two ADDs', async (t) => {
    const pod = replacing(t);
    success(await pod.verb('ADD'));
    success(await pod.verb('ADD'));
    success(await pod.verb('DEL'));
    t.equal(pod.routes(), pod.before);
  });

  t.test('is not given back where somebody has put another in its place', async (t) => {
    const pod = replacing(t);
    success(await pod.verb('ADD'));
    pod.ip('route replace 10.1.0.0/16 via 10.244.1.8 dev eth0');
    success(await pod.verb('DEL'));
    t.match(pod.ipJson('route show 10.1.0.0/16'), [{ gateway: '10.244.1.8' }]);
  });

  t.test('does not keep DEL from succeeding when it can no longer be reached', async (t) => {
    const pod = replacing(t);
    success(await pod.verb('ADD'));
    pod.ip('address del 10.244.1.5/24 dev eth0');
    success(await pod.verb('DEL'));
    t.strictSame(pod.ipJson('route show'), []);
  });
});

t.test('CHECK', { skip: noNamespaces }, async (t) => {
  t.test('succeeds after ADD, and is not disturbed by routes of others', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    pod.ip('route add 10.1.0.0/16 via 10.244.1.3 metric 5');
    pod.ip('route add default via 10.244.1.1');
    success(await pod.verb('CHECK'));
  });

  t.test('names every missing and every different route at once', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    pod.ip('route del 10.1.0.0/16');
    pod.ip('route change 10.2.0.0/16 via 10.244.1.4 metric 50 table 100');
    pod.ip('-6 route del 2001:db8:3::/48');
    const { code, document } = await pod.verb('CHECK');
    t.equal(code, 1);
    t.equal(document?.code, 106);
    t.strictSame(document?.details?.split('\n'), [
      'routes[0]: route 10.1.0.0/16 via 10.244.1.1 dev eth0 is missing',
      'routes[2]: route 2001:db8:3::/48 via fd00:244:1::1 dev eth0 is missing',
      'routes[1]: expected 10.2.0.0/16 via 10.244.1.1 dev eth0 table 100 metric 50, found 10.2.0.0/16 via 10.244.1.4 dev eth0 table 100 metric 50',
    ]);
  });

  t.test('with skipcheck does not look', async (t) => {
    const pod = podWith(t, { skipcheck: true });
    success(await pod.verb('CHECK'));
  });

  t.test('changes nothing', async (t) => {
    const pod = podWith(t);
    t.equal((await pod.verb('CHECK')).code, 1);
    t.equal(pod.routes(), pod.before);
    t.notOk(existsSync(pod.journal));
  });
});

t.test('GC', { skip: noNamespaces }, async (t) => {
  const valid = (...ids: string[]) => ({
    'cni.dev/valid-attachments': ids.map((containerID) => ({ containerID, ifname: 'eth0' })),
  });

  t.test('keeps the journals of valid attachments, and forgets the others', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    success(await pod.verb('GC', { config: valid('container-1') }));
    t.ok(existsSync(pod.journal));
    success(await pod.verb('GC', { config: valid('container-2') }));
    t.notOk(existsSync(pod.journal));
  });

  t.test('does not forget attachments to other networks', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    success(await pod.verb('GC', { config: { name: 'other', ...valid() } }));
    t.ok(existsSync(pod.journal));
  });

  t.test('is refused with 7 for an invalid list', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('ADD'));
    t.match((await pod.verb('GC', { config: { 'cni.dev/valid-attachments': [{ containerID: 1 }] } })).document, {
      code: 7,
    });
    t.ok(existsSync(pod.journal));
  });
});

t.test('STATUS', { skip: noNamespaces }, async (t) => {
  t.test('succeeds where an ADD can be served, and leaves no file', async (t) => {
    const pod = podWith(t);
    success(await pod.verb('STATUS'));
    t.equal(run('ls', ['-A', join(pod.journal, '..')]), '');
  });

  t.test('is refused with 50 where the data folder cannot be written', async (t) => {
    const pod = podWith(t, { dataDir: '/proc/waymark' });
    t.match((await pod.verb('STATUS')).document, { code: 50, msg: /\/proc\/waymark/ });
  });

  t.test('is refused with 7 for a config that ADD refuses', async (t) => {
    const pod = podWith(t, { routes: 5 });
    t.match((await pod.verb('STATUS')).document, { code: 7 });
  });
});

t.test('the log', { skip: noNamespaces }, async (t) => {
  t.test('is one line for a call that changed something, into the file that the config names', async (t) => {
    const pod = podWith(t);
    const logFile = join(scratchFolder(t), 'log');
    const { stderr } = await pod.verb('ADD', { config: { logFile } });
    t.equal(stderr, '');
    const lines = readFileSync(logFile, 'utf8').trim().split('\n');
    t.equal(lines.length, 1);
    t.match(JSON.parse(lines[0] ?? ''), {
      level: 'info',
      plugin: 'static-route',
      containerID: 'container-1',
      msg: 'made changes',
      changes: 3,
    });
  });
});
