import { consistentName, selectionsOf } from '../../lib/attachments/kactus.ts';
import { inputOf, NetworkError, type Place } from '../../lib/attachments/network.ts';
import type { Pod } from '../../lib/attachments/pod.ts';
import {
  isolated,
  isolationProblem,
  parseSelections,
  type Refusal,
  type Selection,
  type Selections,
} from '../../lib/attachments/selection.ts';
import { planSteps } from '../../lib/attachments/steps.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import type { Request } from '../../lib/cni/request.ts';
import type { Call } from '../../lib/cni/runner.ts';
import { summarize } from '../../lib/cni/summary.ts';
import { POD_RESOURCES_SOCKET } from '../../lib/kubelet/socket.ts';
import type { AttachmentInput } from '../../lib/runtime/derive.ts';
import type { Cluster } from './cluster.ts';
import { isolationOf, type MultiNetworkConfig } from './config.ts';
import { Devices } from './devices.ts';
import { type Configured, type Network, namedNetwork, networksOfDelegates, selectedNetwork } from './networks.ts';
import type { Services } from './services.ts';

/** What a pod is to get. In a chain, `eth0` is made by the plugins in front. */
type Asked = {
  readonly call: Call;
  readonly config: MultiNetworkConfig;
  readonly cluster: Cluster | undefined;
  readonly pod: Pod;
  readonly services: Pick<Services, 'podResourcesSocket'>;
};

/** Does the config leave the pod's own network to others: to the plugins in front in the list? */
export function isChained({ delegates = [], clusterNetwork = '' }: MultiNetworkConfig): boolean {
  return delegates.length === 0 && clusterNetwork === '';
}

/** The networks of the config, the pod's own first. `isSystem`: the pod gets only that. */
export async function configuredNetworks(
  { call, config, cluster }: Omit<Asked, 'pod'>,
  isSystem: boolean,
): Promise<Configured[]> {
  const { delegates = [], clusterNetwork = '', defaultNetworks } = config;
  const where = { config, cluster, pathOf: call.place.pathOf };
  if (clusterNetwork === '') return networksOfDelegates(delegates, call.request.document);
  const networks = [await namedNetwork(clusterNetwork, where)];
  for (const name of isSystem ? [] : defaultNetworks) networks.push(await namedNetwork(name, where));
  return networks;
}

/** All networks that a pod gets when it starts, its own first. Throws CniError, and what `selectedNetwork` throws. */
export async function wantedNetworks(asked: Asked): Promise<Network[]> {
  const { config, pod, call } = asked;
  const all = selectionsOf(pod);
  assertHonored(config, pod, all);
  const primary = all.selections.find(({ isPrimary }) => isPrimary) ?? overridingSelection(pod, config);
  const isAlone = primary?.isPrimary === true;
  const configured = isAlone ? [] : await configuredNetworks(asked, config.systemNamespaces.includes(pod.namespace));
  if (primary !== undefined && isChained(config)) {
    throw new NetworkError(
      `the pod selects ${primary.network} for its first interface, which the plugins in front make`,
    );
  }
  const own = primary === undefined ? configured.slice(0, 1) : [];
  const further = all.selections.filter(({ isPrimary }) => !isPrimary);
  const where = whereOf(asked, [...(primary ? [primary] : []), ...further], []);
  const chosen =
    primary === undefined
      ? []
      : [{ ...(await selectedNetwork(primary, pod, placeOf(call.request), where)), isDefault: true }];
  const first = [...own.map((network) => fromConfig(network, asked, call.request.ifname, true)), ...chosen];
  const others = configured.slice(1);
  const names = namesOf(others, further, asked);
  const result: Network[] = [
    ...first,
    ...others.map((network, at) => fromConfig(network, asked, names[at] ?? '', false)),
  ];
  for (const [at, selection] of further.entries()) {
    const place = { ...placeOf(call.request), ifname: names[others.length + at] ?? '' };
    result.push(await selectedNetwork(selection, pod, place, where));
  }
  return result.map((network) => ({ ...network, input: withRuntimeConfig(network.input, call.request) }));
}

/** The network that kactus' podagent names, for a running pod: one interface more. `used`: devices that the pod's others have. */
export async function networkToAdd(
  asked: Asked,
  name: string,
  mac: string | undefined,
  used: readonly unknown[],
): Promise<Network> {
  const { call, config, pod } = asked;
  const text = JSON.stringify([{ name, ...(mac ? { mac } : {}) }]);
  const read = parseSelections(text, pod.namespace);
  assertHonored(config, pod, read);
  const [selection] = read.selections;
  if (selection === undefined) throw new NetworkError(`K8S_POD_NETWORK: "${name}" is not a network`);
  const place = { ...placeOf(call.request), ifname: consistentName(name) };
  return selectedNetwork({ ...selection, origin: 'kactus' }, pod, place, whereOf(asked, [selection], used));
}

/** The pod as CNI_ARGS name it, where nothing more is known of it. */
export function podOfArgs({ args }: Pick<Request, 'args'>): Pod {
  return {
    namespace: args.K8S_POD_NAMESPACE ?? '',
    name: args.K8S_POD_NAME ?? '',
    uid: args.K8S_POD_UID ?? '',
    sandboxUid: args.K8S_POD_UID ?? '',
    resourceVersion: '',
    isRunning: false,
    isOnHostNetwork: false,
    address: undefined,
    networks: undefined,
    kactusNetworks: undefined,
    defaultNetwork: undefined,
    status: undefined,
  };
}

/** Multus' annotation with another network for `eth0`. Throws CniError 7. */
function overridingSelection(pod: Pod, config: MultiNetworkConfig): Selection | undefined {
  if (pod.defaultNetwork === undefined) return undefined;
  const { selections, refusals, problem } = parseSelections(pod.defaultNetwork, config.multusNamespace);
  const count = selections.length + refusals.length;
  const [selection] = selections;
  // Those of `multusNamespace` are the operator's, for every pod.
  const isForeign = selection !== undefined && selection.namespace !== config.multusNamespace;
  const forbidden = isForeign ? isolationProblem(selection.namespace, pod.namespace, isolationOf(config)) : undefined;
  const wrong =
    problem ??
    refusals[0]?.reason ??
    forbidden ??
    (count === 1 ? undefined : `it names ${count} networks, and must name one`);
  if (wrong === undefined) return selection;
  throw new CniError(CniCode.invalidConfig, `annotation v1.multus-cni.io/default-network: ${wrong}`);
}

// A pod gets all of its networks, or does not start.
function assertHonored(config: MultiNetworkConfig, pod: Pod, all: Selections): void {
  if (all.problem !== undefined) throw notHonored([{ reason: all.problem }]);
  const { refusals } = isolated(all, pod.namespace, isolationOf(config));
  if (refusals.length > 0) throw notHonored(refusals);
}

function notHonored(refusals: readonly Refusal[]): CniError {
  const lines = refusals.map(({ network, interface: ifname, reason }) => {
    const about = [network, ifname].filter(Boolean).join('@');
    return about === '' ? reason : `${about}: ${reason}`;
  });
  const { message, details } = summarize('the pod’s network annotation cannot be honored: ', lines);
  return new CniError(CniCode.invalidConfig, message, { details });
}

/**
 * The interface names of all networks but the first: what is asked for; or what follows from the network's name; or `net`
 * and the place in the list, as Multus counts, or the lowest free number if that name is somebody's. By the planner that
 * serves running pods.
 */
function namesOf(others: readonly Configured[], selections: readonly Selection[], { call, config }: Asked): string[] {
  const all: Selection[] = [...others.map(({ name }) => standIn(name)), ...selections];
  const asked = all.flatMap((selection) => selection.interface ?? []);
  const named = all.map((selection, at) => {
    if (selection.interface !== undefined) return selection;
    const name = config.interfaceNames === 'consistent' ? consistentName(selection.name) : `net${at + 1}`;
    return asked.includes(name) && config.interfaceNames === 'numbered' ? selection : { ...selection, interface: name };
  });
  const names = named.flatMap((selection) => selection.interface ?? []);
  const twice = named.filter(({ interface: name }) => names.filter((other) => other === name).length > 1);
  if (twice.length > 0) {
    const reason = 'several networks would have this interface name; give one of them another by "interface"';
    throw notHonored(twice.map((selection) => ({ ...selection, reason })));
  }
  const observed = { attachments: [], names: ['lo', call.request.ifname] };
  const { order, refusals } = planSteps({ selections: named, refusals: [] }, observed);
  if (refusals.length > 0) throw notHonored(refusals);
  return order.map(({ ifname }) => ifname);
}

function standIn(name: string): Selection {
  const [namespace = '', short = name] = name.includes('/') ? name.split('/') : ['', name];
  return { network: name, namespace, name: short, request: {} };
}

function fromConfig({ name, list }: Configured, { pod, call }: Asked, ifname: string, isDefault: boolean): Network {
  return { name, list, input: inputOf({}, pod, { ...placeOf(call.request), ifname }), isDefault, request: {} };
}

// What the runtime gives us for our capabilities goes to every network, below what the selection asks for, as with Multus;
// so do variables that are none of Kubernetes'.
function withRuntimeConfig(input: AttachmentInput, { document, args }: Request): AttachmentInput {
  const given = (document.runtimeConfig ?? {}) as object;
  const known = new Set(input.args.map(([key]) => key));
  const more = Object.entries(args).filter(([key]) => !known.has(key));
  return { ...input, args: [...input.args, ...more], capabilityArgs: { ...given, ...input.capabilityArgs } };
}

function placeOf({ containerID, netns, ifname }: Request): Place {
  return { containerID, netns, ifname };
}

function whereOf(
  { config, cluster, call, services }: Asked,
  selections: readonly Selection[],
  used: readonly unknown[],
) {
  const { pathOf } = call.place;
  const reserved = selections.map(({ request }) => request.deviceID);
  const devices = new Devices(pathOf(services.podResourcesSocket ?? POD_RESOURCES_SOCKET), { reserved, used });
  return { config, cluster, pathOf, devices };
}
