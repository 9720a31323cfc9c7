import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { VERSION } from '../../lib/version.ts';
import { ROOT } from './folder.ts';
import { makeArchive, makeBusyboxRoot, makeImage } from './image-archive.ts';
import { PAUSE_IMAGE } from './node-config.ts';
import { run } from './process.ts';

// The images that the cluster's nodes have. There is no registry: each is imported by the name that manifests have for it.

/** The name of our image in the manifests. */
export const WAYMARK_IMAGE = `ghcr.io/waymark-cni/waymark:${VERSION}`;
/** What the examples' pods run; busybox stands in. */
export const SHELL_IMAGE = 'docker.io/library/alpine:3.22';
const MULTUS_IMAGE = 'ghcr.io/k8snetworkplumbingwg/multus-cni';

const ARCHIVES = join(ROOT, '.tools/images');

/** The archive of an image with busybox in it, named as the sandboxes' image and as the examples'. */
export function baseArchive(): string {
  const busybox = readFileSync(run(['sh', '-c', 'command -v busybox']).trim());
  const archive = join(ARCHIVES, `base-${digest(busybox, readFileSync(import.meta.filename))}.tar`);
  if (!existsSync(archive)) {
    makeArchive(archive, [PAUSE_IMAGE, SHELL_IMAGE], (layout, work) => {
      const root = join(work, 'root');
      makeBusyboxRoot(root);
      // A program that is a container's first process ends by no other signal, unless it asks for it.
      makeImage(layout, root, ['/bin/sleep', '2000000000'], ['--config.stopsignal', 'SIGKILL']);
    });
  }
  return archive;
}

/** The archive of our own image, made of what `npm run build` made. Throws if nothing was built. */
export function waymarkArchive(): string {
  const built = join(ROOT, 'dist/bin/waymark');
  if (!existsSync(built)) throw new Error('nothing is built: run `npm run build` first');
  const { mtimeMs, size } = statSync(built);
  const archive = join(ROOT, 'build', `cluster-image-${digest(`${mtimeMs} ${size}`)}.tar`);
  if (!existsSync(archive)) {
    mkdirSync(join(ROOT, 'build'), { recursive: true });
    // Those of earlier builds.
    const others = ['-name', 'cluster-image-*', '!', '-name', `${basename(archive)}*`];
    run(['find', join(ROOT, 'build'), '-maxdepth', '1', ...others, '-delete']);
    makeArchive(archive, [WAYMARK_IMAGE], (layout) => {
      run(['bash', join(ROOT, 'scripts/build-image.sh'), layout], { timeoutSeconds: 300 });
    });
  }
  return archive;
}

/** The archive of Multus' image, thick or thin, with the programs in a folder. */
export function multusArchive(kind: 'thick' | 'thin', programs: string): string {
  const archive = join(ARCHIVES, `multus-${kind}-${digest(programs, readFileSync(import.meta.filename))}.tar`);
  if (!existsSync(archive)) {
    const tag = kind === 'thick' ? 'snapshot-thick' : 'snapshot';
    makeArchive(archive, [`${MULTUS_IMAGE}:${tag}`], (layout, work) => {
      const root = join(work, 'root');
      makeMultusRoot(kind, programs, root);
      makeImage(layout, root, kind === 'thick' ? ['/usr/src/multus-cni/bin/multus-daemon'] : ['/thin_entrypoint']);
    });
  }
  return archive;
}

// Where each program is in the images of the project itself, images/Dockerfile and images/Dockerfile.thick.
function makeMultusRoot(kind: 'thick' | 'thin', programs: string, root: string): void {
  const bin = join(root, 'usr/src/multus-cni/bin');
  for (const folder of [bin, join(root, 'etc'), join(root, 'tmp'), join(root, 'var'), join(root, 'run')]) {
    mkdirSync(folder, { recursive: true });
  }
  // The daemon panics without a user, and looks for its socket below /var/run.
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
  symlinkSync('/run', join(root, 'var/run'));
  const files =
    kind === 'thick'
      ? ['multus-daemon', 'multus-shim', 'install_multus', 'passthru'].map((name) => [name, join(bin, name)])
      : [
          ['multus', join(bin, 'multus')],
          ['passthru', join(bin, 'passthru')],
          ['install_multus', join(root, 'install_multus')],
          ['thin_entrypoint', join(root, 'thin_entrypoint')],
        ];
  for (const [from = '', to = ''] of files) run(['cp', join(programs, from), to]);
}

function digest(...parts: readonly (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex').slice(0, 12);
}
