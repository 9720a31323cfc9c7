import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { glibcNeededBy } from '../support/build/glibc.ts';
import {
  ADDON,
  ASK_VERSION,
  configOf,
  type Ended,
  installed,
  isWhole,
  noSingle,
  shell,
  start,
  unpackedIn,
} from '../support/build/single.ts';
import { noNamespaces, run, type Scratch, scratchFolder, scratchPod, works } from '../support/namespaces/namespace.ts';
import { pictureOf } from '../support/namespaces/picture.ts';
import { type Env, variables } from '../support/plugins/call.ts';
import { PLUGINS } from '../support/plugins/plugins.ts';
import { previousResult } from '../support/plugins/previous-result.ts';

// What the single-file executable needs of its host.

const skip = noSingle || noNamespaces;

t.test('where the addon cannot be put', { skip }, async (t) => {
  /** Runs a call where the executables' folder is read-only, and /var/lib is a file system mounted with these options. */
  const call = (t: Test, verb: string, options: string) => {
    const folder = installed(t);
    const pod = scratchPod(t);
    const mounts = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount -t tmpfs -o ${options} none /var/lib`;
    const env = { PATH: process.env.PATH, ...variables(verb, pod.path) };
    const config = configOf('static-route', join(scratchFolder(t), 'data'));
    const line = `unshare -m sh -c '${mounts} && exec "$0"' "$0" "$1"`;
    return { folder, ...shell(line, env, join(folder, 'static-route'), [folder], config) };
  };

  t.test('beside the executable, it goes to /var/lib/waymark', async (t) => {
    const { folder, code, stdout } = call(t, 'ADD', 'mode=755');
    t.equal(code, 0, stdout);
    t.notOk(existsSync(join(folder, '.waymark')));
  });

  t.test('anywhere, ADD and DEL fail with 5 and both reasons, STATUS with 50', async (t) => {
    for (const verb of ['ADD', 'CHECK', 'DEL', 'STATUS']) {
      const { folder, code, stdout } = call(t, verb, 'ro');
      t.equal(code, 1, verb);
      const { code: errorCode, msg } = JSON.parse(stdout);
      t.equal(errorCode, verb === 'STATUS' ? 50 : 5, verb);
      t.match(
        msg,
        `the native addon cannot be unpacked: ${folder}/.waymark: cannot be made (EROFS); /var/lib/waymark: `,
      );
    }
  });

  t.test('but where nothing may be executed, the error says so', async (t) => {
    const { code, stdout } = call(t, 'ADD', 'mode=755,noexec');
    t.equal(code, 1);
    t.match(JSON.parse(stdout), {
      code: 5,
      msg: /^the native addon cannot be loaded: \/var\/lib\/waymark\/.*failed to map/,
    });
  });
});

const noReadelf = works('readelf', ['--version']) ? false : 'needs readelf (Debian: binutils)';
const noQemu = noSingle || (works('qemu-x86_64', ['--version']) ? false : 'needs qemu-x86_64 (Debian: qemu-user)');

t.test('starts on a processor that has less than the one it was built on', { skip: noQemu }, async (t) => {
  const file = join(installed(t), 'static-route');
  const { stdout } = start(file, ASK_VERSION);
  t.equal(
    start('qemu-x86_64', { PATH: process.env.PATH, ...ASK_VERSION }, '', ['-cpu', 'qemu64', file]).stdout,
    stdout,
  );
});

t.test('needs glibc 2.28 only, and so does the addon in it', { skip: noSingle || noReadelf }, async (t) => {
  t.strictSame(glibcNeededBy(join(installed(t), 'waymark')), [2, 28]);
  const [major, minor] = glibcNeededBy(ADDON);
  t.ok(major === 2 && minor <= 28, `${major}.${minor}`);
});

t.test('has no symbols but those that others link with', { skip: noSingle || noReadelf }, async (t) => {
  const sections = run('readelf', ['--section-headers', '--wide', join(installed(t), 'waymark')]);
  t.match(sections, / \.dynsym /);
  t.notMatch(sections, / \.(symtab|debug_info) /);
});

t.test('a host without our luxuries', { skip }, async (t) => {
  const root = bareRoot(t);
  t.strictSame(
    readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /(^|\/)(sh|bash|node|ip|env)$/.test(name),
    ),
    [],
  );
  for (const { name, config: keys, idle, adds } of PLUGINS) {
    t.test(`runs ${name}`, async (t) => {
      const pod = scratchPod(t);
      const prevResult = previousResult('1.1.0', '/run/netns/pod');
      const config = {
        cniVersion: '1.1.0',
        name: 'net',
        type: name,
        logLevel: 'warn',
        ...keys,
        ...adds?.config,
        prevResult,
      };
      const ask = (verb: string) =>
        inRoot(root, pod, `/opt/cni/bin/${name}`, variables(verb, '/run/netns/pod'), config);
      const before = pictureOf(pod);
      t.match(ask('ADD'), { code: 0, stdout: /"cniVersion": "1.1.0"/, stderr: '' });
      const isIdle = adds === undefined && JSON.stringify(keys) === JSON.stringify(idle);
      t.equal(pictureOf(pod) === before, isIdle);
      t.match(ask('CHECK'), { code: 0, stdout: '', stderr: '' });
      t.match(ask('DEL'), { code: 0, stdout: '', stderr: '' });
      t.equal(pictureOf(pod), before);
    });
  }
  t.ok(isWhole(unpackedIn(join(root, 'opt/cni/bin'))));
});

/** A root folder of the executables, the dynamic loader, and the libraries that the executable names: nothing else. */
function bareRoot(t: Test): string {
  const root = scratchFolder(t);
  installed(t, join(root, 'opt/cni/bin'));
  const libraries = run('ldd', [join(root, 'opt/cni/bin/waymark')]).match(/\/\S+(?= \()/g) ?? [];
  for (const path of libraries) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    copyFileSync(path, join(root, path));
  }
  t.match(libraries.map((path) => path.split('/').at(-1)?.split('.')[0]).sort(), [
    ...['ld-linux-x86-64', 'libatomic', 'libc', 'libdl', 'libgcc_s', 'libm', 'libpthread', 'libstdc++'],
  ]);
  mkdirSync(join(root, 'proc'));
  mkdirSync(join(root, 'run/netns'), { recursive: true });
  writeFileSync(join(root, 'run/netns/pod'), '');
  return root;
}

/** Runs a program of such a root, with /proc, and the pod's namespace where the runtime would have put it. */
function inRoot(root: string, pod: Scratch, program: string, env: Env, stdin: object): Ended {
  const line = `exec unshare -m sh -c 'mount -t proc proc "$0/proc" && mount --bind "$1" "$0/run/netns/pod" && exec chroot "$0" "$2"' "$@"`;
  return shell(line, { PATH: process.env.PATH, ...env }, 'bash', [root, pod.path, program], stdin);
}
