import { type BirthAttachment, begun, writeBirthRecord } from '../../lib/attachments/birth-record.ts';
import { linksIn, type PodLink } from '../../lib/attachments/links.ts';
import type { Pod } from '../../lib/attachments/pod.ts';
import { entriesOfResult, newestResult } from '../../lib/attachments/result-status.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import { previousResultOf } from '../../lib/cni/request.ts';
import { type Result, toVersion } from '../../lib/cni/result.ts';
import type { Call } from '../../lib/cni/runner.ts';
import { ApiError } from '../../lib/kubernetes/errors.ts';
import { Observation } from '../../lib/observation/observation.ts';
import { resultDocument } from '../../lib/plugin/add.ts';
import { attachmentLink } from '../../lib/plugin/attachment.ts';
import { withPod } from '../../lib/plugin/pod.ts';
import { unchainedResult } from '../../lib/plugin/unchained.ts';
import { attachAll, recorded, undo, type Work } from './attach.ts';
import type { Cluster } from './cluster.ts';
import { chosenFamilies, withoutDefaults } from './default-routes.ts';
import { type Attached, DefinitionMissing, type Network } from './networks.ts';
import { podNameOf } from './pod-name.ts';
import { isReady } from './readiness.ts';
import { isChained, networkToAdd, podOfArgs, wantedNetworks } from './wanted.ts';

/** What the plugins in front of us in a chain made, and their result, if they gave one. */
type InFront = { readonly previous: Result | undefined; readonly result: Result };

/** Gives a pod its networks; the answer is the result of its own. What was made is undone if one fails. */
export async function add(work: Work): Promise<object> {
  const { call, config, services } = work;
  const chained = isChained(config) ? await resultInFront(work) : undefined;
  await isReady(config.readinessindicatorfile, call);
  const cluster = await services.cluster(config, call);
  try {
    return await addNetworks(work, cluster, chained);
  } finally {
    await cluster?.close();
  }
}

async function addNetworks(work: Work, cluster: Cluster | undefined, chained: InFront | undefined): Promise<object> {
  const { call } = work;
  const { args } = call.request;
  const only = args.K8S_POD_NETWORK;
  const named = podNameOf(call);
  // It might select networks, and must not start without them.
  if (named !== undefined && cluster === undefined) {
    const what = `nobody can be asked for the networks of pod ${named.namespace}/${named.name}`;
    throw new CniError(
      CniCode.tryAgainLater,
      `${what}: there is neither an agent nor "kubeconfig" nor a service account`,
    );
  }
  const pod = named === undefined ? undefined : await cluster?.pod(named);
  const asked = { ...work, cluster, pod: pod ?? podOfArgs(call.request) };
  const networks = await reported(pod, cluster, async () =>
    only
      ? [await networkToAdd(asked, only, args.K8S_POD_IFMAC, devicesOf(recorded(work)))]
      : await wantedNetworks(asked),
  );
  if (call.noop) return noop(work, networks);
  const attached = await attachAll(work, networks, only !== undefined && only !== '');
  const front = chained && { ...chained, result: withoutDefaults(chained.result, chosenFamilies(attached)) };
  if (pod !== undefined)
    await publish(work, cluster as Cluster, pod, { attached, chained: front, isFurther: Boolean(only) });
  const own = only ? attached[0] : attached.find(({ network }) => network.isDefault);
  if (own !== undefined) return inVersion(own.result, call);
  return resultDocument(front?.result ?? {}, chained?.previous, call.request);
}

// A pod whose definition is missing waits, and its user should see for what.
async function reported<T>(pod: Pod | undefined, cluster: Cluster | undefined, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (pod !== undefined && error instanceof DefinitionMissing) cluster?.event(pod, 'NoNetworkFound', error.message);
    throw error;
  }
}

type Outcome = {
  readonly attached: readonly Attached[];
  readonly chained: InFront | undefined;
  /** Beside what the status has. */
  readonly isFurther: boolean;
};

async function publish(
  work: Work,
  cluster: Cluster,
  pod: Pod,
  { attached, chained, isFurther }: Outcome,
): Promise<void> {
  const { call, services } = work;
  const { netns, network: own } = call.request;
  const links = linksIn(call.place.pathOf(netns));
  const front = chained === undefined ? [] : entriesOfResult(chained.result as JsonObject, own, true, links);
  const entries = [...front, ...attached.flatMap((item) => entriesFor(item, links))];
  const names = new Set(entries.map((entry) => entry.interface));
  try {
    await cluster.publish(pod, (before) =>
      isFurther ? [...before.filter((entry) => !names.has(entry.interface)), ...entries] : entries,
    );
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (services.mayPublishLater !== true || !error.isOfServer) throw await takenBack(work, attached, error);
    call.log.warn('the status of a pod will be written later', { reason: error.message });
  }
  for (const item of attached) announce(cluster, pod, item);
}

function entriesFor({ network, result }: Attached, links: readonly PodLink[]): JsonObject[] {
  return entriesOfResult(result, network.name, network.isDefault, links);
}

// Multus' words.
function announce(cluster: Cluster, pod: Pod, { network, result }: Attached): void {
  const { interfaces, ips } = newestResult(result);
  if (interfaces === undefined && ips === undefined) return;
  const addresses = (ips ?? []).map(({ address }) => address).join(' ');
  cluster.event(pod, 'AddedInterface', `Add ${network.input.ifname} [${addresses}] from ${network.name}`);
}

// Others rely on the status, and nobody else would write it.
async function takenBack(work: Work, attached: readonly Attached[], error: ApiError): Promise<Error> {
  const { call, config } = work;
  const { containerID } = call.request;
  const folder = call.place.pathOf(config.cniDir);
  const mine = attached.map(({ network: { name, list, input, isDefault, request } }) =>
    begun(name, list, input, { isDefault, request }),
  );
  const cause = new CniError(CniCode.tryAgainLater, `the pod's network status cannot be written: ${error.message}`, {
    cause: error,
  });
  return undo(work, cause, mine, attached, (left) => writeBirthRecord(folder, containerID, left));
}

// What the plugins in front made, by their result or, without one, as it is seen.
function resultInFront({ call, config }: Work): Promise<InFront> {
  const previous = previousResultOf(call.request);
  return withPod(call, async ({ socket }) => {
    const observed = Observation.of(socket);
    if (previous !== undefined && config.interface === undefined) return { previous, result: previous };
    const link = attachmentLink(call.request, config.interface, previous, observed);
    return { previous, result: previous ?? unchainedResult(link, call.request.netns, observed) };
  });
}

function inVersion(result: JsonObject, { request: { version } }: Call): object {
  return result.cniVersion === version ? result : toVersion(newestResult(result), version);
}

function noop({ call }: Work, networks: readonly Network[]): object {
  const changes = networks.map(({ name, input }) => `attach ${input.ifname} to ${name}`);
  return { cniVersion: call.request.version, plugin: 'multi-network', command: call.request.verb, changes };
}

function devicesOf(record: readonly BirthAttachment[]): unknown[] {
  return record.map(({ input }) => input.capabilityArgs.deviceID);
}
