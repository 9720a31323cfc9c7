import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { lstat, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { mustRunScript, output } from './support/build/scripts.ts';
import { scratchFolder, works } from './support/namespaces/namespace.ts';

// The Dockerfile, as buildah builds it, beside scripts/build-image.sh. Docker's base image cannot be had everywhere: one of
// this machine's Debian packages stands in (test/support/build/docker-build.sh).

const ROOT = join(import.meta.dirname, '..');
const script = (name: string) => join(import.meta.dirname, 'support/build', name);
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
const BASE = /^FROM (node:\S+) AS build$/m.exec(dockerfile)?.[1] ?? '';
/** That of the executables in dist/, a hash of all that is in them beside Node.js. */
const buildId = () => readFileSync(join(ROOT, 'build/single/build-id'), 'utf8');

t.setTimeout(15 * 60_000);

t.test('the Dockerfile gives the files and settings of scripts/build-image.sh', { skip: missing() }, async (t) => {
  const tar = spawnSync('bash', [script('base-tar.sh')], { encoding: 'utf8' });
  if (tar.status !== 0) {
    t.pass('the image', { skip: `no stand-in for the base image: ${tar.stderr.trimEnd().split('\n').at(-1)}` });
    return;
  }
  const folder = scratchFolder(t);
  const REVISION = output('git', ['-C', ROOT, 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']).trim();
  const time = Number(output('git', ['-C', ROOT, 'log', '-1', '--format=%ct']));
  const provenance = { REVISION, SOURCE_DATE_EPOCH: String(time) };
  const CREATED = new Date(time * 1000).toISOString().replace('.000', '');
  const given = Object.entries({ VERSION: version, CREATED, ...provenance }).map(
    ([name, value]) => `--build-arg=${name}=${value}`,
  );
  const layout = `${join(folder, 'docker')}:waymark:${version}`;
  output('unshare', ['--mount', 'bash', script('docker-build.sh'), tar.stdout.trimEnd(), layout, ...given]);
  mustRunScript('build-image.sh', [join(folder, 'ours')], provenance);

  const [docker = '', ours = ''] = ['docker', 'ours'].map((name) => {
    output('umoci', ['unpack', '--image', `${join(folder, name)}:waymark:${version}`, join(folder, `${name}-bundle`)]);
    return join(folder, `${name}-bundle/rootfs`);
  });
  const files = await filesIn(ours);
  t.strictSame(await filesIn(docker), files);
  t.ok(files.length > 30);
  t.strictSame(settings(join(folder, 'docker')), settings(join(folder, 'ours')));
});

// Type, mode, owner, number of names and content of everything in a folder. A snapshot is the same only where its builder can
// create namespaces (scripts/build-single.sh), which nobody can in buildah's chroot: there the build's id is compared.
function filesIn(folder: string): Promise<string[]> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  return Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      const { mode, uid, gid, nlink, size } = await lstat(path);
      const type = mode & 0o170000;
      const content =
        type === 0o120000 ? await readlink(path) : type === 0o100000 ? `${nlink} ${size} ${contentOf(name, path)}` : '';
      return `${mode.toString(8)} ${uid}:${gid} ${name} ${content}`;
    }),
  );
}

function contentOf(name: string, path: string): string {
  const content = readFileSync(path);
  if (name.startsWith('opt/waymark/bin/') && content.includes(buildId())) return buildId();
  return createHash('sha256').update(content).digest('hex');
}

// What does not depend on the tool and its clock.
function settings(layout: string): object {
  const { config, os, architecture } = JSON.parse(
    output('skopeo', ['inspect', '--config', `oci:${layout}:waymark:${version}`]),
  );
  const { 'io.buildah.version': _, ...labels } = config.Labels;
  return { os, architecture, ...config, Labels: labels };
}

function missing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  const lacks = ['buildah', 'mmdebstrap', 'umoci', 'skopeo', 'npm'].filter((tool) => !works(tool, ['--version']));
  if (lacks.length > 0) return `needs ${lacks.join(', ')}`;
  const release = readFileSync('/etc/os-release', 'utf8');
  // The image's libraries are those of the machine that build-image.sh runs on.
  const codename = /-(\w+)-slim$/.exec(BASE)?.[1];
  return release.includes(`VERSION_CODENAME=${codename}`) ? false : `needs Debian ${codename}, as the Dockerfile does`;
}
