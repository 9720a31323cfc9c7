import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execPath } from 'node:process';
import t from 'tap';
import { CniError } from '../../../lib/cni/errors.ts';
import { HERE } from '../../../lib/cni/place.ts';
import { ask, type Call, type Outside, openPodNamespace, run } from '../../../lib/cni/runner.ts';
import type { Verb } from '../../../lib/cni/verbs.ts';
import { isNamespaceAt } from '../../../lib/netns/netns.ts';
import { noNamespaces, scratchFolder, scratchNamespace } from '../../support/namespaces/namespace.ts';

const descriptors = () => readdirSync('/proc/self/fd').length;

t.test('leaks no descriptor, whichever call fails', { skip: noNamespaces }, async (t) => {
  const { path } = scratchNamespace(t);
  const request = { netns: path, verb: 'ADD', allowOwnNamespace: false } as const;
  const before = descriptors();
  t.throws(() => openPodNamespace(request, { ...HERE, isOwn: (own) => isNamespaceAt('/nonexistent', own) }), {
    name: 'NamespaceError',
  });
  t.throws(() => openPodNamespace(request, { ...HERE, isOwn: (own) => isNamespaceAt(path, own) }), { code: 8 });
  openPodNamespace(request)?.close();
  t.equal(descriptors(), before);
});

t.test('a namespace that cannot be opened is refused with the errno', async (t) => {
  const loop = join(scratchFolder(t), 'loop');
  symlinkSync(loop, loop);
  for (const verb of ['ADD', 'DEL'] as const) {
    t.throws(() => openPodNamespace({ netns: loop, verb, allowOwnNamespace: false }), {
      code: 4,
      message: `CNI_NETNS="${loop}" cannot be opened: ELOOP: too many symbolic links encountered`,
    });
  }
  const failing = () => {
    throw Object.assign(new Error('/a/b: too many symbolic links'), { code: 'ELOOP' });
  };
  t.throws(
    () => openPodNamespace({ netns: '/a/b', verb: 'ADD', allowOwnNamespace: false }, { ...HERE, pathOf: failing }),
    { code: 4, message: 'CNI_NETNS="/a/b" cannot be opened: /a/b: too many symbolic links' },
  );
});

// https://www.cni.dev/docs/spec/#cni-operations and #errors.
t.test('ADD and CHECK need the namespace, DEL does without it, and GC and STATUS do not look for it', async (t) => {
  const folder = scratchFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const open = (netns: string, verb: Verb) => openPodNamespace({ netns, verb, allowOwnNamespace: false });
  for (const verb of ['ADD', 'CHECK'] as const) {
    t.throws(() => open(join(folder, 'gone'), verb), { code: 3 }, verb);
    t.throws(() => open(file, verb), { code: 4 }, verb);
  }
  for (const verb of ['DEL', 'GC', 'STATUS'] as const) {
    for (const netns of ['', join(folder, 'gone'), file]) t.equal(open(netns, verb), undefined, `${verb} ${netns}`);
  }
  for (const verb of ['GC', 'STATUS'] as const) t.equal(open('/proc/self/ns/net', verb), undefined, verb);
});

type Handler = (call: Call) => Promise<object | undefined>;

/** What one call of a plugin with this handler comes to: its exit code, what it writes, and what else it is told. */
async function ran(handler: Handler, more: Partial<Outside> = {}, document: object = {}) {
  const told: unknown[] = [];
  let [stdout, stderr] = ['', ''];
  const refuse = async () => {
    throw new Error('another verb');
  };
  const handlers = { ADD: refuse, DEL: refuse, CHECK: refuse, GC: refuse, STATUS: handler };
  const code = await run(
    { name: 'plugin', version: '7.8.9', handlers },
    {
      env: { CNI_COMMAND: 'STATUS', CNI_PATH: '/opt/cni/bin' },
      args: [],
      readStdin: () => Buffer.from(JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: 'plugin', ...document })),
      writeStdout: (text) => {
        stdout += text;
      },
      writeStderr: (text) => {
        stderr += text;
      },
      began: ({ verb, network }) => told.push(`${verb} ${network}`),
      failed: (details) => told.push(details),
      ...more,
    },
  );
  return { code, stdout, stderr, told };
}

const nothing: Handler = async () => undefined;
const failing: Handler = async () => {
  throw new CniError(50, 'not now', { details: 'at /here/x' });
};

t.test('what a handler returns is the answer, as one document; nothing is none', async (t) => {
  t.strictSame(await ran(nothing), { code: 0, stdout: '', stderr: '', told: ['STATUS net'] });
  const { stdout } = await ran(async () => ({ a: [1] }));
  t.equal(stdout, '{\n    "a": [\n        1\n    ]\n}\n');
});

t.test('what a handler throws is an error document, and a line of the log', async (t) => {
  const { code, stdout, stderr, told } = await ran(failing);
  t.equal(code, 1);
  t.strictSame(JSON.parse(stdout), { cniVersion: '1.1.0', code: 50, msg: 'not now', details: 'at /here/x' });
  t.match(JSON.parse(stderr), { level: 'error', plugin: 'plugin', msg: 'not now', code: 50, details: 'at /here/x' });
  t.strictSame(told, ['STATUS net', 'at /here/x']);
  const odd = await ran(async () => {
    throw 'odd';
  });
  t.match(JSON.parse(odd.stdout), { code: 999, msg: 'odd' });
  t.strictSame(odd.told, ['STATUS net', undefined]);
});

t.test('a caller on the node reads paths of the node', async (t) => {
  const place = { ...HERE, asCallerSees: (text: string) => text.replaceAll('/here/', '/node/') };
  const { stdout, told } = await ran(failing, { place });
  t.strictSame([JSON.parse(stdout).details, told.at(-1)], ['at /node/x', 'at /node/x']);
  t.match(await ran(async () => ({ path: '/here/y' }), { place }), { stdout: '"/node/y"' });
});

t.test('what the call is abandoned for is not answered, whether it begins or ends so', async (t) => {
  const gone = new Error('gone');
  const abandons = (error: unknown) => error === gone;
  let written = 0;
  const writeStdout = () => void written++;
  const throwing = () => {
    throw gone;
  };
  await t.rejects(
    ran(async () => throwing(), { abandons, writeStdout, writeStderr: writeStdout }),
    gone,
  );
  await t.rejects(ran(nothing, { abandons, writeStdout, writeStderr: writeStdout, began: throwing }), gone);
  t.equal(written, 0);
});

t.test('where nobody listens, or nobody can be heard, the exit code says so', async (t) => {
  const writeStdout = () => {
    throw new Error('EPIPE');
  };
  t.match(await ran(async () => ({}), { writeStdout }), { code: 1, stderr: /EPIPE\ncannot answer: EPIPE\n$/ });
  const readStdin = () => {
    throw new Error('EIO');
  };
  const { code, stdout } = await ran(nothing, { readStdin });
  t.match([code, JSON.parse(stdout)], [1, { code: 5, msg: 'stdin cannot be read: EIO' }]);
});

t.test('without a command it says what it is; with another than the specification has, it fails', async (t) => {
  for (const env of [{}, { CNI_COMMAND: '' }])
    t.match(await ran(nothing, { env }), {
      code: 0,
      stdout: '',
      stderr: /^CNI plugin plugin 7\.8\.9\nCNI protocol versions supported: 0\.1\.0, .*, 1\.1\.0\n$/,
    });
  const { stdout } = await ran(nothing, { env: { CNI_COMMAND: 'VERSION' } });
  t.match(JSON.parse(stdout), { cniVersion: '1.1.0', supportedVersions: /1\.0\.0/ });
  for (const env of [{ CNI_COMMAND: 'UP' }, { CNI_COMMAND: 'STATUS' }])
    t.match(JSON.parse((await ran(nothing, { env })).stdout), { code: 4 }, JSON.stringify(env));
});

t.test('how much it logs is said by the config, else by the environment, and where to likewise', async (t) => {
  const folder = scratchFolder(t);
  const saying: Handler = async ({ log, noop }) => {
    log.debug(`noop: ${noop}`);
    return undefined;
  };
  const env = { CNI_COMMAND: 'STATUS', CNI_PATH: '/opt/cni/bin' };
  t.equal((await ran(saying)).stderr, '');
  t.match((await ran(saying, {}, { logLevel: 'debug' })).stderr, /noop: false/);
  const loud = { ...env, _CNI_LOGGING_LEVEL: 'debug' };
  t.match((await ran(saying, { env: loud, args: ['--noop'] })).stderr, /noop: true/);
  t.equal((await ran(saying, { env: loud }, { logLevel: 'error' })).stderr, '');
  const [first, second] = [join(folder, 'first'), join(folder, 'second')];
  t.equal((await ran(saying, { env: { ...loud, _CNI_LOGGING_FILE: second } }, { logFile: first })).stderr, '');
  t.equal((await ran(saying, { env: { ...loud, _CNI_LOGGING_FILE: second } }, { logFile: 'relative' })).stderr, '');
  for (const file of [first, second]) t.match(readFileSync(file, 'utf8'), /noop: false/);
  t.match((await ran(saying, { env: loud }, { logFile: 7 })).stderr, /noop: false/);
});

t.test('a process reads its input, writes its answer, and says so if it crashes', async (t) => {
  const { href } = new URL('../../../lib/cni/runner.ts', import.meta.url);
  const process = (handler: string) => {
    const script = `
      import { runProcess } from ${JSON.stringify(href)};
      const handler = ${handler};
      const handlers = { ADD: handler, DEL: handler, CHECK: handler, GC: handler, STATUS: handler };
      await runProcess({ name: 'plugin', version: '1', handlers });`;
    const { status, stdout, stderr } = spawnSync(
      execPath,
      ['--input-type=module', '-e', script, '--', 'script', '--noop'],
      {
        input: JSON.stringify({
          cniVersion: '1.1.0',
          name: 'net',
          type: 'x',
          big: 'x'.repeat(200_000),
          logLevel: 'debug',
        }),
        env: { CNI_COMMAND: 'STATUS', CNI_PATH: '/opt/cni/bin' },
        encoding: 'utf8',
      },
    );
    return { status, document: stdout === '' ? '' : JSON.parse(stdout), stderr };
  };
  const whole = process(`async ({ request, log, noop }) => {
    log.debug('said');
    return { bytes: request.document.big.length, noop };
  }`);
  t.strictSame([whole.status, whole.document], [0, { bytes: 200_000, noop: true }]);
  t.match(JSON.parse(whole.stderr), { msg: 'said' });
  for (const crash of ["setTimeout(() => { throw new Error('odd'); })", "Promise.reject(new Error('odd'))"])
    t.match(process(`() => new Promise(() => void ${crash})`), { status: 1, document: { code: 999, msg: 'odd' } });
});

t.test('within a process an answer is an object, and a failure an error', async (t) => {
  const handlers = { ADD: nothing, DEL: nothing, CHECK: nothing, GC: failing, STATUS: async () => ({ a: 1 }) };
  const plugin = { name: 'plugin', version: '7.8.9', handlers };
  const document = { cniVersion: '1.1.0', name: 'net', type: 'plugin' };
  const around = (env: object = {}) => ({
    env: { CNI_PATH: '/opt/cni/bin', ...env },
    args: [],
    writeStderr: () => undefined,
  });
  t.strictSame(await ask(plugin, 'STATUS', document, around()), { a: 1 });
  await t.rejects(ask(plugin, 'GC', document, around()), { name: 'CniError', code: 50 });
  await t.rejects(ask(plugin, 'STATUS', document, around({ CNI_PATH: undefined })), { name: 'CniError', code: 4 });
});
