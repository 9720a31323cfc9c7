import { type BirthAttachment, begun, readBirthRecord, writeBirthRecord } from '../../lib/attachments/birth-record.ts';
import { linksOf } from '../../lib/attachments/caches.ts';
import { linkNamed, linksIn } from '../../lib/attachments/links.ts';
import { NetworkError } from '../../lib/attachments/network.ts';
import { unmetRequests } from '../../lib/attachments/unmet.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import { canonicalJson, type JsonObject } from '../../lib/cni/json.ts';
import type { Call } from '../../lib/cni/runner.ts';
import { RuntimeError } from '../../lib/runtime/errors.ts';
import type { MultiNetworkConfig } from './config.ts';
import { withDefaultRoutes } from './default-routes.ts';
import { release } from './del.ts';
import { type Delegation, networkFailed } from './delegation.ts';
import type { Attached, Network } from './networks.ts';
import type { Services } from './services.ts';

/** A call, with what it works with. */
export type Work = {
  readonly call: Call;
  readonly config: MultiNetworkConfig & { readonly interface?: string | undefined };
  readonly delegation: Delegation;
  readonly services: Services;
};

/** Attaches the networks in their order. `isFurther`: to those that the pod has. */
export async function attachAll(work: Work, networks: readonly Network[], isFurther: boolean): Promise<Attached[]> {
  const { call, config } = work;
  const { containerID } = call.request;
  const folder = call.place.pathOf(config.cniDir);
  const known = recorded(work);
  const mine = networks.map(({ name, list, input, isDefault, request }) =>
    begun(name, list, input, { isDefault, request }),
  );
  const before = known.filter((entry) => !isFurther || mine.some((item) => item.ifname === entry.ifname));
  const others = known.filter((entry) => !before.includes(entry));
  if (before.length > 0) {
    const there = alreadyAttached(work, networks, before, mine);
    if (there !== undefined) return withDefaultRoutes(work.delegation, there);
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
    const all = await withDefaultRoutes(work.delegation, attached);
    writeBirthRecord(folder, containerID, [
      ...others,
      ...mine.map((item) => ({ ...item, state: 'attached' as const })),
    ]);
    return all;
  } catch (error) {
    throw await undo(work, error as Error, mine, attached, (left) =>
      writeBirthRecord(folder, containerID, [...others, ...left]),
    );
  }
}

/** What the pod has from its start. Throws FileError. */
export function recorded({ call, config }: Work): BirthAttachment[] {
  const { containerID, ifname, netns } = call.request;
  const fallback = { containerID, ifname, netns, args: [], capabilityArgs: {} };
  return readBirthRecord(call.place.pathOf(config.cniDir), containerID, fallback) ?? [];
}

async function attach({ call, delegation }: Work, { name, list, input }: Network): Promise<JsonObject> {
  const links = linksIn(call.place.pathOf(input.netns), false);
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

/** Takes back what was made; the error to tell, which is the first one. What could not be undone stays recorded, for DEL. */
export async function undo(
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
  const links = linksIn(call.place.pathOf(call.request.netns), false);
  const there = networks.map((network): Attached | undefined => {
    const result = delegation.cached(network.list, network.input)?.result;
    const names = linksOf(result);
    const isThere = names.length === 0 || names.some((name) => linkNamed(links, name) !== undefined);
    return result === undefined || !isThere ? undefined : { network, result };
  });
  return there.every((item) => item !== undefined) ? there : undefined;
}
