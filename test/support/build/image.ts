import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../namespaces/namespace.ts';

// Container images as OCI layouts: folders of blobs with an index.json.

/** Makes an image with nothing but busybox, which sleeps: what pods are kept up by. */
export function pauseImage(layout: string): void {
  const image = `${layout}:1`;
  const busybox = run('sh', ['-c', 'command -v busybox']).trim();
  const entrypoint = ['/busybox', 'sleep', '2000000000'].flatMap((word) => ['--config.entrypoint', word]);
  run('umoci', ['init', '--layout', layout]);
  run('umoci', ['new', '--image', image]);
  run('umoci', ['insert', '--image', image, busybox, '/busybox']);
  run('umoci', ['config', '--image', image, ...entrypoint]);
}

/** Packs the one image of a layout into an archive, from which containerd imports it by this whole name. */
export function packImage(layout: string, name: string, archive: string): void {
  const named = mkdtempSync(join(tmpdir(), 'waymark-image-'));
  try {
    const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: object[] };
    const manifests = index.manifests.map((manifest) => ({
      ...manifest,
      annotations: { 'io.containerd.image.name': name },
    }));
    writeFileSync(join(named, 'index.json'), JSON.stringify({ ...index, manifests }));
    run('tar', ['-cf', archive, '-C', layout, 'oci-layout', 'blobs', '-C', named, 'index.json']);
  } finally {
    rmSync(named, { recursive: true });
  }
}
