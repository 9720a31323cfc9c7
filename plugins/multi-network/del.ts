import { type BirthAttachment, readBirthRecord, writeBirthRecord } from '../../lib/attachments/birth-record.ts';
import { cachedCalls } from '../../lib/attachments/caches.ts';
import { networkFromRecord } from '../../lib/attachments/delegates.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import type { Call } from '../../lib/cni/runner.ts';
import { FileError } from '../../lib/files/files.ts';
import { ApiError } from '../../lib/kubernetes/errors.ts';
import { DEFAULT_CACHE_DIR } from '../../lib/runtime/cache.ts';
import type { Cluster } from './cluster.ts';
import { cniDirOf, parseMultiNetworkConfig } from './config.ts';
import { type Delegation, networkFailed } from './delegation.ts';
import { isMeta } from './networks.ts';
import { podNameOf } from './pod-name.ts';
import type { Services } from './services.ts';

type Deleting = { readonly call: Call; readonly delegation: Delegation };

/**
 * Takes a pod's networks away, the last one first, by what was recorded and cached when it started: neither the API server
 * nor the definitions are needed. What fails is reported at the end, and stays recorded for the next DEL.
 *
 * Without a lock nothing is written where nothing is known: an ADD may be making its record just now.
 */
export async function del(
  deleting: Deleting & { readonly services: Services },
  hasLock: boolean,
): Promise<object | undefined> {
  const { call } = deleting;
  const { containerID, args, document } = call.request;
  const folder = call.place.pathOf(cniDirOf(document));
  const only = args.K8S_POD_NETWORK;
  const known = recorded(call, folder);
  const mine = known.filter(({ network }) => !only || network === only || network.endsWith(`/${only}`));
  if (call.noop) {
    const changes = mine.toReversed().map(({ ifname, network }) => `detach ${ifname} from ${network}`);
    return { cniVersion: call.request.version, plugin: 'multi-network', command: 'DEL', changes };
  }
  if (!hasLock && known.length === 0) return undefined;
  const others = known.filter((entry) => !mine.includes(entry));
  const failures = await release(deleting, mine, (left) =>
    keep(call, () => writeBirthRecord(folder, containerID, [...others, ...left])),
  );
  if (only) await forgetStatus(deleting, mine);
  if (failures.length === 0) return undefined;
  const [first] = failures;
  if (failures.length === 1) throw first;
  const details = failures.map(({ message }) => message).join('\n');
  throw new CniError(first?.code ?? CniCode.internal, `${failures.length} networks could not be taken away`, {
    details,
  });
}

/**
 * DEL of attachments in reverse; `record` is told which are left after each. All are tried; what failed is returned.
 */
export async function release(
  { call, delegation }: Deleting,
  attachments: readonly BirthAttachment[],
  record: (left: readonly BirthAttachment[]) => void,
): Promise<CniError[]> {
  const failures: CniError[] = [];
  let left = attachments;
  // Its path may lead nowhere by now.
  const netns = call.namespace === undefined ? '' : call.request.netns;
  for (const attachment of attachments.toReversed()) {
    try {
      await delegation.del(networkFromRecord(attachment.list), { ...attachment.input, netns }, attachment.result);
      left = left.filter((other) => other !== attachment);
    } catch (error) {
      failures.push(networkFailed('DEL', attachment.network, error as Error));
    }
  }
  record(left);
  return failures;
}

// With a record that is gone or damaged, what plugins answered is in libcni's cache: of what Multus made too.
function recorded(call: Call, folder: string): BirthAttachment[] {
  const { containerID, ifname, netns } = call.request;
  const fallback = { containerID, ifname, netns, args: argsOf(call), capabilityArgs: {} };
  let record: BirthAttachment[] = [];
  try {
    record = readBirthRecord(folder, containerID, fallback) ?? [];
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    call.log.warn('the record of a sandbox cannot be read', { reason: error.message });
  }
  const isRecorded = (name: string) => record.some((entry) => entry.ifname === name);
  const cached = cachedCalls(containerID, [`${cniDirOf(call.request.document)}/results`], call.place.pathOf)
    .filter(({ input, config }) => !isRecorded(input.ifname) && !isMeta(config))
    .map(({ network, config, input }): BirthAttachment => {
      const list = JSON.stringify(config.plugins === undefined ? { ...listKeys(config), plugins: [config] } : config);
      const isDefault = input.ifname === ifname;
      return { network, ifname: input.ifname, isDefault, state: 'attached', request: {}, list, input };
    });
  if (record.length === 0 && cached.length === 0) return ofRuntime(call);
  // The pod's own network is the last to go.
  return [...cached.filter(({ isDefault }) => isDefault), ...record, ...cached.filter(({ isDefault }) => !isDefault)];
}

// A pod that started before this plugin was the cluster's entry has the cluster's network from the runtime itself, which
// calls us for its end.
function ofRuntime({ request, place }: Call): BirthAttachment[] {
  return cachedCalls(request.containerID, [`${DEFAULT_CACHE_DIR}/results`], place.pathOf)
    .filter(({ network, config }) => network !== request.network && !isMeta(config))
    .map(({ network, config, input, result }): BirthAttachment => {
      const list = JSON.stringify(config.plugins === undefined ? { ...listKeys(config), plugins: [config] } : config);
      const isDefault = input.ifname === request.ifname;
      return { network, ifname: input.ifname, isDefault, state: 'attached', request: {}, list, input, result };
    });
}

function listKeys({ name, cniVersion }: JsonObject): JsonObject {
  return { name, ...(cniVersion !== undefined && { cniVersion }) };
}

function argsOf({ request }: Call): [string, string][] {
  return [['IgnoreUnknown', 'true'], ...Object.entries(request.args).filter(([key]) => key !== 'IgnoreUnknown')];
}

// A full disk must not keep a pod from going: the record says too much then, and DEL of what is gone does nothing.
function keep(call: Call, write: () => void): void {
  try {
    write();
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    call.log.warn('the record of a sandbox says more than it has', { reason: error.message });
  }
}

// The pod lives on, and its status should say so. It is no reason to fail.
async function forgetStatus(
  { call, services }: Deleting & { services: Services },
  gone: readonly BirthAttachment[],
): Promise<void> {
  let cluster: Cluster | undefined;
  try {
    const named = podNameOf(call);
    if (named === undefined) return;
    cluster = await services.cluster(parseMultiNetworkConfig(call.request.document).config, call);
    const names = new Set<unknown>(gone.map(({ ifname }) => ifname));
    const pod = await cluster?.pod(named);
    if (pod !== undefined)
      await cluster?.publish(pod, (before) => before.filter((entry) => !names.has(entry.interface)));
  } catch (error) {
    if (!(error instanceof ApiError || error instanceof CniError)) throw error;
    call.log.warn('the status of a pod could not be written', { reason: error.message });
  } finally {
    await cluster?.close();
  }
}
