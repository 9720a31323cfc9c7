import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PLUGIN_NAMES } from '../plugins/index.ts';
import { agentProcess } from './support/agent/agent.ts';
import { testShimsAlone } from './support/agent/bare-root.ts';
import { Machine, mustRunScript, output, runScript, standInBuild } from './support/build/scripts.ts';
import { noMounts } from './support/namespaces/enclosed.ts';
import { scratchFolder, works } from './support/namespaces/namespace.ts';
import { PLUGINS as CONFORMING } from './support/plugins/plugins.ts';

// The image as scripts/build-image.sh makes it, read by other programs: skopeo, tar, and chroot.

const ROOT = join(import.meta.dirname, '..');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
const [triplet, loader, machine] =
  process.arch === 'arm64'
    ? ['aarch64-linux-gnu', 'lib/ld-linux-aarch64.so.1', Machine.arm64]
    : ['x86_64-linux-gnu', 'lib64/ld-linux-x86-64.so.2', Machine.amd64];

const noImage: string | false = !works('umoci', ['--version'])
  ? 'needs umoci'
  : !works('skopeo', ['--version'])
    ? 'needs skopeo'
    : false;
const noChroot: string | false = noImage || (process.getuid?.() !== 0 ? 'needs root' : false);

const LIBRARIES = [
  'atomic.so.1',
  'c.so.6',
  'dl.so.2',
  'gcc_s.so.1',
  'm.so.6',
  'pthread.so.0',
  'rt.so.1',
  'stdc++.so.6',
];
const PACKAGES = ['libatomic1', 'libc6', 'libgcc-s1', 'libstdc++6'];
const PLUGINS = PLUGIN_NAMES.toSorted();

/** Every file of the image, but for the one package whose name has GCC's version in it. */
const FILES = [
  'etc/group',
  'etc/os-release',
  'etc/passwd',
  ...LIBRARIES.map((name) => `lib/${triplet}/lib${name}`),
  loader,
  ...[...PLUGINS, 'waymark'].map((name) => `opt/waymark/bin/${name}`),
  ...PLUGINS.map((name) => `opt/waymark/shim/${name}`),
  ...PACKAGES.map((name) => `usr/share/doc/${name}/copyright`),
  'usr/share/doc/waymark/LICENSE',
  'usr/share/doc/waymark/THIRD-PARTY-LICENSES',
  ...PACKAGES.map((name) => `var/lib/dpkg/status.d/${name}`),
];

t.test('the image of the build', { skip: noImage }, async (t) => {
  const layout = join(scratchFolder(t), 'image');
  mustRunScript('build-image.sh', [layout]);
  const image = `oci:${layout}:waymark:${version}`;
  const layers: string[] = JSON.parse(output('skopeo', ['inspect', '--raw', image])).layers.map(
    ({ digest }: { digest: string }) => join(layout, 'blobs', digest.replace(':', '/')),
  );
  const entries = layers.flatMap((layer) => output('tar', ['-tvzf', layer]).trim().split('\n'));

  t.test('has the labels, the entry point and the variables of the Dockerfile, filled in', async (t) => {
    const { created, config, architecture, os } = JSON.parse(output('skopeo', ['inspect', '--config', image]));
    const time = new Date(output('git', ['-C', ROOT, 'log', '-1', '--format=%cI']).trim());
    const labels = config.Labels;
    t.equal(labels['org.opencontainers.image.title'], 'waymark');
    t.equal(labels['org.opencontainers.image.version'], version);
    t.equal(labels['org.opencontainers.image.licenses'], 'Apache-2.0');
    t.match(labels['org.opencontainers.image.source'], /^https:/);
    t.match(labels['org.opencontainers.image.revision'], output('git', ['-C', ROOT, 'rev-parse', 'HEAD']).trim());
    t.equal(Date.parse(labels['org.opencontainers.image.created']), time.getTime());
    t.equal(Date.parse(created), time.getTime());
    const inDockerfile = [...dockerfile.matchAll(/org\.opencontainers\.image\.\w+(?==)/g)].map(([label]) => label);
    t.strictSame(Object.keys(labels).sort(), inDockerfile.sort());
    t.strictSame(config.Entrypoint, ['/opt/waymark/bin/waymark']);
    t.match(dockerfile, `ENTRYPOINT ${JSON.stringify(config.Entrypoint)}`);
    t.strictSame(config.Env, ['PATH=/opt/waymark/bin']);
    t.strictSame([os, architecture], ['linux', process.arch === 'arm64' ? 'arm64' : 'amd64']);
  });

  t.test('holds the executables, their libraries, whose those are, and no other file', async (t) => {
    const files = layers.flatMap((layer) => output('tar', ['-tzf', layer]).trim().split('\n'));
    t.strictSame(files.filter((file) => !file.endsWith('/') && !/gcc-\d+-base$/.test(file)).sort(), FILES.toSorted());
  });

  t.test('has no executables but its own and glibc’s two, all of them root’s', async (t) => {
    const executables = entries.filter((entry) => /^.rwx/.test(entry) && !entry.startsWith('d')).map(nameIn);
    t.strictSame(
      executables.filter((name) => !name.startsWith('opt/waymark/')).sort(),
      [loader, `lib/${triplet}/libc.so.6`].sort(),
    );
    t.strictSame(
      entries.filter((entry) => !/^[dh-]r[w-][x-]r-[x-]r-[x-] 0\/0 /.test(entry)),
      [],
    );
  });

  t.test('keeps the hard links: each name after the first leads to the first', async (t) => {
    const links = entries.flatMap((entry) => / (\S+) link to (\S+)$/.exec(entry)?.slice(1, 3).join(' -> ') ?? []);
    const linksIn = (folder: string, [first, ...others]: readonly string[]) =>
      others.map((name) => `opt/waymark/${folder}/${name} -> opt/waymark/${folder}/${first}`);
    t.strictSame(links, [...linksIn('bin', [...PLUGINS, 'waymark'].sort()), ...linksIn('shim', PLUGINS)]);
    t.ok(links.length >= 5);
  });

  t.test('is less than 7 MB apart from the executables', async (t) => {
    const system = entries.filter((entry) => !nameIn(entry).startsWith('opt/'));
    t.ok(system.reduce((sum, entry) => sum + Number(entry.split(/\s+/)[2]), 0) < 7e6);
  });

  t.test('runs with nothing but its own files', { skip: noChroot }, async (t) => {
    const bundle = join(scratchFolder(t), 'bundle');
    output('umoci', ['unpack', '--image', image.slice('oci:'.length), bundle]);
    const root = join(bundle, 'rootfs');
    const run = (name: string, variables: string[], ...args: string[]) =>
      spawnSync('env', ['-i', ...variables, '/usr/sbin/chroot', root, `/opt/waymark/bin/${name}`, ...args], {
        encoding: 'utf8',
        input: '',
      });
    t.match(run('waymark', [], '--version'), { status: 0, stdout: `${version}\n` });
    for (const plugin of PLUGINS) {
      const { status, stdout } = run(plugin, ['CNI_COMMAND=VERSION']);
      t.equal(status, 0, plugin);
      t.match(JSON.parse(stdout), { cniVersion: '1.1.0' });
    }
    const { ino } = statSync(join(root, 'opt/waymark/bin/waymark'));
    t.equal(statSync(join(root, 'opt/waymark/bin/static-route')).ino, ino);

    t.test('and its agent serves shims that have nothing but themselves', { skip: noMounts }, async (t) => {
      const folder = join(scratchFolder(t), 'run');
      for (const path of [folder, join(root, 'run'), join(root, 'proc')]) mkdirSync(path);
      const mounts = 'mount --bind "$1" "$0/run" && mount -t proc proc "$0/proc" && shift && exec chroot "$0" "$@"';
      const command = ['unshare', '-m', 'bash', '-c', mounts, root, folder, '/opt/waymark/bin/waymark', 'agent'];
      await agentProcess(t, { command, socket: '/run/agent.sock' });
      // Without --node, and an API server, it does not serve multi-network.
      const served = CONFORMING.filter(({ plugin }) => !plugin.runsOthers);
      await testShimsAlone(t, join(root, 'opt/waymark/shim'), join(folder, 'agent.sock'), { plugins: served });
    });
  });
});

t.test(
  'two builds of one commit have one digest, whatever the clock, the mask and the zone',
  { skip: noImage },
  async (t) => {
    const digests = ['022', '077'].map((mask, index) => {
      const folder = scratchFolder(t);
      const build = standInBuild(join(folder, 'dist'), { bin: machine, shim: machine });
      for (const name of PLUGINS) utimesSync(join(build, 'bin', name), index * 1e6, index * 1e6);
      const script = `umask ${mask}; exec bash ${ROOT}/scripts/build-image.sh ${folder}/image ${build}`;
      const { status, stderr } = spawnSync('bash', ['-c', script], {
        encoding: 'utf8',
        env: { ...process.env, TZ: index === 0 ? 'UTC' : 'Asia/Tokyo' },
      });
      t.equal(status, 0, stderr);
      return JSON.parse(readFileSync(join(folder, 'image/index.json'), 'utf8')).manifests[0].digest;
    });
    t.match(digests[0], /^sha256:/);
    t.equal(digests[0], digests[1]);
  },
);

t.test(
  'without the Debian archive, the installed libraries are taken, and that is said',
  { skip: noImage },
  async (t) => {
    const folder = scratchFolder(t);
    const build = standInBuild(join(folder, 'dist'), { bin: machine, shim: machine });
    writeFileSync(join(folder, 'apt-get'), '#!/bin/sh\nexit 100\n', { mode: 0o755 });
    const { stderr } = mustRunScript('image-root.sh', [build, join(folder, 'root')], {
      PATH: `${folder}:${process.env.PATH}`,
    });
    t.match(stderr, 'using the libraries that are installed here');
    const files = output('find', [join(folder, 'root'), '-type', 'f', '-printf', '%P\n'])
      .trim()
      .split('\n');
    t.strictSame(files.sort(), FILES.toSorted());
  },
);

t.test('a build without executables is refused, and what is missing is named', async (t) => {
  const folder = scratchFolder(t);
  const build = standInBuild(join(folder, 'dist'), { bin: machine });
  rmSync(join(build, 'bin/waymark'));
  const { status, stderr } = runScript('image-root.sh', [build, join(folder, 'root')]);
  t.equal(status, 1);
  t.match(stderr, /^missing: \S+\/bin\/waymark \S+\/shim\/static-route /m);
});

t.test('the Dockerfile takes its files from the script, with no shell and no other stage in the last', async (t) => {
  const stages = dockerfile.split(/^FROM /m).slice(1);
  const last = stages.at(-1) ?? '';
  t.match(last, /^scratch\n/);
  t.notMatch(last, /^(RUN|ADD|SHELL|CMD|HEALTHCHECK)/m);
  t.strictSame(last.match(/^COPY.*/gm), ['COPY --from=build /image/ /']);
  t.match(stages.at(-2), /^RUN .*scripts\/image-root\.sh dist \/image$/m);
  for (const stage of stages) t.match(stage, /^(scratch|build|\S+:\d+\.\d+\.\d+-\S+)[ \n]/, 'bases have full versions');
});

function nameIn(entry: string): string {
  return /\d\d:\d\d (\S+)/.exec(entry)?.[1] ?? '';
}
