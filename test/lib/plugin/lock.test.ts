import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Pacing, run } from '../../../lib/cni/runner.ts';
import { tryLock } from '../../../lib/files/lock.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { handSetClock } from '../../support/clock.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';

const PROCESS = join(import.meta.dirname, '../../../plugins/static-route/process.ts');

function worldOf(t: Test) {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const folder = join(dataDir, 'static-route');
  const config = {
    cniVersion: '1.1.0',
    name: 'net',
    type: 'static-route',
    dataDir,
    routes: [
      { dst: '10.1.0.0/16', gw: '10.244.1.1' },
      { dst: '2001:db8::/48', gw: 'fd00:244:1::1' },
    ],
  };
  return { pod, folder, config, ask: (verb: string) => call(staticRoute, variables(verb, pod.path), config) };
}

/** A call that waits for the lock for a moment only, or as long as `pacing` says. */
async function askPaced(verb: string, netns: string, config: object, pacing: Pacing = { lockSeconds: 0.05 }) {
  let stdout = '';
  const code = await run(staticRoute, {
    env: variables(verb, netns),
    args: [],
    readStdin: () => Buffer.from(JSON.stringify(config)),
    writeStdout: (text) => {
      stdout += text;
    },
    writeStderr: () => undefined,
    pacing,
  });
  return { code, document: stdout === '' ? undefined : JSON.parse(stdout) };
}

t.test('while another is at work on the attachment', { skip: noNamespaces }, async (t) => {
  for (const verb of ['ADD', 'DEL']) {
    t.test(`${verb} is refused with 11, which names the holder, and changes nothing`, async (t) => {
      const { pod, folder, config, ask } = worldOf(t);
      if (verb === 'DEL') success(await ask('ADD'));
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const before = pod.routes();
      const lock = tryLock(join(folder, '.container-1-eth0.lock'));
      const { document } = await askPaced(verb, pod.path, config);
      t.match(document, { code: 11, msg: `process ${process.pid} ` });
      t.match(document.msg, /is at work on eth0 of container container-1; waited 0\.05 s/);
      t.equal(pod.routes(), before);
      lock?.release();
      success(await ask(verb));
    });
  }

  t.test('it is waited for for half a minute', async (t) => {
    const { pod, folder, config } = worldOf(t);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lock = tryLock(join(folder, '.container-1-eth0.lock'));
    const clock = handSetClock(t);
    const pause = async () => {
      clock.ms += 7500;
    };
    const { document } = await askPaced('ADD', pod.path, config, { pause });
    t.match(document, { code: 11, msg: /waited 30 s for it$/ });
    t.equal(clock.ms, 1000 + 30_000);
    lock?.release();
  });

  t.test('a call waits until the other is done', async (t) => {
    const { pod, folder, ask } = worldOf(t);
    const before = pod.routes();
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lock = tryLock(join(folder, '.container-1-eth0.lock'));
    const answer = ask('ADD');
    // The call has had its turn, and has not gone on.
    await new Promise((resolve) => setTimeout(resolve, 50));
    t.equal(pod.routes(), before);
    lock?.release();
    success(await answer);
    t.not(pod.routes(), before);
  });

  t.test('CHECK, --noop and the calls of other attachments do not wait', async (t) => {
    const { pod, folder, config, ask } = worldOf(t);
    success(await ask('ADD'));
    const lock = tryLock(join(folder, '.container-1-eth0.lock'));
    t.equal((await askPaced('CHECK', pod.path, config)).code, 0);
    const args = ['--noop'];
    t.equal((await call(staticRoute, variables('DEL', pod.path), config, args)).code, 0);
    const other = { ...variables('DEL', pod.path), CNI_IFNAME: 'net1' };
    t.equal((await call(staticRoute, other, config)).code, 0);
    lock?.release();
  });
});

t.test('DEL makes no folder and no file if there is nothing to undo', { skip: noNamespaces }, async (t) => {
  const { folder, ask } = worldOf(t);
  success(await ask('DEL'));
  t.notOk(existsSync(join(folder, '..')));
});

t.test('DEL without a folder does not forget what an ADD records meanwhile', { skip: noNamespaces }, async (t) => {
  const { pod, folder, config, ask } = worldOf(t);
  const before = pod.routes();
  const betweenSteps = async () => void success(await ask('ADD'));
  t.equal((await askPaced('DEL', pod.path, config, { betweenSteps })).code, 0);
  t.strictSame(readdirSync(folder), ['container-1-eth0.json']);
  success(await ask('ADD'));
  success(await ask('DEL'));
  t.equal(pod.routes(), before);
});

t.test('many processes at one attachment all succeed, and leave nothing', { skip: noNamespaces }, async (t) => {
  const { pod, folder, config, ask } = worldOf(t);
  const before = pod.routes();
  const verbs = ['ADD', 'DEL', 'ADD', 'DEL', 'ADD', 'DEL'];
  const answers = await Promise.all([
    ...verbs.map(async (verb) => {
      const child = spawn(process.execPath, [PROCESS], { env: { ...variables(verb, pod.path) }, stdio: 'pipe' });
      let stdout = '';
      child.stdout.on('data', (text) => {
        stdout += text;
      });
      child.stdin.end(JSON.stringify(config));
      const [code] = await once(child, 'close');
      return { code, stdout };
    }),
    // However long their turn takes to come.
    ...Array.from({ length: 40 }, (_, index) =>
      askPaced(index % 2 === 0 ? 'ADD' : 'DEL', pod.path, config, { lockSeconds: 600 }),
    ),
  ]);
  t.strictSame(
    answers.filter(({ code }) => code !== 0),
    [],
  );
  success(await ask('DEL'));
  t.equal(pod.routes(), before);
  t.strictSame(readdirSync(folder), []);
});
