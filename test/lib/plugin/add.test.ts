import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AttachmentJournal } from '../../../lib/change/attachment-journal.ts';
import type { Request } from '../../../lib/cni/request.ts';
import type { Pacing } from '../../../lib/cni/runner.ts';
import { run } from '../../../lib/cni/runner.ts';
import { RouteSocket } from '../../../lib/netlink/socket.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { definePlugin } from '../../../lib/plugin/define.ts';
import { NotYet } from '../../../lib/plugin/plan.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { variables } from '../../support/plugins/call.ts';

// The walk of an ADD, with the plugin whose changes are the simplest, and a plan that the test has a say in.

const { definition } = staticRoute;
type Own = Partial<typeof definition>;

function worldOf(t: Test) {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const routes = [{ dst: '10.1.0.0/16', gw: '10.244.1.1' }];
  const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, routes };
  const verb = async (command: string, own: Own, pacing: Pacing, { args = [], keys = {}, env = {} } = {} as More) => {
    let [stdout, stderr] = ['', ''];
    const code = await run(definePlugin({ ...definition, ...own }), {
      ...{ args, pacing, env: variables(command, pod.path, env) },
      readStdin: () => Buffer.from(JSON.stringify({ ...config, ...keys })),
      writeStdout: (text) => {
        stdout += text;
      },
      writeStderr: (text) => {
        stderr += text;
      },
    });
    const lines = stderr.split('\n').filter(Boolean);
    const log = lines.map((line) => JSON.parse(line));
    return { code, document: stdout === '' ? undefined : JSON.parse(stdout), log };
  };
  return { ...pod, dataDir, journal: join(dataDir, 'static-route', 'container-1-eth0.json'), verb };
}
type More = { args?: string[]; keys?: object; env?: { [name: string]: string } };

t.test('ADD', { skip: noNamespaces }, async (t) => {
  t.test('lets others run between its steps, and writes down what it will do before it does it', async (t) => {
    const { verb, journal, ipJson } = worldOf(t);
    const steps: string[] = [];
    const own: Own = {
      parseConfig: (...given) => {
        steps.push('parse');
        return definition.parseConfig(...given);
      },
      plan: (input) => {
        steps.push('plan');
        return definition.plan(input);
      },
      verify: async () => {
        steps.push('verify');
      },
    };
    const betweenSteps = async () => {
      const made = ipJson('route show 10.1.0.0/16').length;
      steps.push(`${existsSync(journal) ? 'recorded' : 'nothing'} ${made}`);
    };
    t.match(await verb('ADD', own, { betweenSteps }), { code: 0 });
    t.strictSame(steps, ['parse', 'nothing 0', 'plan', 'nothing 0', 'verify', 'recorded 0']);
    t.equal(ipJson('route show 10.1.0.0/16').length, 1);
  });

  t.test('verifies nothing where it only says what it would do', async (t) => {
    const { verb } = worldOf(t);
    const verify = async () => {
      t.fail();
    };
    t.match(await verb('ADD', { verify }, {}, { args: ['--noop'] }), {
      document: { command: 'ADD', plugin: 'static-route', changes: ['add route 10.1.0.0/16 via 10.244.1.1 dev eth0'] },
    });
  });

  t.test('logs how many changes it made, if any, and which ones if that is asked for', async (t) => {
    const { verb } = worldOf(t);
    const made = { level: 'info', msg: 'made changes', changes: 1 };
    const asked = (logLevel: string) => verb('ADD', {}, {}, { keys: { logLevel } });
    t.match((await asked('info')).log, [made]);
    t.strictSame((await asked('debug')).log, []);
    await verb('DEL', {}, {});
    const line = { level: 'debug', msg: 'add route 10.1.0.0/16 via 10.244.1.1 dev eth0', source: 'routes[0]' };
    const { log } = await asked('debug');
    t.match(log, [made, line]);
    t.equal(log.length, 2);
    const wanted = (there: boolean) => [{ level: 'trace', msg: `wanted: ${line.msg}`, source: 'routes[0]', there }];
    t.match((await asked('trace')).log, wanted(true));
    await verb('DEL', {}, {});
    t.match((await asked('trace')).log, wanted(false));
  });

  t.test('records for whom and when it was', async (t) => {
    const { verb, journal, path } = worldOf(t);
    const recorded = async (args: string) => {
      await verb('ADD', {}, {}, { env: { CNI_ARGS: args } });
      const text = readFileSync(journal, 'utf8');
      await verb('DEL', {}, {});
      return text;
    };
    const before = Date.now();
    const whole = await recorded('K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web');
    const [, time = ''] = /"time":"([^"]*)"/.exec(whole) ?? [];
    t.ok(before <= Date.parse(time) && Date.parse(time) <= Date.now(), time);
    t.match(whole, `"version":"${definition.version}"`);
    t.match(whole, `"netns":"${path}"`);
    t.match(whole, '"pod":"shop/web"');
    for (const half of ['K8S_POD_NAMESPACE=shop', 'K8S_POD_NAME=web']) t.notMatch(await recorded(half), '"pod"');
  });
});

t.test('ADD after another', { skip: noNamespaces }, async (t) => {
  t.test('finishes a rename that was left half done, unless it only says what it would do', async (t) => {
    const { verb, dataDir, path, ip, ipJson } = worldOf(t);
    const [eth0] = ipJson('link show eth0');
    const namespace = openNamespace(path);
    const socket = RouteSocket.open(namespace);
    const request = { containerID: 'container-1', ifname: 'eth0', network: 'net' } as Request;
    const lost = { addresses: [], routes: [], neighbours: [] };
    const change = { op: 'rename-link', link: Number(eth0?.ifindex), from: 'old0', to: 'eth0', lost } as const;
    AttachmentJournal.of('static-route', dataDir, request, namespace, socket).record([{ change, source: 'x' }]);
    socket.close();
    namespace.close();
    ip('link set eth0 down');
    ip('link set eth0 name old0');
    const names = () => ipJson('link show').map(({ ifname }) => ifname);
    await verb('ADD', {}, {}, { args: ['--noop'] });
    t.notOk(names().includes('eth0'));
    await verb('ADD', {}, {});
    t.ok(names().includes('eth0'));
  });

  t.test('whose journal is damaged records what it deletes, and what is there by the config', async (t) => {
    const { verb, ip, routes, journal } = worldOf(t);
    ip('route add 10.2.0.0/16 via 10.244.1.9');
    const before = routes();
    t.match(await verb('ADD', {}, {}), { code: 0 });
    appendFileSync(journal, 'nonsense');
    const keys = {
      routes: [
        { dst: '10.1.0.0/16', gw: '10.244.1.1' },
        { dst: '10.2.0.0/16', gw: '10.244.1.1' },
      ],
      onConflict: 'replace',
    };
    t.match(await verb('ADD', {}, {}, { keys }), { code: 0 });
    t.match(await verb('DEL', {}, {}), { code: 0 });
    t.equal(routes(), before);
  });
});

t.test('ADD waits for what the plan misses', { skip: noNamespaces }, async (t) => {
  /** A plan that misses something for the first `times`. */
  const late = (times: number, seconds: number | undefined): Own & { planned: () => number } => {
    let planned = 0;
    return {
      plan: (input) => {
        if (planned++ < times) throw new NotYet(7, 'no address');
        return definition.plan(input);
      },
      ...(seconds !== undefined && { patience: () => seconds }),
      planned: () => planned,
    };
  };

  t.test('and plans again after each pause', async (t) => {
    const { verb } = worldOf(t);
    let pauses = 0;
    const pause = async () => {
      pauses++;
    };
    const plan = late(3, 10);
    t.match(await verb('ADD', plan, { pause }), { code: 0 });
    t.strictSame([pauses, plan.planned()], [3, 4]);
  });

  t.test('not at all where it may not', async (t) => {
    const { verb } = worldOf(t);
    const pause = async () => {
      t.fail();
    };
    for (const seconds of [0, undefined]) {
      t.match(await verb('ADD', late(1, seconds), { pause }), { document: { code: 7, msg: /^no address$/ } });
    }
  });

  t.test('and not for anything else', async (t) => {
    const { verb } = worldOf(t);
    const plan = () => {
      throw new Error('another');
    };
    const pause = async () => {
      t.fail();
    };
    t.match(await verb('ADD', { plan, patience: () => 10 }, { pause }), { document: { msg: /another/ } });
  });

  t.test('as many seconds as it may', async (t) => {
    const { verb } = worldOf(t);
    const began = performance.now();
    const plan = late(Number.POSITIVE_INFINITY, 0.2);
    t.match(await verb('ADD', plan, {}), {
      document: { code: 107, msg: /no address; waited 0\.2 s for it$/ },
    });
    t.ok(performance.now() - began >= 200);
    t.ok(plan.planned() > 2);
  });
});
