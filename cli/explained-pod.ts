import { CniError } from '../lib/cni/errors.ts';
import type { JsonObject } from '../lib/cni/json.ts';
import { parsePreviousResult } from '../lib/cni/previous-result.ts';
import type { Variables } from '../lib/cni/request.ts';
import { openPodNamespace } from '../lib/cni/runner.ts';
import { isSupported } from '../lib/cni/version.ts';
import { RouteSocket } from '../lib/netlink/socket.ts';
import { Observation } from '../lib/observation/observation.ts';
import { observationOfResult } from '../lib/observation/result-observation.ts';
import type { CachedAttachment } from '../lib/runtime/cache.ts';
import type { AttachmentInput } from '../lib/runtime/derive.ts';
import { attachmentsIn } from '../lib/runtime/find-attachment.ts';
import { type NetworkList, readObject } from '../lib/runtime/network.ts';
import { attachmentOf, type CniOptions } from './cni.ts';

export type PodOptions = CniOptions & { netns?: string; prevResult?: string };

/** The pod that a list is explained for: one in a namespace, the one that a result describes, or none in particular. */
export type ExplainedPod = {
  readonly attachment: AttachmentInput;
  /** The result of the plugins before ours, if it is known. */
  readonly prevResult: object | undefined;
  /** undefined if only the configs are validated. */
  readonly observed: Observation | undefined;
  readonly notes: string[];
  close(): void;
};

/** Stands for a namespace's path if there is none. */
const NO_NAMESPACE = '/nonexistent';

/**
 * Which pod do the options mean? `isOurs` distinguishes our plugins from others. Throws RuntimeError for a result that
 * cannot be read, and CniError 3, 4 or 8 for an invalid namespace.
 */
export function openExplainedPod(
  list: NetworkList,
  options: PodOptions,
  env: Variables,
  isOurs: (type: string) => boolean,
): ExplainedPod {
  if (options.netns !== undefined) return podOfNamespace(list, options.netns, options, env, isOurs);
  const prevResult = options.prevResult === undefined ? undefined : readObject(options.prevResult);
  const attachment = attachmentOf(sandboxIn(prevResult) ?? NO_NAMESPACE, options, env);
  const observed = prevResult && thoughtPod(prevResult, list, attachment.ifname);
  const notes =
    prevResult === undefined ? ['no pod is inspected, only the configs: see --netns and --prev-result'] : [];
  return { attachment, prevResult, observed, notes, close: () => undefined };
}

function podOfNamespace(
  list: NetworkList,
  netns: string,
  options: PodOptions,
  env: Variables,
  isOurs: (type: string) => boolean,
): ExplainedPod {
  const given = options.prevResult === undefined ? undefined : readObject(options.prevResult);
  const asked = attachmentOf(netns, options, env);
  const cached = given === undefined ? cachedFor(list, asked, options, env) : undefined;
  const attachment = cached === undefined ? asked : { ...cached.input, netns: asked.netns };
  const prevResult = given ?? cached?.result;
  const [first] = list.plugins;
  const waitsForOthers = prevResult === undefined && first !== undefined && !isOurs(first.type);
  const socket = socketIn(asked.netns);
  const observed = socket && Observation.of(socket);
  const isEmpty = waitsForOthers && observed?.linkNamed(attachment.ifname) === undefined;
  return {
    attachment,
    prevResult,
    observed: isEmpty ? undefined : observed,
    notes: [
      ...(cached === undefined ? [] : [`with the cached result of this attachment, ${attachment.ifname}`]),
      ...(isEmpty
        ? [`the pod has no ${attachment.ifname}, which ${first.type} would create: only the configs are validated`]
        : []),
      ...(waitsForOthers && !isEmpty
        ? [`the result of ${first.type} and its gateways are unknown: see --prev-result`]
        : []),
    ],
    close: () => socket?.close(),
  };
}

// The attachment by the interface that was asked for; else the only one to this network, else `eth0`.
function cachedFor(
  { name }: NetworkList,
  { netns, ifname }: AttachmentInput,
  options: PodOptions,
  env: Variables,
): CachedAttachment | undefined {
  const cached = attachmentsIn(netns, name, options.cacheDir === undefined ? undefined : [options.cacheDir]);
  const isAsked = options.ifname !== undefined || Boolean(env.CNI_IFNAME);
  if (!isAsked && cached.length === 1) return cached[0];
  return cached.find(({ input }) => input.ifname === ifname);
}

function socketIn(netns: string): RouteSocket | undefined {
  const namespace = openPodNamespace({ verb: 'ADD', netns, allowOwnNamespace: false });
  try {
    return namespace && RouteSocket.open(namespace);
  } finally {
    namespace?.close();
  }
}

// undefined where the result, or the version of the list, is wrong: each plugin says so then.
function thoughtPod(prevResult: object, { cniVersion }: NetworkList, ifname: string): Observation | undefined {
  if (!isSupported(cniVersion)) return undefined;
  try {
    return observationOfResult(parsePreviousResult(prevResult, cniVersion), ifname);
  } catch (error) {
    if (error instanceof CniError) return undefined;
    throw error;
  }
}

function sandboxIn(prevResult: JsonObject | undefined): string | undefined {
  const { interfaces } = (prevResult ?? {}) as { interfaces?: unknown };
  const sandboxes = Array.isArray(interfaces)
    ? interfaces.map((entry) => (entry as { sandbox?: unknown })?.sandbox)
    : [];
  return sandboxes.find((sandbox): sandbox is string => typeof sandbox === 'string' && sandbox !== '');
}
