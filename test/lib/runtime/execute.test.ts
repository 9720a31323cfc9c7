import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RuntimeError } from '../../../lib/runtime/errors.ts';
import { type Ended, executePlugin, findPlugin, type RunPlugin } from '../../../lib/runtime/execute.ts';

t.test('a plugin is a file in the first folder that has one, and its path is the node’s own', async (t) => {
  const folder = t.testdir({ node: { a: {}, b: { bridge: '' }, c: { bridge: '', both: '' } } });
  mkdirSync(join(folder, 'node/a/bridge'));
  const pathOf = (path: string) => join(folder, 'node', path);
  t.equal(findPlugin('bridge', ['/a', '/none', '/b', '/c'], pathOf), '/b/bridge');
  t.equal(findPlugin('both', ['/a', '/c'], pathOf), '/c/both');
  t.throws(() => findPlugin('ptp', ['/a', '/b'], pathOf), { message: 'there is no plugin "ptp" in CNI_PATH (/a:/b)' });
  for (const type of ['.', '..', '../b/bridge', 'b/bridge'])
    t.throws(() => findPlugin(type, ['/b'], pathOf), { message: `invalid plugin type "${type}"` });
});

/** Executes a plugin that ends so each time; the last one for ever. */
async function execute(...ends: (Ended | Error)[]) {
  const asked: unknown[] = [];
  const run: RunPlugin = async (...call) => {
    asked.push(call);
    const end = ends[Math.min(asked.length, ends.length) - 1];
    if (end === undefined || end instanceof Error) throw end;
    return end;
  };
  const answer = executePlugin('/bin/a', 'ADD', { CNI_IFNAME: 'eth0' }, { name: 'net' }, run);
  return { asked, answer: await answer.catch((error: Error) => error) };
}

const ended = (code: number | string, stdout: string): Ended => ({ code, stdout });

t.test('it gets the verb among its variables, and the config on stdin', async (t) => {
  const { asked } = await execute(ended(0, ''));
  t.strictSame(asked, [['/bin/a', { CNI_IFNAME: 'eth0', CNI_COMMAND: 'ADD' }, '{"name":"net"}']]);
});

t.test('its answer is what it prints, or the error that it prints', async (t) => {
  t.strictSame((await execute(ended(0, ' {"a":1}\n'))).answer, { a: 1 });
  t.equal((await execute(ended(0, ' \n'))).answer, undefined);
  for (const text of ['x', '7', 'null'])
    t.match((await execute(ended(0, text))).answer, {
      message: 'the plugin printed something that is not a JSON object',
    });
  t.match((await execute(ended(1, '{"code":7,"msg":"no","details":"d"}'))).answer, {
    message: 'no',
    code: 7,
    details: 'd',
  });
  t.match((await execute(ended(1, '{"msg":"no"}'))).answer, { message: 'no', code: undefined });
  for (const text of ['', 'x', '{}'])
    t.match((await execute(ended(3, text))).answer, {
      message: 'the plugin ended with 3 and without an error document',
    });
  t.match((await execute(ended('SIGKILL', ''))).answer, { message: /ended with SIGKILL/ });
});

t.test('what cannot be run says so, and our own errors are passed on', async (t) => {
  const late = new RuntimeError('too late');
  t.equal((await execute(late)).answer, late);
  const { answer, asked } = await execute(Object.assign(new Error('spawn EACCES'), { code: 'EACCES' }));
  t.match(answer, { name: 'RuntimeError', message: '/bin/a cannot be run: spawn EACCES' });
  t.equal(asked.length, 1);
});

t.test('one that is just being replaced is tried five times, with pauses', async (t) => {
  t.intercept(globalThis, 'setTimeout', { value: (call: () => void) => setImmediate(call) });
  const busy = Object.assign(new Error('spawn ETXTBSY'), { code: 'ETXTBSY' });
  const { answer, asked } = await execute(busy);
  t.match(answer, { message: '/bin/a cannot be run: spawn ETXTBSY' });
  t.equal(asked.length, 5);
  t.strictSame((await execute(busy, busy, busy, busy, ended(0, '{"a":1}'))).answer, { a: 1 });
});

t.test('by itself it is a process with these variables and no others, whose input may be left unread', async (t) => {
  const folder = t.testdir();
  const script = (name: string, text: string) => {
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return join(folder, name);
  };
  const run = (path: string, config: object = {}) => executePlugin(path, 'DEL', { A: '1' }, { ...config });
  const echo = script(
    'echo',
    'read config; printf \'{"config":%s,"a":"%s","home":"%s"}\' "$config" "$A$CNI_COMMAND" "$HOME"',
  );
  t.strictSame(await run(echo, { b: 2 }), { config: { b: 2 }, a: '1DEL', home: '' });
  t.equal(await run(script('deaf', 'exec <&-; exit 0'), { long: 'x'.repeat(1 << 20) }), undefined);
  await t.rejects(run(script('killed', 'kill -9 $$')), {
    message: 'the plugin ended with SIGKILL and without an error document',
  });
  await t.rejects(run(join(folder, 'none')), /none cannot be run: .*ENOENT/);
});
