import { EXPLAIN_PAGE } from '../agent/explain-page.ts';
import type { ExplainedStep, PodExplanation } from '../controller/explain.ts';
import type { PendingUpdate } from '../controller/live-routes.ts';
import { updateText } from '../lib/attachments/update-text.ts';
import { printable, readPage } from './status.ts';

const POD = /^(?:([a-z0-9][-a-z0-9]*)\/)?([a-z0-9][-a-z0-9.]*)$/;

/**
 * Asks the agent at a socket what it would do to the networks of a pod, `namespace/name` or a name in `default`. Throws an
 * Error if none answers, or it does not follow pods.
 */
export async function readExplanation(socket: string, pod: string): Promise<PodExplanation> {
  const [, namespace = 'default', name] = POD.exec(pod) ?? [];
  if (name === undefined) throw new Error(`--pod: "${pod}" is not namespace/name`);
  try {
    return JSON.parse(await readPage(socket, `${EXPLAIN_PAGE}${namespace}/${name}`)) as PodExplanation;
  } catch (error) {
    if (!/: not found$/.test((error as Error).message)) throw error;
    throw new Error(`the agent at ${socket} does not follow pods: see --node of "waymark agent"`, { cause: error });
  }
}

/** Is there something that is not done, or was not done so far? */
export function hasProblems({ steps, updates = [], refused }: PodExplanation): boolean {
  if (refused.length > 0 || updates.some(({ problem }) => problem !== undefined)) return true;
  return steps.some(({ problem, failed }) => problem !== undefined || failed !== undefined);
}

/** The explanation for people to read. */
export function podLines(explanation: PodExplanation): string[] {
  const { pod, idle, containerID, netns, attached, steps, updates = [], refused } = explanation;
  const lines = [`pod ${pod}`];
  if (idle !== undefined) return [...lines, `nothing is done to it: ${printable(idle)}`];
  lines.push(`sandbox ${containerID}, ${netns}`);
  for (const { interface: ifname, network, by, state } of attached) {
    const how = state === 'attached' ? '' : `, ${state}`;
    lines.push(`has ${ifname} on ${network}, made by ${by === 'agent' ? 'the agent' : 'others'}${how}`);
  }
  for (const step of steps) lines.push(...stepLines(step));
  for (const update of updates) lines.push(...updateLines(update));
  for (const { interface: ifname, network, reason } of refused) {
    const what = [network ?? 'a selection', ...(ifname === undefined ? [] : [`as ${ifname}`])].join(' ');
    lines.push(`refuses ${what}: ${reason}`);
  }
  if ([...steps, ...updates, ...refused].length === 0) lines.push('nothing to do');
  return lines.map(printable);
}

function updateLines({ interface: ifname, network, changes, problem }: PendingUpdate): string[] {
  const what = updateText(ifname, network);
  if (problem !== undefined) return [`cannot ${what}: ${problem}`];
  return [`would ${what}:`, ...changes.map((change) => `  ${change}`)];
}

function stepLines({ kind, interface: ifname, network, why, plugins = [], problem, failed }: ExplainedStep): string[] {
  const reason = why === undefined ? '' : ` (${why})`;
  const what = `${kind} ${ifname} ${kind === 'attach' ? 'to' : 'from'} ${network}${reason}`;
  const verb = kind === 'attach' ? 'ADD' : 'DEL';
  const calls = plugins.length === 0 ? '' : `, by ${verb} of ${plugins.join(', ')}`;
  return [
    problem === undefined ? `would ${what}${calls}` : `cannot ${what}: ${problem}`,
    ...(failed === undefined
      ? []
      : [`  failed ${failed.attempts} times: ${failed.reason}; next try in ${failed.retryInSeconds} s`]),
  ];
}
