import type { Definitions } from '../lib/attachments/definitions.ts';
import { type Delegates, networkFromRecord } from '../lib/attachments/delegates.ts';
import { type Pod, podKey } from '../lib/attachments/pod.ts';
import type { Attachment, DetachReason, Step } from '../lib/attachments/steps.ts';
import { stepKey } from '../lib/attachments/steps.ts';
import type { Sandbox } from '../lib/cri/runtime-service.ts';
import { type Failures, secondsUntil } from './failures.ts';
import type { LiveRoutes, PendingUpdate } from './live-routes.ts';
import { type Looked, type LookOptions, lookAt } from './look.ts';
import type { Performer } from './perform.ts';

/** What would be done to a pod's networks, and why not. */
export type PodExplanation = {
  readonly pod: string;
  /** Why nothing is done to this pod at all. */
  readonly idle?: string;
  readonly containerID?: string;
  readonly netns?: string;
  /** What it is attached to. `by` says who made it: this agent, or whoever set the pod up. */
  readonly attached: readonly {
    readonly interface: string;
    readonly network: string;
    readonly by: 'agent' | 'others';
    readonly state: Attachment['state'] | 'link lost';
  }[];
  /** In this order. */
  readonly steps: readonly ExplainedStep[];
  /** Attachments that differ from what their sources say. Absent in agents that do not follow these. */
  readonly updates?: readonly PendingUpdate[];
  /** Selections that are not honoured. */
  readonly refused: readonly { readonly interface?: string; readonly network?: string; readonly reason: string }[];
};

export type ExplainedStep = {
  readonly kind: Step['kind'];
  readonly interface: string;
  readonly network: string;
  readonly why?: DetachReason;
  /** The plugins, in the order of their calls. */
  readonly plugins?: readonly string[];
  /** What keeps the step from being made, as far as it shows without making it. */
  readonly problem?: string;
  /** It was tried before. */
  readonly failed?: { readonly attempts: number; readonly reason: string; readonly retryInSeconds: number };
};

export type ExplainOptions = LookOptions & {
  readonly performer: Pick<Performer, 'prepareAttach' | 'prepareDetach'>;
  readonly definitions: Pick<Definitions, 'peek'>;
  readonly liveRoutes: Pick<LiveRoutes, 'explain'>;
  readonly delegates: Pick<Delegates, 'assertPlugins'>;
};

/**
 * What the next look at a pod would do. Reads only: the pod, the runtime, the definitions that its steps need. Throws
 * GrpcError, NamespaceError, NetlinkError, and an Error if the runtime does not answer in time.
 */
export async function explainPod(
  options: ExplainOptions,
  pod: Pod,
  sandboxes: readonly Sandbox[],
  failures: Failures | undefined,
): Promise<PodExplanation> {
  const name = podKey(pod);
  const why = idleReason(pod);
  if (why !== undefined) return idle(name, why);
  const looked = await inTime('the container runtime', lookAt(options, pod, sandboxes));
  if (looked === undefined) return idle(name, 'the container runtime has no sandbox for it');
  const { containerID, netns, observed, plan } = looked;
  const steps = await Promise.all(plan.steps.map((step) => explainStep(options, looked, step, failures)));
  return {
    pod: name,
    containerID,
    netns,
    attached: observed.attachments.map(({ ifname, network, origin, state, isBroken }) => ({
      interface: ifname,
      network,
      by: origin === 'own' ? 'agent' : 'others',
      state: isBroken && state === 'attached' ? 'link lost' : state,
    })),
    steps,
    updates: await inTime('the API server', options.liveRoutes.explain(looked)),
    refused: plan.refusals.map(({ interface: ifname, network, reason }) => ({
      ...(ifname !== undefined && { interface: ifname }),
      ...(network !== undefined && { network }),
      reason,
    })),
  };
}

/** The explanation of a pod to which nothing is done. */
export function idle(pod: string, why: string): PodExplanation {
  return { pod, idle: why, attached: [], steps: [], refused: [] };
}

function idleReason({ isOnHostNetwork, isRunning }: Pod): string | undefined {
  if (isOnHostNetwork) return 'it is on the host’s network';
  return isRunning ? undefined : 'it does not run yet, or ends';
}

async function explainStep(
  options: ExplainOptions,
  looked: Looked,
  step: Step,
  failures: Failures | undefined,
): Promise<ExplainedStep> {
  const { kind, ifname } = step;
  const network = step.kind === 'attach' ? step.selection.network : step.network;
  const failure = failures?.of(stepKey(step));
  return {
    kind,
    interface: ifname,
    network,
    ...(step.kind === 'detach' && { why: step.why }),
    ...(await callsOf(options, looked, step)),
    ...(failure !== undefined && {
      failed: {
        attempts: failure.attempts,
        reason: failure.reason,
        retryInSeconds: secondsUntil(failure.until),
      },
    }),
  };
}

/** Whoever asks waits for five seconds, and three are asked one after another. */
const ANSWER_MS = 1500;

/** What is asked of somebody, in time for our own answer. Throws an Error if it is not, and what it throws. */
export async function inTime<T>(who: string, reading: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`${who} does not answer within ${ANSWER_MS / 1000} s`);
    timer = setTimeout(() => reject(error), ANSWER_MS);
  });
  try {
    return await Promise.race([reading, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function callsOf(
  { performer, definitions, delegates }: ExplainOptions,
  looked: Looked,
  step: Step,
): Promise<Pick<ExplainedStep, 'plugins' | 'problem'>> {
  const read = (network: string) => inTime('the API server', definitions.peek(network));
  try {
    if (step.kind === 'attach') {
      const { list } = await performer.prepareAttach(looked, step, read);
      delegates.assertPlugins(list);
      return { plugins: list.plugins.map(({ type }) => type) };
    }
    const attachment = looked.observed.attachments.find(({ ifname }) => ifname === step.ifname);
    const call = attachment && (await performer.prepareDetach(looked, attachment, read)).call;
    if (call === undefined) return { plugins: [] };
    const list = networkFromRecord(call.list);
    delegates.assertPlugins(list);
    return { plugins: list.plugins.map(({ type }) => type).toReversed() };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
