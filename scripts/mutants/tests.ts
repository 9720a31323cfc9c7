import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';

// Which test files can see a change of a source: those that import it, or name it, at first or second hand.

/** Too slow or too far away to be asked about a single line. */
const NOT_ASKED =
  /^test\/(?:cluster|pod|single|image|release|reproducible-build|added-plugin|arm64|agent\/(?:kill|leaks|burst|restart))\b/;

/** Who needs each file. */
type Users = ReadonlyMap<string, readonly string[]>;

/**
 * The test files, of all `files` of the repository, that could see a change of one of them. Those of its name come first,
 * however long they take and whatever they import, and then the nearest, but ten seconds count as much as one import.
 */
export function testsFor(
  file: string,
  files: readonly string[],
  users: Users,
  secondsOf: (test: string) => number,
): string[] {
  const distances = distancesTo(file, users);
  const rank = (test: string) => (distances.get(test) ?? 9) - likeness(file, test) + secondsOf(test) / 10;
  const isLater = (test: string) => Number(!isOwn(file, test));
  return files
    .filter((name) => name.endsWith('.test.ts') && !NOT_ASKED.test(name))
    .filter((name) => distances.has(name) || isOwn(file, name))
    .sort((a, b) => isLater(a) - isLater(b) || rank(a) - rank(b) || a.localeCompare(b));
}

/** Whether a test is the source's own: of its name, and in the folder that mirrors its folder. */
export function isOwn(file: string, test: string): boolean {
  return test === `test/${file.replace(/\.\w+$/, '.test.ts')}`;
}

/** Whether a test has the name of this file or of its folder, or is one of the folder's. */
export function isNear(file: string, test: string): boolean {
  return likeness(file, test) > 0;
}

/** How long a test may take, by what it uses. */
export function guessSeconds(test: string): number {
  const source = readFileSync(test, 'utf8');
  if (/bundleOf|bundleFolder|execute\(|agentProcess|makePods|[kK]illed|old-kernel|fast-check/.test(source)) return 20;
  return /scratchPod|scratchNamespace|agentHere/.test(source) ? 8 : 2;
}

// A test of its name, then one of its folder.
function likeness(file: string, test: string): number {
  const stem = basename(file).replace(/\..*$/, '');
  if (basename(test).startsWith(stem) || basename(test, '.test.ts') === basename(dirname(file))) return 3;
  return dirname(test).endsWith(dirname(file)) ? 2 : 0;
}

// Breadth first, from the changed file to those that need it.
function distancesTo(file: string, users: Users): Map<string, number> {
  const distances = new Map([[file, 0]]);
  for (const [name, distance] of distances) {
    for (const user of users.get(name) ?? []) if (!distances.has(user)) distances.set(user, distance + 1);
  }
  return distances;
}

/** The files that import or name each file, of all `files` of the repository. */
export function usersOf(files: readonly string[]): Users {
  const users = new Map<string, readonly string[]>();
  for (const file of files.filter((name) => name.endsWith('.ts'))) {
    for (const used of usedBy(file, files)) users.set(used, [...(users.get(used) ?? []), file]);
  }
  return users;
}

// What it imports, and what it names in a string, as a script to run or a C file to compile, or one for each `${name}`.
function usedBy(file: string, files: readonly string[]): string[] {
  const source = readFileSync(file, 'utf8');
  const named = [...source.matchAll(/'((?:\.{1,2}\/)?[\w./-]+\.(?:ts|c|sh|node))'/g)].map(([, path = '']) => path);
  const templates = [...source.matchAll(/`(\.{1,2}\/[\w./-]*\$\{\w+\}[\w./-]*\.ts)`/g)].map(([, path = '']) => path);
  const paths = named.flatMap((path) => [normalize(join(dirname(file), path)), path]);
  for (const template of templates) {
    const [before = '', after = ''] = normalize(join(dirname(file), template)).split(/\$\{\w+\}/);
    paths.push(...files.filter((path) => path.startsWith(before) && path.endsWith(after)));
  }
  if (source.includes("bundleOf('waymark')")) paths.push('cli/process.ts');
  return [...new Set(paths.flatMap((path) => BUILDS[path] ?? path))].filter(
    (path) => path !== file && existsSync(path),
  );
}

/** What the addon is built of. */
export const ADDON_SOURCES: readonly string[] = [
  'native/socket.c',
  'native/process.c',
  'native/notifications.c',
  'native/memory.c',
];

/** What scripts compile, and what is compiled. */
const BUILDS: { [path: string]: string | readonly string[] } = {
  'native/build/socket.node': ADDON_SOURCES,
  'build-shim.sh': 'native/shim.c',
  'scripts/build-shim.sh': 'native/shim.c',
};
