import { basename, extname, join } from 'node:path';
import { nameProblem } from '../cni/names.ts';
import { InstallError } from './errors.ts';

/**
 * Does each call run in a process of its own, or is it handed to the node's agent? With `multi-network` it is handed over,
 * and a list of ours comes before the cluster's.
 */
export const INSTALL_MODES = ['standalone', 'agent', 'multi-network'] as const;

export type InstallMode = (typeof INSTALL_MODES)[number];

/** The command's own executable, which also reports the installed version. */
export const COMMAND = 'waymark';

/** What the files of network lists are called. */
export const LIST_EXTENSIONS: readonly string[] = ['.conflist', '.conf'];

/** One file of an installation: its name, where it comes from and where it goes. */
export type PlannedFile = { readonly name: string; readonly source: string; readonly path: string };

/**
 * Which executables go to `binDir`? The command comes first, because the agent's clients run it if no agent answers.
 * The clients are in the folder `shim` beside `from`, under the names of the plugins.
 */
export function planExecutables(
  plugins: readonly string[],
  from: string,
  binDir: string,
  mode: InstallMode,
): PlannedFile[] {
  const folder = mode === 'standalone' ? from : join(from, '..', 'shim');
  return [
    { name: COMMAND, source: join(from, COMMAND), path: join(binDir, COMMAND) },
    ...plugins.map((name) => ({ name, source: join(folder, name), path: join(binDir, name) })),
  ];
}

/** Which network lists go to `netDir`, under the names they have? Throws InstallError for an invalid name. */
export function planLists(files: readonly string[], netDir: string): PlannedFile[] {
  const lists = files.map((source) => ({ name: basename(source), source, path: join(netDir, basename(source)) }));
  for (const { name, source } of lists) {
    const problem = listNameProblem(name);
    if (problem !== undefined)
      throw new InstallError(`${source} is not a network configuration list: its name ${problem}`);
  }
  const twice = lists.find(({ name }, i) => lists.findIndex((other) => other.name === name) < i);
  if (twice !== undefined) throw new InstallError(`two network configuration lists are named ${twice.name}`);
  return lists;
}

function listNameProblem(name: string): string | undefined {
  if (!LIST_EXTENSIONS.includes(extname(name))) return `does not end in ${LIST_EXTENSIONS.join(' or ')}`;
  return nameProblem(name);
}
