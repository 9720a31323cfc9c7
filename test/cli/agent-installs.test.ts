import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { Installs } from '../../cli/agent-installs.ts';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import {
  agentHere,
  agentProcess,
  type LogLine,
  page,
  parseMetrics,
  SINGLE_FILE_AGENT,
  until,
} from '../support/agent/agent.ts';
import { place, sums } from '../support/build/installer.ts';
import { noSingle } from '../support/build/single.ts';
import { run, scratchFolder } from '../support/namespaces/namespace.ts';

// `waymark agent --install`: one process on a node serves calls and keeps the executables in place.

const DIST = join(import.meta.dirname, '../../dist');

t.test('an agent installs shims and puts back what is removed', { skip: noSingle }, async (t) => {
  const { binDir } = place(t);
  const args = ['--install', 'agent', '--install-dir', binDir];
  const agent = await agentProcess(t, { command: SINGLE_FILE_AGENT, args });
  const isReady = async () => (await page({ socketPath: agent.socket }, '/readyz')).status === 200;
  await until(isReady, agent.stderr);
  const shim = (name: string) => sums(join(binDir, name), join(DIST, 'shim', name)).length === 1;
  t.strictSame(PLUGIN_NAMES.filter(shim), PLUGIN_NAMES, 'shims have the names of the plugins');
  t.equal(sums(join(binDir, 'waymark'), join(DIST, 'bin/waymark')).length, 1, 'with their fallback');
  const metrics = async () => parseMetrics((await page({ socketPath: agent.socket }, '/metrics')).body);
  t.equal((await metrics()).get('waymark_installed'), 1);
  const status = () => run(join(binDir, 'waymark'), ['status', '--socket', agent.socket]);
  t.match(status(), `installed in ${binDir}, for agent: in place`);

  rmSync(join(binDir, 'static-route'));
  await until(async () => readdirSync(binDir).includes('static-route') && (await isReady()), agent.stderr);
  t.ok(shim('static-route'), 'it is back');
  t.match(agent.stderr(), /"component":"install".*"path":".*static-route","msg":"repaired"/);

  agent.child.kill('SIGTERM');
  t.strictSame(await agent.ended, { code: 0, signal: null });
  t.ok(shim('static-route'), 'an agent that ends takes nothing away');
});

t.test('an agent that cannot install serves calls, is not ready, and tries again', { skip: noSingle }, async (t) => {
  const binDir = join(scratchFolder(t), 'bin');
  const log: LogLine[] = [];
  const logger = pino({ base: null }, { write: (line: string) => void log.push(JSON.parse(line)) });
  const options = { from: join(DIST, 'bin'), binDir, mode: 'agent', netList: [], netDir: '/absent' } as const;
  const { socket } = await agentHere(t, { parts: [new Installs(options, logger, 20)] });
  const readiness = () => page({ socketPath: socket }, '/readyz');
  const isRefused = async () => (await readiness()).body.includes(`${binDir} does not exist`);
  await until(isRefused);
  t.equal((await readiness()).status, 503);
  t.equal((await page({ socketPath: socket }, '/healthz')).status, 200, 'it is alive');
  const metrics = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
  t.equal(metrics.get('waymark_installed'), 0);
  t.match(JSON.parse((await page({ socketPath: socket }, '/status')).body).installation, {
    binDir,
    mode: 'agent',
    problem: `${binDir} does not exist`,
  });
  const complaints = () => log.filter(({ msg }) => msg.endsWith('does not exist'));
  t.match(complaints(), [{ level: 50, component: 'install' }], 'one line in the log, however often it tries');
  mkdirSync(binDir);
  await until(async () => (await readiness()).status === 200);
  t.equal(complaints().length, 1);
  t.strictSame(readdirSync(binDir).sort(), ['.waymark', 'waymark', ...PLUGIN_NAMES].sort());
});

t.test('with multi-network it is not ready before the cluster has a network', { skip: noSingle }, async (t) => {
  const { binDir, netDir } = place(t);
  const nodeNetDir = '/etc/cni/net.d';
  const options = { from: join(DIST, 'bin'), binDir, mode: 'multi-network', netList: [], netDir, nodeNetDir } as const;
  const { socket } = await agentHere(t, { parts: [new Installs(options, pino({ level: 'silent' }))] });
  const readiness = () => page({ socketPath: socket }, '/readyz');
  await until(async () => (await readiness()).body.includes('no network list of the cluster'));
  t.ok(readdirSync(binDir).includes('multi-network'), 'the executables are there before the list that needs them');
  const plugins = [{ type: 'bridge' }];
  writeFileSync(join(netDir, '10-net.conflist'), JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins }));
  await until(async () => (await readiness()).status === 200);
  t.strictSame(readdirSync(netDir), ['00-waymark.conflist', '10-net.conflist']);
});
