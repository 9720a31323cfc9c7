import { join } from 'node:path';
import t from 'tap';
import { agentProcess, memoryOf, page, parseMetrics, SINGLE_FILE_AGENT } from '../support/agent/agent.ts';
import { noCompiler, SHIPPED } from '../support/agent/shim.ts';
import { makePods } from '../support/containerd/many-pods.ts';
import { Calls, clientsOf, knownStates, noShims } from '../support/containerd/pod-clients.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

const PODS = 100;
const PLUGINS = 3;

// However busy the machine is, nobody is given up on: neither by the shims, nor by the agent.
const PATIENT = ['CONNECT_MS', 'FIRST_ANSWER_MS', 'RESULT_MS'].map((deadline) => `-D${deadline}=1200000`);

t.test('a hundred pods at once are all served, by the agent alone', { skip: noShims || noCompiler }, async (t) => {
  const folder = scratchFolder(t);
  const known = await knownStates(t, makePods);
  const pods = await makePods(t, PODS);
  const agent = await agentProcess(t, {
    socket: join(folder, 'run/agent.sock'),
    command: SINGLE_FILE_AGENT,
    args: ['--queue-seconds', '60', '--max-running', '100'],
  });
  const calls = new Calls();
  const shims = join(folder, 'shims');
  SHIPPED.compile(shims, PATIENT);
  const clients = clientsOf(pods, { socket: agent.socket, dataDir: join(folder, 'data'), calls, shims });

  const began = performance.now();
  await Promise.all(clients.map(({ client }) => client.add()));
  const added = performance.now();
  t.strictSame(
    clients.filter(({ netns, mode }) => pods.state(netns) !== known[mode]).map(({ netns }) => pods.state(netns)),
    [],
    'every pod is configured',
  );
  const deleting = performance.now();
  await Promise.all(clients.map(({ client }) => client.del()));
  const deleted = performance.now();
  t.strictSame([...new Set(pods.paths.map(pods.state))], [known.clean], 'every pod is clean');

  t.strictSame([...calls.lost, ...calls.errors], [], 'no call fails');
  t.equal(calls.count, PODS * PLUGINS * 2, 'none is made twice');
  const samples = parseMetrics((await page({ socketPath: agent.socket }, '/metrics')).body);
  const sum = (prefix: string) => {
    return [...samples].reduce((total, [name, value]) => (name.startsWith(prefix) ? total + value : total), 0);
  };
  t.equal(sum('waymark_requests_total{'), calls.count, 'the agent served every one');
  t.equal(sum('waymark_request_duration_seconds_count{'), calls.count, 'and knows how long it took');
  t.equal(samples.get('waymark_requests_running'), 0, 'nothing runs any more');
  t.equal(samples.get('waymark_queue_length'), 0, 'and nothing waits');
  const status = JSON.parse((await page({ socketPath: agent.socket }, '/status')).body);
  t.comment(
    `ADD ${Math.round(added - began)} ms, DEL ${Math.round(deleted - deleting)} ms; a call, p99 ${calls.p99} ms`,
  );
  t.comment(`in the agent ${JSON.stringify(status.latencySeconds)}, ${Math.round(memoryOf(agent.pid) / 1e6)} MB`);
});
