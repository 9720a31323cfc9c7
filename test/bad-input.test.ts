import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { staticRoute } from '../plugins/static-route/main.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from './support/namespaces/namespace.ts';
import {
  type Case,
  config,
  FOLDER,
  HOP,
  MISSPELT,
  NOT_A_CONFIG,
  nested,
  ROUTE,
  WRONG_TYPES,
  WRONG_VALUES,
} from './support/plugins/bad-configs.ts';
import { type Answer, call, type Document, variables } from './support/plugins/call.ts';
import { problemsIn } from './support/plugins/problems.ts';

t.test('static-route', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  pod.ip('route add 10.200.0.0/16 via 10.244.1.2');
  t.teardown(() => rmSync(FOLDER, { recursive: true, force: true }));
  const untouched = { pod, routes: pod.routes() };

  await t.test('what is no config is refused by ADD, CHECK and DEL', async (t) => {
    for (const row of NOT_A_CONFIG) await holdsFor(t, untouched, ['ADD', 'CHECK', 'DEL'], row);
  });

  await t.test('a value of another type is refused with its path, for every key', async (t) => {
    for (const row of WRONG_TYPES) await holdsFor(t, untouched, ['ADD', 'CHECK'], row);
  });

  await t.test('a value that makes no sense is refused with its path, and all of them in one error', async (t) => {
    for (const row of WRONG_VALUES) await holdsFor(t, untouched, ['ADD', 'CHECK'], row);
  });

  await t.test('a misspelt key is refused with the one that was meant, in args.cni too', async (t) => {
    for (const [key, meant] of MISSPELT) {
      const suggestion = new RegExp(`: .*"${meant}"`);
      const alone: Case = [key, config({ [key]: [] }), 7, key];
      t.match((await holdsFor(t, untouched, ['ADD', 'CHECK'], alone))?.document?.msg, suggestion, key);
      const path = `args.cni.${key}`;
      const within: Case = [path, config({ args: { cni: { [key]: [] } } }), 7, path];
      t.match((await holdsFor(t, untouched, ['ADD', 'CHECK'], within))?.document?.msg, suggestion, path);
    }
  });

  await t.test('STATUS refuses a config that ADD would refuse', async (t) => {
    for (const row of WRONG_VALUES) await holdsFor(t, untouched, ['STATUS'], row);
  });

  await t.test('an error quotes neither the config nor a secret in it', async (t) => {
    for (const stdin of ['{"password":"hunter2"', '{"name":"net","password": hunter2}', 'hunter2', '["hunter2"]']) {
      const { stdout, stderr } = await call(staticRoute, variables('ADD', pod.path), stdin);
      t.notMatch(stdout + stderr, /hunter/, stdin);
    }
    const { stdout } = await call(staticRoute, variables('ADD', pod.path), config({ onConflict: 'x'.repeat(1 << 20) }));
    t.ok(stdout.length < 1_000, 'an error is no larger for a larger mistake');
  });

  await t.test('a thousand mistakes are not answered with a thousand lines, but with their number', async (t) => {
    const routes = Array.from({ length: 1_000 }, () => ({ dst: 'x' }));
    const { document } = await call(staticRoute, variables('ADD', pod.path), config({ routes }));
    t.equal(document?.code, 7);
    t.match(document?.msg, /; and \d+ more, see the log$/);
    t.ok((document?.details?.split('\n').length ?? 0) <= 51);
  });
});

t.test('what looks bad and is not', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const good = (keys: object) => ({ ...config(keys), dataDir });
  const add = (stdin: unknown) => call(staticRoute, variables('ADD', pod.path), stdin);

  t.test('an unknown key is ignored with a warning, and with silence where the log is silent', async (t) => {
    const answer = await add(good({ deviceID: '0000:00:1f.6' }));
    t.equal(answer.code, 0);
    t.match(answer.stderr, /"level":"warn".*deviceID/);
    t.equal((await add(good({ deviceID: '0000:00:1f.6', logLevel: 'silent' }))).stderr, '');
    t.equal((await add(good({ args: { cni: { deviceID: 'x' } } }))).code, 0);
  });

  t.test('__proto__ and constructor are keys like any other', async (t) => {
    for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      const text = JSON.stringify(good({})).replace(/}$/, `,"${key}":{"routes":[{"dst":"10.9.0.0/16"}]}}`);
      const answer = await add(text);
      t.equal(answer.code, 0, answer.stdout);
      t.match(answer.stderr, key);
    }
    t.equal(pod.ip('route show 10.9.0.0/16'), '');
  });

  t.test('a config nested 60 deep and one of 7 MB are read', async (t) => {
    t.equal((await add(good({ x: JSON.parse(nested(60, '[', ']')) }))).code, 0);
    t.equal((await add(good({ x: 'x'.repeat(7 << 20) }))).code, 0);
  });

  t.test('a config of exactly 8 MiB is read, one of a byte more is refused', async (t) => {
    const text = (size: number) => {
      const empty = JSON.stringify(good({ x: '' }));
      return empty.replace('"x":""', `"x":"${'x'.repeat(size - empty.length)}"`);
    };
    const limit = 8 * 1024 * 1024;
    t.equal(text(limit).length, limit);
    t.equal((await add(text(limit))).code, 0);
    t.match((await add(text(limit + 1))).document, { code: 6, msg: /larger than 8388608 bytes/ });
  });

  t.test('white space around the config and escapes within it are JSON', async (t) => {
    t.equal((await add(`\r\n\t ${JSON.stringify(good({}))} \n`)).code, 0);
    t.equal((await add(JSON.stringify(good({})).replace('"net"', '"\\u006eet"'))).code, 0);
  });

  t.test('args.cni takes the place of the config', async (t) => {
    const before = pod.routes();
    const stdin = good({ routes: [ROUTE], args: { cni: { routes: [{ dst: '10.10.0.0/16', gw: '10.244.1.1' }] } } });
    t.equal((await add(stdin)).code, 0);
    t.match(pod.ipJson('route show 10.10.0.0/16'), [{ gateway: '10.244.1.1' }]);
    t.equal(pod.ip('route show 10.9.0.0/16'), '');
    t.equal((await call(staticRoute, variables('DEL', pod.path), stdin)).code, 0);
    t.equal(pod.routes(), before);
  });

  t.test('the largest numbers are taken, and CHECK and DEL know the route again', async (t) => {
    const before = pod.routes();
    const routes = [
      { ...ROUTE, priority: 4_294_967_295, table: 4_294_967_295, mtu: 65_520, advmss: 65_495 },
      { dst: 'fd00:9::/48', gw: 'fd00:244:1::1', priority: 4_294_967_295, mtu: 65_520, advmss: 65_495 },
      { dst: '10.10.0.0/16', nexthops: [HOP, { gw: '10.244.1.2', weight: 256 }] },
    ];
    for (const protocol of [5, 255]) {
      const stdin = good({ routes, protocol });
      for (const verb of ['ADD', 'ADD', 'CHECK', 'DEL', 'DEL']) {
        const answer = await call(staticRoute, variables(verb, pod.path), stdin);
        t.equal(answer.code, 0, `${verb} ${answer.stdout}`);
      }
      t.equal(pod.routes(), before);
    }
  });

  t.test('a config that ADD refuses does not keep a pod from going away', async (t) => {
    for (const keys of [{ routes: 'x' }, { routes: [{ dst: '10.9.0.1/16' }] }, { onConflict: 5 }, { route: [] }]) {
      t.equal((await call(staticRoute, variables('DEL', pod.path), good(keys))).code, 0, JSON.stringify(keys));
    }
  });
});

/** A pod whose routes must stay. */
type Untouched = { readonly pod: Scratch; readonly routes: string };

/** Asks the verbs, and holds the code, the paths, the shape of the answer, and that nothing changed. The last answer. */
async function holdsFor(
  t: Test,
  { pod, routes }: Untouched,
  verbs: readonly string[],
  row: Case,
): Promise<Answer | undefined> {
  const [name, stdin, code, ...paths] = row;
  const title = JSON.stringify(name).slice(1, 100);
  let answer: Answer | undefined;
  for (const verb of verbs) {
    answer = await call(staticRoute, variables(verb, pod.path), stdin);
    const { stdout, stderr, document } = answer;
    t.match({ exit: answer.code, code: document?.code }, { exit: 1, code }, `${verb} ${title}: ${stdout}`);
    t.match(document, { cniVersion: /^\d\.\d\.\d$/, msg: /./ }, `${verb} ${title}: a whole error`);
    t.notMatch(stdout + stderr, /\bat file:|(\n|\\n) {4}at /, `${verb} ${title}: no stack trace`);
    if (paths.length > 0) t.strictSame(pathsIn(document), paths.toSorted(), `${verb} ${title}: ${stdout}`);
  }
  t.equal(pod.routes(), routes, `${title}: no route was changed`);
  t.notOk(existsSync(FOLDER), `${title}: no folder was made`);
  return answer;
}

/** What stands before the first `: ` of every line. */
function pathsIn(document: Document | undefined): string[] {
  return problemsIn(document)
    .map((line) => line.slice(0, line.indexOf(': ')))
    .toSorted();
}
