import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { registerFallbacks } from '../../agent/fallbacks.ts';
import { LARGE_CONFIG_BYTES } from '../../agent/limits.ts';
import { Metrics } from '../../agent/metrics.ts';
import { Queue } from '../../agent/queue.ts';
import { Survey } from '../../agent/survey.ts';
import { Installs } from '../../cli/agent-installs.ts';
import { program } from '../../cli/main.ts';
import { agentHere, agentProcess, noRoot, page, parseMetrics, shimEnv, shimOf, until } from '../support/agent/agent.ts';
import { ask } from '../support/agent/agent-client.ts';
import { enclosed, noMounts, ran } from '../support/namespaces/enclosed.ts';
import { scratchFolder, scratchPod, works } from '../support/namespaces/namespace.ts';
import { bundleFolder, variables } from '../support/plugins/call.ts';

// docs/agent.md and manifests/systemd say what is so.

const ROOT = join(import.meta.dirname, '../..');
const document = readFileSync(join(ROOT, 'docs/agent.md'), 'utf8');

/** The rows of the table whose first column is headed so, as the cells' text. */
function table(heading: string): string[][] {
  const [, body = ''] = new RegExp(`^\\| ${heading} \\|.*\\n\\|[ |-]+\\n((?:\\|.*\\n)+)`, 'm').exec(document) ?? [];
  return body
    .trim()
    .split('\n')
    .map((row) =>
      row
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}

const names = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name);

t.test('the table of metrics is what is registered', async (t) => {
  const { registry } = new Metrics({
    queue: new Queue({ running: 1, waiting: 1, waitMs: 1 }),
    configBytes: () => 0,
  });
  registerFallbacks(registry, '/nonexistent');
  const log = pino({ level: 'silent' });
  new Survey({ dataDir: '/nonexistent', plugins: [], log, everyMs: 1 }).register(registry);
  const places = { binDir: '/nonexistent', netDir: '/nonexistent', netList: [] };
  new Installs({ ...places, mode: 'agent' }, log).register(registry);
  const registered = registry.getMetricsAsArray().filter(({ name }) => name.startsWith('waymark_')) as unknown as {
    name: string;
    labelNames: string[];
  }[];
  const documented = table('metric').map(([name, type, labels]) => [names(name)[0], type, names(labels)]);
  const actual = registered.map((metric) => [metric.name, metric.constructor.name.toLowerCase(), metric.labelNames]);
  t.strictSame(documented.sort(), actual.sort());
});

t.test('the table of reasons is what the source gives', async (t) => {
  const source = readdirSync(join(ROOT, 'agent'))
    .map((file) => readFileSync(join(ROOT, 'agent', file), 'utf8'))
    .join('\n');
  const given = [...source.matchAll(/(?:#refuse\(socket, |new NotServed\()([^)]*)/g)].flatMap(([, argument = '']) =>
    [...argument.matchAll(/'([^']+)'/g)].map(([, reason]) => reason),
  );
  t.strictSame(
    table('reason')
      .map(([reason]) => names(reason)[0])
      .sort(),
    [...new Set(given)].sort(),
  );
});

t.test('the table of options is the command’s', async (t) => {
  const options = program().commands.find((command) => command.name() === 'agent')?.options ?? [];
  const actual = options.map(({ long, defaultValue }) => [long, defaultValue]);
  const documented = table('option').map(([option, meaning]) => {
    const [value] = /^`([\w/.]+)`$/.exec(meaning ?? '')?.slice(1) ?? [];
    return [names(option)[0], value !== undefined && /^\d+$/.test(value) ? Number(value) : value];
  });
  t.strictSame(documented, actual);
});

t.test('a config is large from the size on that the table of options says', async (t) => {
  const [, large] = /configs over (\d+) KiB may use/.exec(document) ?? [];
  t.equal(LARGE_CONFIG_BYTES, Number(large) * 1024);
  t.match(document, `A config over ${large} KiB runs alone`);
});

t.test('a shim waits for the agent longer than any call may wait', async (t) => {
  const [, shim] = /#define RESULT_MS (\d+)/.exec(readFileSync(join(ROOT, 'native/shim.c'), 'utf8')) ?? [];
  const schema = JSON.parse(readFileSync(join(ROOT, 'conf/schema/seamless-gateway.schema.json'), 'utf8'));
  const { waitSeconds, verifyGateway } = schema.properties;
  const longest = [waitSeconds.maximum, verifyGateway.properties.timeoutSeconds.maximum];
  const [, queue] = /how long a call waits for its turn, at most (\d+)/.exec(document) ?? [];
  const all = longest.reduce((sum: number, seconds: number) => sum + seconds, Number(queue));
  t.ok(all > 1200, `${all} s`);
  t.ok(Number(shim) > (all + 30) * 1000, `${shim} ms for ${all} s`);
  const agent = program().commands.find((command) => command.name() === 'agent');
  const option = agent?.options.find(({ long }) => long === '--queue-seconds');
  t.throws(() => option?.parseArg?.(String(Number(queue) + 1), undefined));
  t.equal(option?.parseArg?.(String(queue), undefined), Number(queue));
});

t.test('the table of the log’s fields is what a line has', { skip: noRoot }, async (t) => {
  const { socket, log } = await agentHere(t);
  const more = { CNI_ARGS: 'K8S_POD_NAMESPACE=a;K8S_POD_NAME=b', CNI_NETNS_OVERRIDE: '1' };
  const env = variables('ADD', '/proc/self/ns/net', more);
  // Wrong in two places, so that it changes nothing.
  const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', routes: 1, rules: 1 };
  await ask(socket, { plugin: 'static-route', env, stdin: JSON.stringify(config) });
  t.strictSame(
    table('field')
      .flatMap(([field]) => names(field))
      .sort(),
    Object.keys(log.at(-1) ?? {}).sort(),
  );
});

const noCurl = process.getuid?.() !== 0 ? 'needs root' : works('curl', ['--version']) ? false : 'needs curl';

t.test('the commands that ask how it is do so', { skip: noCurl }, async (t) => {
  const { socket } = await agentProcess(t);
  await ask(socket, { plugin: 'static-route', env: { CNI_COMMAND: 'VERSION' }, stdin: '' });
  const commands = /```bash\n(waymark status\n[^`]*)```/.exec(document)?.[1]?.trim().split('\n') ?? [];
  t.equal(commands.length, 3);
  const said: string[] = [];
  for (const command of commands) {
    const line = command.replace('/run/waymark/agent.sock', socket);
    const env = { PATH: `${bundleFolder('waymark')}:${process.env.PATH}`, WAYMARK_SOCKET: socket };
    const { code, stdout, stderr } = await ran(spawn('sh', ['-c', line], { env }));
    t.equal(code, 0, stderr);
    said.push(stdout);
  }
  const [person = '', machine = '', metrics = ''] = said;
  t.match(person, /^waymark agent .*\nrequests: 1, /);
  t.match(JSON.parse(machine), { requests: 1 });
  t.equal(parseMetrics(metrics).get('waymark_requests_total{plugin="static-route",verb="VERSION",code="0"}'), 1);
});

t.test(
  'without a supervisor, the loop starts the agent again; runit’s script is the agent itself',
  { skip: noRoot },
  async (t) => {
    const scripts = [...document.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, script = '']) => script);
    t.equal(scripts.length, 2);
    for (const [index, script] of scripts.entries()) {
      const folder = scratchFolder(t);
      const file = join(folder, 'run');
      writeFileSync(file, script.replace('/var/log/', `${folder}/`), { mode: 0o755 });
      const socket = join(folder, 'agent.sock');
      const env = { PATH: `${bundleFolder('waymark')}:${process.env.PATH}`, WAYMARK_SOCKET: socket };
      const supervised = spawn('sh', [file], { env, stdio: 'ignore' });
      t.teardown(() => supervised.kill('SIGKILL'));
      const ended = new Promise((resolve) => supervised.once('exit', resolve));
      const pidOfAgent = async (): Promise<number | undefined> => {
        try {
          return JSON.parse((await page({ socketPath: socket }, '/status')).body).pid;
        } catch {
          return undefined;
        }
      };
      let pid: number | undefined;
      const isAnother = async () => {
        const now = await pidOfAgent();
        const isNew = now !== undefined && now !== pid;
        if (isNew) pid = now;
        return isNew;
      };
      await until(isAnother);
      if (index === 0) t.equal(pid, supervised.pid, 'it is what the supervisor watches');
      else {
        process.kill(pid ?? -1, 'SIGKILL');
        await until(isAnother);
        t.pass('another agent answers');
        supervised.kill('SIGKILL');
      }
      process.kill(pid ?? -1, 'SIGTERM');
      await ended;
      await until(() => !existsSync(socket));
    }
  },
);

const units = ['waymark-agent.service', 'waymark-agent.socket'];

t.test(
  'systemd takes the units',
  { skip: works('systemd-analyze', ['--version']) ? false : 'needs systemd-analyze' },
  async (t) => {
    const folder = scratchFolder(t);
    t.strictSame(readdirSync(join(ROOT, 'manifests/systemd')).sort(), units);
    // It looks for the executable, which is not installed here.
    for (const unit of units) {
      const text = readFileSync(join(ROOT, 'manifests/systemd', unit), 'utf8');
      writeFileSync(join(folder, unit), text.replace('/opt/cni/bin/waymark', process.execPath));
    }
    const { code, stdout, stderr } = await ran(
      spawn('systemd-analyze', ['verify', '--man=no', ...units.map((unit) => join(folder, unit))]),
    );
    t.equal(code, 0, stdout + stderr);
    t.equal(
      stderr
        .split('\n')
        .filter((line) => line.includes(folder) || line.includes('waymark'))
        .join('\n'),
      '',
    );
    const broken = join(folder, 'broken.service');
    writeFileSync(broken, '[Service]\nExecStart=/nonexistent\nRestart=perhaps\n');
    t.not((await ran(spawn('systemd-analyze', ['verify', '--man=no', broken]))).code, 0, 'it would tell');
  },
);

const noSetpriv = noMounts || (works('setpriv', ['--version']) ? false : 'needs setpriv');

t.test(
  'the capabilities of the unit are enough for a caller with files of its own, and each is needed',
  { skip: noSetpriv },
  async (t) => {
    const unit = readFileSync(join(ROOT, 'manifests/systemd/waymark-agent.service'), 'utf8');
    const capabilities =
      /^CapabilityBoundingSet=(.*)$/m.exec(unit)?.[1]?.toLowerCase().replaceAll('cap_', '').split(' ') ?? [];
    t.equal(capabilities.length, 3);
    const place = await enclosed(t, 'true');
    const pod = scratchPod(t);
    const config = {
      cniVersion: '1.1.0',
      name: 'net',
      type: 'static-route',
      dataDir: '/var/run/waymark-data',
      routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }],
    };
    const callWith = async (verb: string, some: readonly string[]) => {
      const set = ['-all', ...some.map((name) => `+${name}`)].join(',');
      const agent = await agentProcess(t, { under: ['setpriv', '--no-new-privs', '--bounding-set', set] });
      // The namespace as the caller has it, who sees an empty /run.
      const env = shimEnv(agent.socket, variables(verb, `/proc/${holder.pid}/ns/net`));
      return place.run([shimOf('static-route')], JSON.stringify(config), env);
    };
    const holder = spawn('nsenter', [`--net=${pod.path}`, 'sleep', '1000']);
    t.teardown(() => holder.kill('SIGKILL'));
    await until(() => statSync(`/proc/${holder.pid}/ns/net`).ino === statSync(pod.path).ino);
    for (const missing of capabilities) {
      const { code } = await callWith(
        'ADD',
        capabilities.filter((name) => name !== missing),
      );
      t.equal(code, 1, `without ${missing}`);
    }
    t.strictSame(pod.ipJson('route show proto 87'), []);
    t.match(await callWith('ADD', capabilities), { code: 0 });
    t.equal(pod.ipJson('route show proto 87').length, 1);
    t.match(await callWith('DEL', capabilities), { code: 0 });
    t.strictSame(pod.ipJson('route show proto 87'), []);
  },
);
