import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

// Reads the bundler's statistics for each bundle, and prints the npm packages that any of them contains, as JSON.
// Usage: bundled-packages.ts <folder of statistics>

const ROOT = join(import.meta.dirname, '..');

/** A module in webpack's statistics: the file it was read from, and the modules that were merged into it. */
type Module = { nameForCondition?: string | null; modules?: Module[] };

const statistics = process.argv[2] ?? '';
const files = readdirSync(statistics).flatMap((name) =>
  filesOf(JSON.parse(readFileSync(join(statistics, name), 'utf8')).modules),
);
const folders = new Set(files.flatMap((file) => /.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []));
const packages = [...folders].sort().map((folder) => {
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return { name, version, folder: relative(ROOT, folder) };
});
console.log(JSON.stringify(packages, null, 1));

function filesOf(modules: Module[]): string[] {
  return modules.flatMap(({ nameForCondition, modules = [] }) => [
    ...(nameForCondition ? [nameForCondition] : []),
    ...filesOf(modules),
  ]);
}
