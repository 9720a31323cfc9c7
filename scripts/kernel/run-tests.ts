import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

// Runs test files in one process, because loading tap takes ten seconds on an emulated machine: node run-tests.ts <file>…

for (const file of process.argv.slice(2)) await import(pathToFileURL(resolve(file)).href);
