import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';

// Which test files can see a change of a source: those that import it, or name it, at first or second hand. The nearest
// come first.

/** Too slow or too far away to be asked about a single line. */
const NOT_ASKED = /^test\/(?:cluster|pod|single|image|release|reproducible-build|added-plugin|arm64)\b/;

/** The test files to run for a change of `file`, at most `limit`. `files` are all of the repository. */
export function testsFor(file: string, files: readonly string[], limit: number): string[] {
  const tests = files.filter((name) => name.endsWith('.test.ts') && !NOT_ASKED.test(name));
  const distances = distancesTo(file, files);
  const rank = (test: string) => (distances.get(test) ?? Number.POSITIVE_INFINITY) - likeness(file, test);
  return tests
    .filter((test) => distances.has(test))
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
    .slice(0, limit);
}

// A test of its name, then one of its folder.
function likeness(file: string, test: string): number {
  const stem = basename(file).replace(/\..*$/, '');
  if (basename(test).startsWith(stem) || basename(test, '.test.ts') === basename(dirname(file))) return 3;
  return dirname(test).endsWith(dirname(file)) ? 2 : 0;
}

// Breadth first, from the changed file to those that need it.
function distancesTo(file: string, files: readonly string[]): Map<string, number> {
  const users = usersOf(files);
  const distances = new Map([[file, 0]]);
  for (const [name, distance] of distances) {
    for (const user of users.get(name) ?? []) if (!distances.has(user)) distances.set(user, distance + 1);
  }
  return distances;
}

function usersOf(files: readonly string[]): Map<string, string[]> {
  const users = new Map<string, string[]>();
  for (const file of files.filter((name) => name.endsWith('.ts'))) {
    for (const used of usedBy(file)) users.set(used, [...(users.get(used) ?? []), file]);
  }
  return users;
}

// What it imports, and what it names in a string, as a script to run or a C file to compile.
function usedBy(file: string): string[] {
  const source = readFileSync(file, 'utf8');
  const named = [...source.matchAll(/'((?:\.{1,2}\/)?[\w./-]+\.(?:ts|c|sh|node))'/g)].map(([, path = '']) => path);
  const paths = named.flatMap((path) => [normalize(join(dirname(file), path)), path]);
  return [...new Set(paths.flatMap((path) => BUILDS[path] ?? path))].filter(
    (path) => path !== file && existsSync(path),
  );
}

/** What scripts compile. */
const BUILDS: { [script: string]: string } = {
  'build-shim.sh': 'native/shim.c',
  'scripts/build-shim.sh': 'native/shim.c',
  'build-run-on-node.sh': 'native/run-on-node.c',
  'scripts/build-run-on-node.sh': 'native/run-on-node.c',
};
