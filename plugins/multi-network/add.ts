import { type BirthAttachment, begun, readBirthRecord, writeBirthRecord } from '../../lib/attachments/birth-record.ts';
import { linksOf } from '../../lib/attachments/caches.ts';
import { linkNamed, linksIn, type PodLink } from '../../lib/attachments/links.ts';
import { NetworkError } from '../../lib/attachments/network.ts';
import type { Pod } from '../../lib/attachments/pod.ts';
import { entriesOfResult, newestResult } from '../../lib/attachments/result-status.ts';
import { unmetRequests } from '../../lib/attachments/unmet.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import { canonicalJson, type JsonObject } from '../../lib/cni/json.ts';
import { previousResultOf } from '../../lib/cni/request.ts';
import { type Result, toVersion } from '../../lib/cni/result.ts';
import type { Call } from '../../lib/cni/runner.ts';
import { ApiError } from '../../lib/kubernetes/errors.ts';
import { Observation } from '../../lib/observation/observation.ts';
import { resultDocument } from '../../lib/plugin/add.ts';
import { attachmentLink } from '../../lib/plugin/attachment.ts';
import { withPod } from '../../lib/plugin/pod.ts';
import { unchainedResult } from '../../lib/plugin/unchained.ts';
import { RuntimeError } from '../../lib/runtime/errors.ts';
import type { Cluster } from './cluster.ts';
import type { MultiNetworkConfig } from './config.ts';
import { release } from './del.ts';
import { type Delegation, networkFailed } from './delegation.ts';
import { DefinitionMissing, type Network } from './networks.ts';
import { podNameOf } from './pod-name.ts';
import { isReady } from './readiness.ts';
import type { Services } from './services.ts';
import { isChained, networkToAdd, podOfArgs, wantedNetworks } from './wanted.ts';

/** A network that the pod has, with the result of its ADD. */
type Attached = { readonly network: Network; readonly result: JsonObject };

/** What the plugins in front of us in a chain made, and their result, if they gave one. */
type InFront = { readonly previous: Result | undefined; readonly result: Result };

export type Work = {
  readonly call: Call;
  readonly config: MultiNetworkConfig & { readonly interface?: string | undefined };
  readonly delegation: Delegation;
  readonly services: Services;
};

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
    only ? [await networkToAdd(asked, only, args.K8S_POD_IFMAC)] : await wantedNetworks(asked),
  );
  if (call.noop) return noop(work, networks);
  const attached = await attachAll(work, networks, only !== undefined && only !== '');
  if (pod !== undefined) await publish(work, cluster as Cluster, pod, { attached, chained, isFurther: Boolean(only) });
  const own = only ? attached[0] : attached.find(({ network }) => network.isDefault);
  if (own !== undefined) return inVersion(own.result, call);
  return resultDocument(chained?.result ?? {}, chained?.previous, call.request);
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

/** Attaches the networks in their order. `isFurther`: to those that the pod has. */
async function attachAll(work: Work, networks: readonly Network[], isFurther: boolean): Promise<Attached[]> {
  const { call, config } = work;
  const { containerID, ifname } = call.request;
  const folder = call.place.pathOf(config.cniDir);
  const fallback = { containerID, ifname, netns: call.request.netns, args: [], capabilityArgs: {} };
  const known = readBirthRecord(folder, containerID, fallback) ?? [];
  const mine = networks.map(({ name, list, input, isDefault, request }) =>
    begun(name, list, input, { isDefault, request }),
  );
  const before = known.filter((entry) => !isFurther || mine.some((item) => item.ifname === entry.ifname));
  const others = known.filter((entry) => !before.includes(entry));
  if (before.length > 0) {
    const there = alreadyAttached(work, networks, before, mine);
    if (there !== undefined) return there;
    // An ADD that was cut short.
    const failures = await release(work, before, (left) => writeBirthRecord(folder, containerID, [...others, ...left]));
    if (failures.length > 0) throw failures[0];
  }
  if (mine.length === 0) return [];
  writeBirthRecord(folder, containerID, [...others, ...mine]);
  const attached: Attached[] = [];
  try {
    for (const network of networks) {
      attached.push({ network, result: await attach(work, network) });
      assertMet(network, attached.at(-1)?.result ?? {});
    }
    writeBirthRecord(folder, containerID, [
      ...others,
      ...mine.map((item) => ({ ...item, state: 'attached' as const })),
    ]);
    return attached;
  } catch (error) {
    throw await undo(work, error as Error, mine, attached, (left) =>
      writeBirthRecord(folder, containerID, [...others, ...left]),
    );
  }
}

async function attach({ call, delegation }: Work, { name, list, input }: Network): Promise<JsonObject> {
  const links = linksIn(call.place.pathOf(input.netns));
  if (linkNamed(links, input.ifname) !== undefined) {
    throw new CniError(CniCode.nameTaken, `network ${name}: the pod has an interface ${input.ifname} already`);
  }
  try {
    return await delegation.add(list, input);
  } catch (error) {
    throw error instanceof RuntimeError ? networkFailed('ADD', name, error) : error;
  }
}

function assertMet({ name, request }: Network, result: JsonObject): void {
  const unmet = unmetRequests(request, result);
  if (unmet.length > 0) throw new NetworkError(`network ${name}: ${unmet.join('; ')}`);
}

// The first error is the one to tell. What could not be undone stays recorded, for DEL.
async function undo(
  work: Work,
  cause: Error,
  mine: readonly BirthAttachment[],
  attached: readonly Attached[],
  record: (left: readonly BirthAttachment[]) => void,
): Promise<Error> {
  const failed =
    cause.cause instanceof RuntimeError && !cause.cause.isUndone ? mine.slice(0, attached.length + 1) : undefined;
  const failures = await release(work, failed ?? mine.slice(0, attached.length), record);
  if (failures.length === 0) return cause;
  const { code } = cause instanceof CniError ? cause : { code: CniCode.invalidConfig };
  const lines = [cause.message, ...failures.map(({ message }) => `undoing it: ${message}`)];
  return new CniError(code, lines.join('\n'), { cause });
}

// "ADD twice" is success: what an earlier one made for the same request is there.
function alreadyAttached(
  { call, delegation }: Work,
  networks: readonly Network[],
  before: readonly BirthAttachment[],
  mine: readonly BirthAttachment[],
): Attached[] | undefined {
  const key = ({ network, ifname, list, request }: BirthAttachment) => canonicalJson([network, ifname, list, request]);
  const isSame = before.length === mine.length && before.every((entry, at) => key(entry) === key(mine[at] ?? entry));
  if (!isSame || before.some(({ state }) => state !== 'attached')) return undefined;
  const links = linksIn(call.place.pathOf(call.request.netns));
  const there = networks.map((network): Attached | undefined => {
    const result = delegation.cached(network.list, network.input)?.result;
    const names = linksOf(result);
    const isThere = names.length === 0 || names.some((name) => linkNamed(links, name) !== undefined);
    return result === undefined || !isThere ? undefined : { network, result };
  });
  return there.every((item) => item !== undefined) ? there : undefined;
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
