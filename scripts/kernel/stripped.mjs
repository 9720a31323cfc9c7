import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

// Loaded first by each Node.js of an emulated machine: the project's TypeScript comes from a folder where the host has left it
// without its types. To take them out there takes half a minute.

const ROOT = join(import.meta.dirname, '../..');
const STRIPPED = process.env.WAYMARK_STRIPPED ?? '';

registerHooks({
  load(url, context, next) {
    if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
    const source = readFileSync(join(STRIPPED, relative(ROOT, fileURLToPath(url))));
    return { format: 'module', source, shortCircuit: true };
  },
});
