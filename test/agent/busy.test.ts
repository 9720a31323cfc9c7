import { join } from 'node:path';
import t from 'tap';
import { agentProcess, noRoot, page, parseMetrics, until } from '../support/agent/agent.ts';
import { callShim, noCompiler, SHIPPED, shimNode, standaloneCall } from '../support/agent/shim.ts';

const CONFIG = JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: 'static-route' });

t.test(
  'what a shim gave up on while the agent was busy, the agent does not begin',
  { skip: noRoot || noCompiler },
  async (t) => {
    const node = shimNode(t, SHIPPED, ['-DFIRST_ANSWER_MS=300']);
    const agent = await agentProcess(t, { socket: join(node.folder, 'agent.sock') });
    const env = { ...node.env, CNI_COMMAND: 'DEL', CNI_NETNS: '' };
    // It stands still, as it would while it computes.
    agent.child.kill('SIGSTOP');
    for (let i = 0; i < 3; i++)
      t.ok(standaloneCall(await callShim(node.shim, { env, stdin: CONFIG })), 'the executable does it');
    agent.child.kill('SIGCONT');
    const metrics = async () => parseMetrics((await page({ socketPath: agent.socket }, '/metrics')).body);
    await until(async () => (await metrics()).get('waymark_connections_refused_total{reason="caller gone"}') === 3);
    const served = [...(await metrics())].filter(
      ([name, count]) => name.startsWith('waymark_requests_total') && count > 0,
    );
    t.strictSame(served, []);
  },
);
