import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from './process.ts';

// Container images as OCI layouts: folders of blobs with an index.json.

/** Packs the one image of a layout into an archive, from which containerd imports it by these whole names. */
export function packImage(layout: string, names: string | readonly string[], archive: string): void {
  const named = mkdtempSync(join(tmpdir(), 'waymark-image-'));
  try {
    const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: object[] };
    const manifests = index.manifests.flatMap((manifest) =>
      [names].flat().map((name) => ({ ...manifest, annotations: { 'io.containerd.image.name': name } })),
    );
    writeFileSync(join(named, 'index.json'), JSON.stringify({ ...index, manifests }));
    run(['tar', '-cf', archive, '-C', layout, 'oci-layout', 'blobs', '-C', named, 'index.json']);
  } finally {
    rmSync(named, { recursive: true });
  }
}

/** Makes an image of one layer: a folder's content. `entrypoint` is what it starts; more settings as `umoci config` has them. */
export function makeImage(
  layout: string,
  root: string,
  entrypoint: readonly string[],
  settings: readonly string[] = [],
): void {
  const image = `${layout}:1`;
  run(['umoci', 'init', '--layout', layout]);
  run(['umoci', 'new', '--image', image]);
  run(['umoci', 'insert', '--image', image, root, '/']);
  run([
    'umoci',
    'config',
    '--image',
    image,
    ...entrypoint.flatMap((word) => ['--config.entrypoint', word]),
    ...settings,
  ]);
}

/** Makes the root of an image with busybox and links for all of its commands. */
export function makeBusyboxRoot(root: string): void {
  const busybox = run(['sh', '-c', 'command -v busybox']).trim();
  mkdirSync(join(root, 'bin'), { recursive: true });
  cpSync(busybox, join(root, 'bin/busybox'));
  for (const applet of run(['busybox', '--list']).trim().split('\n')) {
    const link = join(root, 'bin', applet);
    if (!existsSync(link)) symlinkSync('busybox', link);
  }
  for (const folder of ['etc', 'tmp', 'proc', 'sys', 'dev']) mkdirSync(join(root, folder));
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
}

/** Makes an archive by what `make` does in a folder that is gone afterwards; the archive appears whole. */
export function makeArchive(archive: string, names: readonly string[], make: (layout: string, work: string) => void) {
  mkdirSync(dirname(archive), { recursive: true });
  const work = mkdtempSync(join(tmpdir(), 'waymark-image-'));
  try {
    const layout = join(work, 'layout');
    make(layout, work);
    packImage(layout, names, `${archive}.${process.pid}`);
    run(['mv', `${archive}.${process.pid}`, archive]);
  } finally {
    rmSync(work, { recursive: true });
  }
}
