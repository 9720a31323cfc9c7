import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run as ip, type Scratch, scratchFolder, scratchPod } from '../namespaces/namespace.ts';
import { bundleOf, type Document, variables } from '../plugins/call.ts';
import { type Aspect, type Case, previousResult, ROUTES } from './cases.ts';

/** The peer's executable, which scripts/setup.sh builds. */
export const PEER = join(import.meta.dirname, '../../../.tools/bin/route-override');

/** What an executable made of a case. */
export type Outcome = {
  readonly code: number;
  readonly document: Document | undefined;
  readonly stderr: string;
  /** The exit code of a CHECK after a successful ADD. */
  readonly check: number | undefined;
  readonly before: readonly string[];
  readonly after: readonly string[];
};

type Program = { type: string; command: string; args: string[] };

const PROGRAMS = {
  peer: { type: 'route-override', command: PEER, args: [] },
  ours: { type: 'static-route', command: process.execPath, args: [bundleOf('static-route')] },
} satisfies { [name: string]: Program };

/** Runs a case with route-override or with `static-route`, in a pod of its own. */
export function tryCase(
  t: Test,
  which: keyof typeof PROGRAMS,
  { keys, commands = [], previous, version = '1.0.0' }: Case,
): Outcome {
  const { type, command, args } = PROGRAMS[which];
  const pod = scratchPod(t);
  ip('ip', ['-n', pod.name, '-batch', '-'], ROUTES.map((route) => `route add ${route}`).join('\n'));
  for (const each of commands) pod.ip(each);
  const given = { cniVersion: version, ...previousResult(pod.path), ...resultIn(pod, previous) };
  const config = { cniVersion: version, name: 'net', type, dataDir: join(scratchFolder(t), 'data'), ...keys };
  const call = (verb: string, prevResult: object) => {
    const input = JSON.stringify({ ...config, prevResult });
    const { status, stdout, stderr } = spawnSync(command, args, {
      env: variables(verb, pod.path),
      input,
      encoding: 'utf8',
    });
    return { code: status ?? -1, document: stdout === '' ? undefined : (JSON.parse(stdout) as Document), stderr };
  };
  const before = routesOf(pod);
  const { code, document, stderr } = call('ADD', given);
  const after = routesOf(pod);
  const check = code === 0 && document !== undefined ? call('CHECK', document) : undefined;
  return { code, document: normal(document, pod), stderr, check: check?.code, before, after };
}

/** In what do the outcomes differ? */
export function differences(peer: Outcome, ours: Outcome): Aspect[] {
  const is: [Aspect, boolean][] = [
    ['answer', text(answerOf(peer)) === text(answerOf(ours))],
    ['routes', text(peer.after) === text(ours.after)],
    ['CHECK', (peer.check === 0) === (ours.check === 0)],
  ];
  return is.flatMap(([aspect, isSame]) => (isSame ? [] : [aspect]));
}

const text = (value: unknown): string => JSON.stringify(value);

function answerOf({ code, document }: Outcome): unknown {
  return code === 0 ? document : 'an error';
}

// `{pod}` stands for the pod's path.
function resultIn(pod: Scratch, previous: object = {}): object {
  return JSON.parse(JSON.stringify(previous).replaceAll('{pod}', pod.path));
}

// What both must agree on. Go prints an empty `dns` and no empty list, and the pods have paths of their own.
function normal(document: Document | undefined, pod: Scratch): Document | undefined {
  if (document === undefined) return undefined;
  const { dns: _, ...rest } = document;
  return sorted(JSON.parse(JSON.stringify(rest).replaceAll(pod.path, '{pod}'))) as Document;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, part]) => part !== null && !isEmpty(part));
  return Object.fromEntries(
    entries.map(([key, part]) => [key, sorted(part)]).toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
  );
}

// Go leaves out an empty list.
function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

// The main table as `ip -d` prints it, but for who added a route: that distinguishes ours from others.
function routesOf(pod: Scratch): string[] {
  return ['-4', '-6'].flatMap((family) =>
    pod
      .ip(`-d ${family} route show`)
      .split('\n')
      .filter(Boolean)
      .map((line) => line.replace(/ proto (boot|87)/, '').trim())
      .sort(),
  );
}
