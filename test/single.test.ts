import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { VERSION } from '../lib/version.ts';
import { glibcNeededBy } from './support/build/glibc.ts';
import { type Ended, installed, noSingle, shell, start, startInParallel } from './support/build/single.ts';
import { noNamespaces, run, type Scratch, scratchFolder, scratchPod, works } from './support/namespaces/namespace.ts';
import { bundleOf, type Env, variables } from './support/plugins/call.ts';
import { noStrace } from './support/plugins/killed.ts';
import { PLUGINS, type PluginUnderTest } from './support/plugins/plugins.ts';
import { previousResult } from './support/plugins/previous-result.ts';
import { TOPOLOGY_YAML } from './support/plugins/topology.ts';

// The single-file executables of dist/bin, each test with links of its own. What a plugin does is shown elsewhere; here, that
// it is the same as the bundle, and that the file gets along wherever and however it is called.

const ASK_VERSION = { CNI_COMMAND: 'VERSION' };
const skip = noSingle || noNamespaces;

function configOf(name: string, dataDir: string, keys: object = {}): object {
  return { cniVersion: '1.1.0', name: 'net', type: name, dataDir, ...keys };
}

/** The unpacked addon, by the folder of the executables: its path, if there is one and only one. */
function unpackedIn(folder: string): string {
  const names = readdirSync(join(folder, '.waymark'), { recursive: true, encoding: 'utf8' });
  const [build = '', file = '', ...more] = names.sort();
  if (!/^[0-9a-f]{16}$/.test(build) || file !== join(build, 'socket.node') || more.length > 0) {
    throw new Error(`unpacked is ${names.join(', ')}`);
  }
  return join(folder, '.waymark', file);
}

const ADDON = join(import.meta.dirname, '../native/build/socket.node');

function isWhole(path: string): boolean {
  return readFileSync(path).equals(readFileSync(ADDON));
}

t.test('every plugin answers as its bundle does, byte for byte', { skip }, async (t) => {
  for (const entry of PLUGINS) {
    t.test(entry.name, async (t) => {
      const folder = installed(t);
      const pod = scratchPod(t);
      const dataDir = join(scratchFolder(t), 'data');
      const steps = stepsOf(entry, pod, dataDir);
      const playedBy = (file: string, args: string[]) =>
        steps.map(([what, env, stdin]) => [what, timeless(start(file, env, stdin, args)), pictureOf(pod)]);
      const before = pictureOf(pod);
      const bundle = playedBy(process.execPath, [bundleOf(entry.name)]);
      t.equal(pictureOf(pod), before, 'all is as before in between');
      const single = playedBy(join(folder, entry.name), []);
      for (const [i, step] of single.entries()) t.strictSame(step, bundle[i], String(step[0]));
      t.ok(isWhole(unpackedIn(folder)));
    });
  }
});

type Step = [what: string, env: Env, stdin: unknown];

/** Each verb, and each way to be refused that the plugins have in common. */
function stepsOf({ name, config: keys, adds }: PluginUnderTest, pod: Scratch, dataDir: string): Step[] {
  const prevResult = previousResult('1.1.0', pod.path);
  const config = configOf(name, dataDir, { ...keys, ...adds?.config, prevResult });
  const verb = (command: string, more: Env = {}) => variables(command, pod.path, more);
  return [
    ['VERSION', ASK_VERSION, ''],
    ['no command', {}, ''],
    ['STATUS', verb('STATUS'), config],
    ['CHECK before ADD', verb('CHECK'), config],
    ['ADD', verb('ADD'), config],
    ['ADD again', verb('ADD'), config],
    ['CHECK', verb('CHECK'), config],
    ['DEL', verb('DEL'), config],
    ['DEL again', verb('DEL'), config],
    ['GC', verb('GC'), config],
    [
      'ADD of version 0.2.0',
      verb('ADD'),
      { ...config, cniVersion: '0.2.0', prevResult: previousResult('0.2.0', pod.path) },
    ],
    ['DEL of version 0.2.0', verb('DEL'), { ...config, cniVersion: '0.2.0' }],
    ['unchained ADD', verb('ADD'), { ...config, prevResult: undefined }],
    ['unchained DEL', verb('DEL'), { ...config, prevResult: undefined }],
    ['unknown command', { CNI_COMMAND: 'NONE' }, config],
    ['missing variables', { CNI_COMMAND: 'ADD' }, config],
    ['no such namespace', variables('ADD', '/run/netns/wm-nowhere'), config],
    ['no namespace', variables('ADD', '/dev/null'), config],
    ['our own namespace', variables('ADD', '/proc/self/ns/net'), config],
    ['nothing on stdin', verb('ADD'), ''],
    ['no JSON on stdin', verb('ADD'), '{"name": '],
    ['a misspelt key', verb('ADD'), { ...config, interfaces: 'eth0' }],
    [
      'a wrong previous result',
      verb('ADD'),
      { ...config, prevResult: { cniVersion: '1.1.0', ips: [{ address: 'x' }] } },
    ],
    ['no such interface', verb('ADD'), { ...config, interface: 'eth9' }],
    ['no data folder', verb('ADD'), { ...config, ...adds?.config, dataDir: '/dev/null/data' }],
  ];
}

/** The log has the time of every line. */
function timeless({ stderr, ...rest }: Ended): Ended {
  return { ...rest, stderr: stderr.replaceAll(/"time":"[^"]*"/g, '"time":""') };
}

function pictureOf(pod: Scratch): string {
  const addresses = pod.ipJson('address show').map(({ ifname, altnames, operstate, addr_info }) => ({
    ifname,
    altnames,
    operstate,
    addr_info,
  }));
  return JSON.stringify([addresses, pod.routes()]);
}

t.test('the command', { skip }, async (t) => {
  const folder = installed(t);
  const waymark = join(folder, 'waymark');

  t.test('tells its version and its help, and refuses what it does not know', async (t) => {
    t.match(start(waymark, {}, '', ['--version']), { code: 0, stdout: `${VERSION}\n`, stderr: '' });
    t.match(start(waymark, {}, '', ['--help']), {
      code: 0,
      stdout: /Usage: waymark .*\n[\s\S]* routes .*\n/,
      stderr: '',
    });
    for (const args of [['nonsense'], ['--inspect'], ['--eval', '1'], ['--expose-gc']]) {
      t.match(start(waymark, {}, '', args), { code: 1, stdout: '', stderr: /^error: unknown/ }, args.join(' '));
    }
  });

  t.test('an executable of any other name is the command', async (t) => {
    for (const name of ['foo', 'static-route.bak', 'Static-Route', '.static-route.tmp']) {
      linkSync(waymark, join(folder, name));
      t.match(start(join(folder, name), ASK_VERSION, '', ['--version']), { code: 0, stdout: `${VERSION}\n` }, name);
    }
  });

  t.test('cni runs a list of the executables beside it', async (t) => {
    const pod = scratchPod(t);
    const lists = scratchFolder(t);
    const cache = scratchFolder(t);
    const dataDir = join(scratchFolder(t), 'data');
    const plugins = PLUGINS.map(({ name, config, adds }) => ({ type: name, dataDir, ...config, ...adds?.config }));
    writeFileSync(join(lists, 'net.conflist'), JSON.stringify({ cniVersion: '1.1.0', name: 'net', plugins }));
    const env = { CNI_PATH: folder, NETCONFPATH: lists };
    const cni = (verb: string) => start(waymark, env, '', ['cni', verb, 'net', pod.path, '--cache-dir', cache]);
    const before = pod.routes();
    const added = cni('add');
    t.equal(added.code, 0, added.stderr);
    t.match(JSON.parse(added.stdout), { cniVersion: '1.1.0', interfaces: [{ name: /^net[0-9a-f]{12}$/ }] });
    t.match(cni('check'), { code: 0, stdout: '' });
    t.match(cni('status'), { code: 0, stdout: '' });
    t.match(cni('del'), { code: 0, stdout: '' });
    t.equal(pod.routes(), before);
    t.match(cni('check'), { code: 1, stdout: '', stderr: /^waymark: .*"static-route" failed \(check\)/m });
  });

  t.test('routes reads a map in YAML', async (t) => {
    const pod = scratchPod(t);
    pod.ip('link add net1 type veth peer name wire1');
    pod.ip('link set wire1 up');
    pod.ip('link set net1 up');
    pod.ip('address add 140.252.147.50/28 dev net1');
    const map = join(scratchFolder(t), 'map.yaml');
    writeFileSync(map, TOPOLOGY_YAML);
    const args = ['netns', 'exec', pod.name, waymark, 'routes', '--config', map];
    const ran = start('ip', { PATH: process.env.PATH }, '', args);
    t.equal(ran.code, 0, ran.stderr);
    t.match(ran.stdout, /\nadded 2 routes\n$/);
    t.equal(pod.ipJson('route show proto 87').length, 2);
  });
});

t.test('static-route reads a map in YAML, which a call without one does not load', { skip }, async (t) => {
  const folder = installed(t);
  const pod = scratchPod(t);
  pod.ip('address add 140.252.147.50/28 dev eth0');
  const topologyFile = join(scratchFolder(t), 'map.yaml');
  writeFileSync(topologyFile, TOPOLOGY_YAML);
  const config = configOf('static-route', join(scratchFolder(t), 'data'), { topologyFile });
  const ran = start(join(folder, 'static-route'), variables('ADD', pod.path), config);
  t.equal(ran.code, 0, ran.stdout);
  t.equal(pod.ipJson('route show proto 87').length, 2);
});

t.test('the name that it is called by decides', { skip }, async (t) => {
  const folder = installed(t);
  const other = scratchFolder(t);
  const { stdout: answer } = start(process.execPath, ASK_VERSION, '', [bundleOf('static-route')]);
  const ways: [string, string, string, { cwd?: string; argv0?: string; path?: string }][] = [
    ['by relative path', './static-route', answer, { cwd: folder }],
    ['by relative path from elsewhere', `../${folder.split('/').at(-1)}/static-route`, answer, { cwd: other }],
    ['by PATH', 'static-route', answer, { path: folder }],
    ['as argv[0] says', join(folder, 'waymark'), answer, { argv0: 'static-route' }],
    ['as argv[0] says, whatever the file', join(folder, 'static-route'), '', { argv0: 'waymark' }],
  ];
  for (const [what, file, stdout, { path, ...options }] of ways) {
    const { code, ...ran } = start(file, { ...ASK_VERSION, ...(path && { PATH: path }) }, '', [], options);
    t.equal(ran.stdout, stdout, what);
    t.equal(code, stdout === '' ? 1 : 0, what);
  }
  symlinkSync(join(folder, 'waymark'), join(other, 'static-route'));
  symlinkSync(join(other, 'static-route'), join(other, 'seamless-gateway'));
  symlinkSync(join(folder, 'static-route'), join(other, 'waymark'));
  t.equal(start(join(other, 'static-route'), ASK_VERSION).stdout, answer, 'by symbolic link');
  t.match(start(join(other, 'seamless-gateway'), {}).stderr, 'CNI plugin seamless-gateway ', 'by a chain of them');
  t.equal(start(join(other, 'waymark'), {}, '', ['--version']).stdout, `${VERSION}\n`, 'by one to a plugin');
});

t.test('by symbolic link, the addon comes to lie beside the file, not beside the link', { skip }, async (t) => {
  const folder = installed(t);
  const other = scratchFolder(t);
  symlinkSync(join(folder, 'static-route'), join(other, 'static-route'));
  const config = configOf('static-route', join(scratchFolder(t), 'data'));
  t.match(start(join(other, 'static-route'), variables('STATUS', ''), config), { code: 0, stdout: '' });
  t.ok(isWhole(unpackedIn(folder)));
  t.strictSame(readdirSync(other), ['static-route']);
});

t.test('the environment', { skip }, async (t) => {
  const folder = installed(t);
  const file = join(folder, 'static-route');

  t.test('may be empty', async (t) => {
    t.match(start(file, {}), { code: 0, stdout: '', stderr: `CNI plugin static-route ${VERSION}\n` });
    t.match(start(join(folder, 'waymark'), {}, '', ['--version']), { code: 0, stdout: `${VERSION}\n` });
  });

  t.test('has no say in how the runtime works', async (t) => {
    const module = join(scratchFolder(t), 'module.cjs');
    writeFileSync(module, 'process.exit(42)');
    const plain = start(file, ASK_VERSION);
    for (const options of [`--require=${module}`, '--no-such-option', '--v8-options', '--stack-size=1']) {
      t.strictSame(start(file, { ...ASK_VERSION, NODE_OPTIONS: options }), plain, options);
    }
  });

  t.test('may name a folder that is gone, and the current one may be gone', async (t) => {
    const gone = mkdtempSync(join(scratchFolder(t), 'gone-'));
    const env = { ...ASK_VERSION, HOME: '/nowhere', TMPDIR: '/nowhere' };
    t.match(shell('cd "$1" && rmdir "$1" && exec "$0"', env, file, [gone]), { code: 0, stderr: '' });
  });
});

t.test('the standard streams', { skip }, async (t) => {
  const folder = installed(t);
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const file = join(folder, 'static-route');
  const routes = [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }];
  const ask = (verb: string, redirection: string, keys: object = { routes }) =>
    shell(`exec "$0" ${redirection}`, variables(verb, pod.path), file, [], configOf('static-route', dataDir, keys));

  t.test('stdin closed, or a folder: one error on stdout', async (t) => {
    for (const redirection of ['<&-', '</']) {
      const { code, stdout } = ask('ADD', redirection);
      t.equal(code, 1, redirection);
      t.match(JSON.parse(stdout).code, redirection === '</' ? 5 : 6);
    }
  });

  t.test('stdout closed: the journal is not written to in its place', async (t) => {
    t.match(ask('ADD', '>&-'), { signal: null, stdout: '' });
    const journal = readFileSync(join(dataDir, 'static-route', 'container-1-eth0.json'), 'utf8');
    t.match(JSON.parse(journal), { entries: [{}, { change: { op: 'add-route' } }] });
    t.match(ask('DEL', '>&-'), { code: 0, stdout: '' });
    t.strictSame(readdirSync(join(dataDir, 'static-route')), []);
  });

  t.test('stdout full: exit code 1 and a line on stderr', async (t) => {
    t.match(ask('ADD', '>/dev/full'), { code: 1, stderr: /cannot answer: ENOSPC/ });
    t.match(ask('DEL', '>/dev/full'), { code: 0 }, 'DEL has nothing to say');
    t.match(ask('ADD', '>/dev/full', { routes: 1 }), { code: 1, stderr: /cannot answer: ENOSPC/ });
    for (const args of [['--version'], ['--help']]) {
      const ran = shell('exec "$0" "$@" >/dev/full', {}, join(folder, 'waymark'), args);
      t.match(ran, { code: 1, stderr: /^waymark: ENOSPC/ }, args.join(' '));
      t.notMatch(ran.stderr, /\n\s+at /);
    }
  });

  t.test('stderr closed or full: the answer is the same', async (t) => {
    const plain = ask('ADD', '', { routes: 1 });
    t.match(JSON.parse(plain.stdout), { code: 7 });
    const closed = ask('ADD', '2>&-', { routes: 1 });
    t.strictSame([closed.code, closed.stdout], [1, plain.stdout], 'closed');
    const full = ask('ADD', '2>/dev/full', { routes: 1 });
    t.strictSame([full.code, full.stdout], [1, plain.stdout], 'full');
  });

  t.test('all closed: it does what it is asked to, without a crash', async (t) => {
    t.match(shell('exec "$0" <&- >&- 2>&-', ASK_VERSION, file), { signal: null, code: 0, stdout: '', stderr: '' });
  });
});

t.test('what a call writes', { skip: noSingle || noStrace }, async (t) => {
  const folder = installed(t);
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const config = configOf('static-route', dataDir, { routes: [{ dst: '10.9.0.0/16', gw: '10.244.1.1' }] });
  const file = join(folder, 'static-route');
  const writesOf = (verb: string) => traced(t, file, variables(verb, pod.path), config).filter(changesFiles);
  const journal = join(dataDir, 'static-route', 'container-1-eth0.json');

  t.test('VERSION: nothing, and it unpacks nothing', async (t) => {
    t.strictSame(writesOf('VERSION'), []);
    t.notOk(existsSync(join(folder, '.waymark')));
  });

  t.test('an error that needs no socket: nothing', async (t) => {
    t.strictSame(traced(t, file, variables('ADD', '/nowhere'), config).filter(changesFiles), []);
    t.notOk(existsSync(join(folder, '.waymark')));
  });

  t.test('the first: the addon, beside the executable', async (t) => {
    const paths = writesOf('STATUS').flatMap((line) => line.match(/"[^"]+"/g) ?? []);
    t.ok(paths.length > 0);
    t.strictSame(
      paths.filter((path) => !path.startsWith(`"${folder}/.waymark`) && !path.startsWith(`"${dataDir}`)),
      [],
    );
    t.ok(isWhole(unpackedIn(folder)));
  });

  t.test('ADD: the journal, by way of its temporary file, and nothing else', async (t) => {
    const lines = writesOf('ADD').join('\n');
    t.equal(lines.split('\n').length, 2, lines);
    t.match(
      lines,
      new RegExp(`openat\\(.*"${dataDir}/static-route/\\.container-1-eth0\\.json\\.tmp".*\\nrename\\(.*"${journal}"`),
    );
  });

  t.test('CHECK: nothing', async (t) => {
    t.strictSame(writesOf('CHECK'), []);
  });

  t.test('DEL: the journal goes', async (t) => {
    t.match(writesOf('DEL'), [new RegExp(`^unlink\\("${journal}"`)]);
  });
});

t.test('fifty calls at once, the first of a build', { skip, timeout: 120_000 }, async (t) => {
  const folder = installed(t);
  const pod = scratchPod(t);
  // Which is not there yet either.
  const dataDir = join(scratchFolder(t), 'a', 'b', 'data');
  const before = pod.routes();
  const ask = (verb: string) =>
    fifty((i) => {
      const config = configOf('static-route', dataDir, { routes: [{ dst: `10.9.${i}.0/24`, gw: '10.244.1.1' }] });
      const env = variables(verb, pod.path, { CNI_CONTAINERID: `container-${i}` });
      return startInParallel(join(folder, 'static-route'), env, config);
    });
  t.strictSame(failuresIn(await ask('ADD')), []);
  t.equal(pod.ipJson('route show proto 87').length, 50);
  t.ok(isWhole(unpackedIn(folder)), 'there is one file at the end, and it is whole');
  t.strictSame(failuresIn(await ask('DEL')), []);
  t.equal(pod.routes(), before);
});

t.test('an executable that is replaced while fifty calls run', { skip, timeout: 120_000 }, async (t) => {
  const folder = installed(t);
  const dataDir = join(scratchFolder(t), 'data');
  const file = join(folder, 'static-route');
  // Two different files in turn, so that those which run lose theirs.
  copyFileSync(file, join(folder, 'copy'));
  let replaced = 0;
  const timer = setInterval(() => {
    const next = join(folder, '.static-route.tmp');
    linkSync(join(folder, replaced % 2 === 0 ? 'copy' : 'waymark'), next);
    renameSync(next, file);
    replaced++;
  }, 5);
  t.teardown(() => clearInterval(timer));
  const ended = await fifty((i) =>
    startInParallel(file, variables('STATUS', '', { CNI_CONTAINERID: `c${i}` }), configOf('static-route', dataDir)),
  );
  clearInterval(timer);
  t.strictSame(failuresIn(ended), []);
  t.ok(replaced > 2, `${replaced} times`);
  t.ok(isWhole(unpackedIn(folder)));
});

t.test(
  'killed while it unpacks, it leaves nothing that disturbs the next call',
  { skip: noSingle || noStrace },
  async (t) => {
    const folder = installed(t);
    const dataDir = join(scratchFolder(t), 'data');
    const file = join(folder, 'static-route');
    const env = variables('STATUS', '');
    const config = configOf('static-route', dataDir);
    const points = pointsOf(traced(t, file, env, config), '/.waymark');
    t.match(new Set(points.map(([syscall]) => syscall)), new Set(['mkdir', 'openat', 'write', 'rename', 'rmdir']));
    for (const [syscall, nth] of points) {
      rmSync(join(folder, '.waymark'), { recursive: true });
      const inject = `inject=${syscall}:signal=SIGKILL:when=${nth}`;
      const options = ['-f', '-qqq', '-o', '/dev/null', '-e', `trace=${syscall}`, '-e', inject];
      const killed = start('strace', { PATH: process.env.PATH, ...env }, config, [...options, file]);
      t.equal(killed.signal, 'SIGKILL', `${syscall} number ${nth}`);
      t.match(start(file, env, config), { code: 0, stdout: '', stderr: '' });
      t.ok(
        readdirSync(join(folder, '.waymark')).every((build) => isWhole(join(folder, '.waymark', build, 'socket.node'))),
      );
    }
  },
);

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

t.test('a host without our luxuries', { skip }, async (t) => {
  const root = bareRoot(t);
  t.strictSame(
    readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /(^|\/)(sh|bash|node|ip|env)$/.test(name),
    ),
    [],
  );
  for (const { name, config: keys, adds } of PLUGINS) {
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
      t.not(pictureOf(pod), before);
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

function fifty<T>(work: (i: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: 50 }, (_, i) => work(i)));
}

function failuresIn(ended: Ended[]): Ended[] {
  return ended.filter(({ code }) => code !== 0);
}

/** What a call asks of the kernel that has to do with files, by strace: the main thread's lines, without its number. */
function traced(t: Test, file: string, env: Env, stdin: object): string[] {
  const output = join(scratchFolder(t), 'trace');
  const kinds = 'trace=%file,write,pwrite64,ftruncate,fchmod,fchown,fallocate,copy_file_range,sendfile';
  const options = ['-f', '-qqq', '-y', '-s', '4096', '-e', kinds, '-e', 'signal=none', '-o', output];
  start('strace', { PATH: process.env.PATH, ...env }, stdin, [...options, file]);
  const lines = wholeCalls(readFileSync(output, 'utf8').split('\n'));
  const [main = ''] = (lines[0] ?? '').split(' ');
  const others = lines.filter((line) => line !== '' && !line.startsWith(`${main} `));
  const writing = others.filter((line) => changesFiles(line.replace(/^\d+ +/, '')));
  if (writing.length > 0) throw new Error(`other threads write: ${writing.join('\n')}`);
  return lines.filter((line) => line.startsWith(`${main} `)).map((line) => line.slice(main.length + 1).trimStart());
}

const READS =
  /^(execve|access|faccessat2?|stat|lstat|newfstatat|statx|statfs|readlink|readlinkat|getcwd|open|openat)\(/;

// A call that another thread came into is two lines of strace: they are put together where it ended.
function wholeCalls(lines: readonly string[]): string[] {
  const begun = new Map<string, string>();
  return lines.flatMap((line) => {
    const [thread = ''] = line.split(' ');
    const start = /^(.*) <unfinished \.\.\.>$/.exec(line)?.[1];
    if (start !== undefined) begun.set(thread, start);
    const rest = /<\.\.\. \w+ resumed>(.*)$/.exec(line)?.[1];
    return start !== undefined ? [] : [rest === undefined ? line : `${begun.get(thread)}${rest}`];
  });
}

/** Does this line of strace say that a file was made, changed or removed? */
function changesFiles(line: string): boolean {
  if (/= -1 E/.test(line)) return false;
  if (/^open(at)?\(/.test(line)) return /O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)/.test(line);
  // A write to a file is behind an open that was counted already; to a pipe or a socket, it changes no file.
  return !READS.test(line) && !/^p?write(64)?\(/.test(line);
}

/** The system calls that have to do with a path, and which of their kind they are. */
function pointsOf(lines: string[], path: string): [syscall: string, nth: number][] {
  const counts = new Map<string, number>();
  return lines.flatMap((line): [string, number][] => {
    const syscall = /^\w+/.exec(line)?.[0] ?? '';
    const nth = (counts.get(syscall) ?? 0) + 1;
    counts.set(syscall, nth);
    const changes = ['mkdir', 'openat', 'write', 'rename', 'unlink', 'unlinkat', 'rmdir'].includes(syscall);
    return changes && line.includes(path) ? [[syscall, nth]] : [];
  });
}
