import { run } from '../namespaces/namespace.ts';

// Container images as OCI layouts: folders of blobs with an index.json.

export { packImage } from '../../../scripts/cluster/image-archive.ts';

/** Builds an image that contains only busybox, which sleeps, to keep pods running. */
export function pauseImage(layout: string): void {
  const image = `${layout}:1`;
  const busybox = run('sh', ['-c', 'command -v busybox']).trim();
  const entrypoint = ['/busybox', 'sleep', '2000000000'].flatMap((word) => ['--config.entrypoint', word]);
  run('umoci', ['init', '--layout', layout]);
  run('umoci', ['new', '--image', image]);
  run('umoci', ['insert', '--image', image, busybox, '/busybox']);
  run('umoci', ['config', '--image', image, ...entrypoint]);
}
