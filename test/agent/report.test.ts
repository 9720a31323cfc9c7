import t from 'tap';
import { reportOf } from '../../agent/report.ts';
import { formatStatus } from '../../cli/status.ts';
import { agentHere, noRoot, page, parseMetrics } from '../support/agent/agent.ts';
import { ask } from '../support/agent/agent-client.ts';
import { noNamespaces, scratchPod } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';

// What the agent's log and `waymark status` say of a call.

t.test(
  'a failed call is reported with its network and every problem, and without its config',
  { skip: noRoot || noNamespaces },
  async (t) => {
    const { socket, log } = await agentHere(t);
    const pod = scratchPod(t);
    const config = {
      cniVersion: '1.1.0',
      name: 'blue',
      type: 'static-route',
      routes: [{ dst: '10.0.0.0/99' }, { dst: '10.1.0.0/16', gw: 'nobody' }],
      ipam: { token: 'hunter2' },
    };
    const env = variables('ADD', pod.path);
    const answer = await ask(socket, { plugin: 'static-route', env, stdin: JSON.stringify(config) });
    const { code, msg } = JSON.parse(answer.stdout);
    t.equal(code, 7);
    const line = log.find((line) => line.code === 7);
    const details = String(line?.details);
    t.match(details, /routes\[0\][^\n]*\n[^\n]*routes\[1\]/);
    t.match(line, { level: 40, msg, plugin: 'static-route', network: 'blue', details });

    const status = JSON.parse((await page({ socketPath: socket }, '/status')).body);
    t.match(status.lastFailures, [{ network: 'blue', cniCode: 7, message: msg, details }]);
    const text = formatStatus(status);
    t.match(text, ` static-route ADD container-1 blue: ${msg} (7)\n`);
    for (const problem of details.split('\n')) t.match(text, `\n    ${problem}`);
    t.notMatch(JSON.stringify(log) + JSON.stringify(status), 'hunter2');
  },
);

t.test(
  'a call that succeeds is reported with its network too; one without a readable config, without',
  { skip: noRoot || noNamespaces },
  async (t) => {
    const { socket, log } = await agentHere(t);
    const pod = scratchPod(t);
    const ask2 = (stdin: string) => ask(socket, { plugin: 'static-route', env: variables('DEL', pod.path), stdin });
    await ask2('{"cniVersion":"1.1.0","name":"blue","type":"static-route"}');
    t.match(log.at(-1), { msg: 'served', network: 'blue' });
    const metrics = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
    const seconds = metrics.get('waymark_request_duration_seconds_sum{plugin="static-route",verb="DEL"}') ?? 0;
    const apart = Math.abs(Number(log.at(-1)?.ms) - seconds * 1000);
    t.ok(apart <= 0.001, `as long as the metrics say, to a microsecond: ${apart} ms`);
    await ask2('{"cniVersion":"1.1.0","name":"bl');
    t.match(log.at(-1), { code: 6 });
    t.notOk(Object.hasOwn(log.at(-1) ?? {}, 'network'));
    t.notOk(Object.hasOwn(log.at(-1) ?? {}, 'details'));
  },
);

t.test('of endless details the beginning is kept', async (t) => {
  const request = { plugin: 'static-route', env: {}, stdin: Buffer.alloc(0), pid: 1 };
  const stdout = JSON.stringify({ code: 7, msg: 'm', details: 'x'.repeat(100_000) });
  const report = reportOf(request, { code: 1, stdout, stderr: '' }, { seconds: 1 });
  t.equal(report.details, `${'x'.repeat(4096)}…`);
  t.equal(reportOf(request, { code: 1, stdout: '{"details":7}', stderr: '' }, { seconds: 1 }).details, undefined);
});
