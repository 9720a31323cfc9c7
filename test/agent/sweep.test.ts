import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { tryLock } from '../../lib/files/lock.ts';
import { agentHere, agentProcess, type LogLine, page, parseMetrics, until } from '../support/agent/agent.ts';
import { ask } from '../support/agent/agent-client.ts';
import { run, type Scratch, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { withOwnProcesses } from '../support/namespaces/own-processes.ts';
import { variables } from '../support/plugins/call.ts';

// Journals whose network namespace is gone.

const MESSAGE = 'forgot a journal: its network namespace is gone';

/** A node with pods that the agent's plugins have added to. */
async function node(t: Test) {
  const dataDir = join(scratchFolder(t), 'data');
  const folder = join(dataDir, 'static-route');
  const add = async (pod: Scratch, containerID: string) => {
    // An agent of its own, so that the one that is looked at starts later.
    const { agent, socket } = await agentHere(t, { dataDir, sweepMs: 3_600_000 });
    const config = {
      cniVersion: '1.1.0',
      name: 'net',
      type: 'static-route',
      dataDir,
      routes: [{ dst: '10.9.0.0/16' }],
    };
    const env = variables('ADD', pod.path, { CNI_CONTAINERID: containerID });
    const { code, stdout } = await ask(socket, { plugin: 'static-route', env, stdin: JSON.stringify(config) });
    t.equal(code, 0, stdout);
    await agent.stop();
    return join(folder, `${containerID}-eth0.json`);
  };
  return { dataDir, folder, add };
}

/** The paths that the log says were forgotten. */
function forgotten(log: readonly LogLine[]): unknown[] {
  return log.filter(({ msg }) => msg === MESSAGE).map(({ path }) => path);
}

await withOwnProcesses(import.meta.filename, async (t) => {
  t.test('at its start the agent forgets journals of namespaces that are gone, and no others', async (t) => {
    const { dataDir, folder, add } = await node(t);
    const [gone, live, reused] = [scratchPod(t), scratchPod(t), scratchPod(t)];
    const paths = {
      gone: await add(gone, 'gone'),
      live: await add(live, 'live'),
      first: await add(reused, 'first'),
      locked: await add(gone, 'locked'),
    };
    gone.remove();
    run('ip', ['netns', 'del', reused.name]);
    run('ip', ['netns', 'add', reused.name]);
    for (const command of ['link add eth0 type veth peer name peer', 'address add 10.244.1.5/24 dev eth0'])
      reused.ip(command);
    for (const name of ['peer', 'eth0']) reused.ip(`link set ${name} up`);
    const second = await add(reused, 'second');
    // Of the namespace that is gone, but for a change of a build that is newer.
    const newer = join(folder, 'newer-eth0.json');
    const text = readFileSync(paths.gone, 'utf8').replace('"containerID":"gone"', '"containerID":"newer"');
    writeFileSync(newer, text.replace('"op":"add-route"', '"op":"add-tunnel"'));
    const strange = join(folder, 'strange-eth0.json');
    writeFileSync(
      strange,
      text.replace('"newer"', '"strange"').replace(/"namespace":"[^"]*"/, '"namespace":"netns-7"'),
    );
    const lock = tryLock(join(folder, '.locked-eth0.lock'));

    const { log, socket } = await agentHere(t, { dataDir, sweepMs: 20 });
    await until(
      () => forgotten(log).length === 2,
      () => JSON.stringify(log),
    );
    t.strictSame(forgotten(log).sort(), [paths.first, paths.gone]);
    t.match(
      log.find(({ msg }) => msg === MESSAGE),
      { level: 30, plugin: 'static-route' },
    );
    const metrics = parseMetrics((await page({ socketPath: socket }, '/metrics')).body);
    t.equal(metrics.get('waymark_journals_forgotten_total{plugin="static-route"}'), 2);
    for (const path of [paths.live, second, paths.locked, newer, strange]) t.ok(existsSync(path), path);

    lock?.release();
    await until(() => !existsSync(paths.locked));
    live.remove();
    await until(() => !existsSync(paths.live));
    t.strictSame(readdirSync(folder).sort(), ['newer-eth0.json', 'second-eth0.json', 'strange-eth0.json']);
  });

  t.test('journals that were written from another PID namespace, or do not say from which, are kept', async (t) => {
    const { dataDir, add } = await node(t);
    const pod = scratchPod(t);
    const paths = [await add(pod, 'other'), await add(pod, 'old'), await add(pod, 'own')];
    const writers = ['"writer":"pid:[1]"', '"older":1'];
    for (const [i, writer] of writers.entries()) {
      const path = paths[i] ?? '';
      writeFileSync(path, readFileSync(path, 'utf8').replace(/"writer":"[^"]*"/, writer));
    }
    pod.remove();
    const { log } = await agentHere(t, { dataDir, sweepMs: 20 });
    await until(() => forgotten(log).length > 0);
    t.strictSame(forgotten(log), paths.slice(2));
    t.ok(paths.slice(0, 2).every((path) => existsSync(path)));
  });

  t.test('an agent without SYS_PTRACE, which may not see all processes, keeps them all', async (t) => {
    const pod = scratchPod(t);
    const folder = '/run/waymark/static-route';
    t.notOk(existsSync(folder), 'the namespaces of the test have a /run of their own');
    const { add, dataDir } = await node(t);
    await add(pod, 'gone');
    pod.remove();
    run('mkdir', ['-p', '-m', '700', '/run/waymark']);
    run('cp', ['-a', join(dataDir, 'static-route'), '/run/waymark/']);
    const blind = await agentProcess(t, { under: ['setpriv', '--bounding-set=-sys_ptrace'] });
    await until(() => blind.stderr().includes('journals of namespaces that are gone are kept'));
    t.match(blind.stderr(), /CAP_SYS_PTRACE is missing/);
    blind.child.kill('SIGTERM');
    await blind.ended;
    t.strictSame(readdirSync(folder), ['gone-eth0.json']);
    // The same, with all that it needs.
    await agentProcess(t);
    await until(() => readdirSync(folder).length === 0);
  });
});
