import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { output } from './support/build/scripts.ts';
import { copyTree } from './support/build/tree.ts';
import { scratchFolder, works } from './support/namespaces/namespace.ts';

const ROOT = join(import.meta.dirname, '..');

/** The namespaces in which a snapshot is the same each time (scripts/build-single.sh). */
const NAMESPACES = ['--user', '--map-root-user', '--mount', '--pid', '--fork', 'true'];

// dist/ is one build; the other is made here, of a copy of the tree in another place.
t.test('the same tree in another folder gives the same bundles, shims and single-file executables', async (t) => {
  const copy = join(scratchFolder(t), 'elsewhere', 'waymark');
  copyTree(copy);
  const modules = join(ROOT, 'node_modules');
  output('sh', ['-c', `cp -al ${modules} ${copy} 2>/dev/null || cp -a ${modules} ${copy}`]);
  output('env', ['-u', 'NODE_OPTIONS', 'bash', join(copy, 'scripts/build.sh')]);
  const same = works('unshare', NAMESPACES) ? ['bundle', 'shim', 'bin'] : ['bundle', 'shim'];
  for (const folder of same.filter((name) => existsSync(join(ROOT, 'dist', name)))) {
    const here = hashesIn(join(ROOT, 'dist', folder));
    t.ok(Object.keys(here).length >= 3);
    t.strictSame(hashesIn(join(copy, 'dist', folder)), here, folder);
  }
});

function hashesIn(folder: string): { [file: string]: string } {
  // But for what the executables unpack beside themselves when they are called.
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => !file.startsWith('.'));
  return Object.fromEntries(
    files
      .sort()
      .filter((file) => statSync(join(folder, file)).isFile())
      .map((file) => [
        file,
        createHash('sha256')
          .update(readFileSync(join(folder, file)))
          .digest('hex'),
      ]),
  );
}
