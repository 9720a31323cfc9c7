import type { Change } from '../../lib/change/change.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import type { Request } from '../../lib/cni/request.ts';
import type { Result } from '../../lib/cni/result.ts';
import type { Link } from '../../lib/netlink/link.ts';
import { attachmentName, linkOrError } from '../../lib/plugin/attachment.ts';
import type { Plan, PlanInput } from '../../lib/plugin/plan.ts';
import { unchainedResult } from '../../lib/plugin/unchained.ts';
import type { ConsistentIfnameConfig } from './config.ts';
import { consistentName } from './name.ts';

type Input = PlanInput<ConsistentIfnameConfig>;

/**
 * Which name should the attachment's link have, and what is the result? Throws CniError 7 for an invalid name, 100 if
 * there is no such link, 105 if another link has the name.
 */
export function planConsistentName(input: Input): Plan {
  const { config, request, previous, observed } = input;
  const name = consistentName(config, request);
  const link = linkToName(input, name);
  const holder = observed.linkNamed(name);
  if (holder !== undefined && holder.index !== link.index) throw nameTaken(name, holder, config);

  const base = previous ?? unchainedResult(link, request.netns, observed);
  const source = config.ifname === undefined ? 'name' : 'ifname';
  const withSource = (changes: Change[]) => changes.map((change) => ({ change, source }));
  if (config.mode === 'altname') {
    const changes: Change[] = link.name === name ? [] : [{ op: 'add-altname', link: link.index, name }];
    return { changes: withSource(changes), conflicts: [], result: base };
  }
  const first = firstName(input, link, name);
  const from = link.name === name ? (first ?? name) : link.name;
  const altname = config.keepAltname ? first : undefined;
  return {
    changes: withSource(renameChanges(link, from, name, altname)),
    conflicts: [],
    result: renamedResult(base, { from: [from, first], to: name, altname, request, names: config.resultNames }),
  };
}

/** What the config says about every pod: the name. Throws CniError 7 for an invalid name. */
export function outlineConsistentName(config: ConsistentIfnameConfig, request: Request): string[] {
  const name = consistentName(config, request);
  return [config.mode === 'altname' ? `add altname ${name} to the interface` : `rename the interface to ${name}`];
}

// After a rename without an altname, nothing answers to the first name: then it is the link with the new name, unless its
// hardware address shows that it is another.
function linkToName(input: Input, name: string): Link {
  const { previous, observed } = input;
  const known = knownName(input);
  const renamed = observed.linkNamed(name);
  const path = input.config.interface === undefined ? undefined : 'interface';
  if (observed.linkNamed(known) !== undefined || renamed === undefined) return linkOrError(known, observed, path);
  const macs = new Set((previous?.interfaces ?? []).flatMap(({ mac }) => mac?.toLowerCase() ?? []));
  return macs.size > 0 && !macs.has(renamed.mac ?? '') ? linkOrError(known, observed, path) : renamed;
}

// The name by which the earlier plugins know the link.
function knownName({ config, request, previous, observed }: Input): string {
  return attachmentName(request, config.interface, previous, observed);
}

/**
 * By which name, other than this one, do the earlier plugins know the link? undefined if they know it by this one. A
 * repeated ADD, a CHECK and a DEL without a journal find it among the altnames, or else it is the known name if it is free.
 */
function firstName(input: Input, link: Link, name: string): string | undefined {
  const { request, previous, observed } = input;
  const known = knownName(input);
  const names = [known, ...(previous?.interfaces ?? []).map((entry) => entry.name), request.ifname];
  const borne = names.find((other) => other !== name && (other === link.name || link.altnames.includes(other)));
  const isFree = known !== name && observed.linkNamed(known) === undefined;
  return borne ?? (isFree ? known : undefined);
}

function renameChanges(link: Link, from: string, name: string, altname: string | undefined): Change[] {
  const { index } = link;
  const changes: Change[] = [];
  // A link cannot be given its own altname for a name.
  if (link.name !== name && link.altnames.includes(name)) changes.push({ op: 'delete-altname', link: index, name });
  changes.push({ op: 'rename-link', link: index, from, to: name });
  if (altname !== undefined) changes.push({ op: 'add-altname', link: index, name: altname });
  return changes;
}

/** What runtimes call a pod's first interface; containerd looks for the pod's addresses by it (go-cni, DefaultPrefix). */
const FIRST_INTERFACE = 'eth0';

type Renaming = {
  from: (string | undefined)[];
  to: string;
  altname: string | undefined;
  request: Request;
  names: ConsistentIfnameConfig['resultNames'];
};

/**
 * The result after the rename (docs/decisions/0007-first-name-in-results.md). The new name replaces the first one: entries
 * keep their places, so addresses point at the same interface. With `both`, the altname has an entry of its own at the
 * end, where the CHECK of the earlier plugins finds CNI_IFNAME; for a pod's first interface the addresses point there too,
 * because the runtime takes the pod's addresses from `eth0`, and refuses a pod without any. With `first`, the altname is the
 * only name.
 */
function renamedResult(result: Result, renaming: Renaming): Result {
  const { from, altname: first, request } = renaming;
  const { netns: sandbox, ifname } = request;
  const isFirst = ifname === FIRST_INTERFACE && first === FIRST_INTERFACE;
  const names = renaming.names ?? (isFirst ? 'both' : 'new');
  const to = names === 'first' && first !== undefined ? first : renaming.to;
  const altname = names === 'both' ? first : undefined;
  const interfaces = [...(result.interfaces ?? [])];
  const isIn = (entry: { sandbox?: string | undefined }) => Boolean(entry.sandbox);
  const places = [renaming.to, ...from].map((name) =>
    interfaces.findIndex((entry) => entry.name === name && isIn(entry)),
  );
  const place = places.find((index) => index >= 0) ?? -1;
  const entry = interfaces[place];
  if (entry === undefined) return result;
  interfaces[place] = { ...entry, name: to };
  const known = interfaces.findIndex((other) => other.name === altname && other.sandbox === sandbox);
  const aliasPlace = known < 0 ? interfaces.length : known;
  if (altname !== undefined && known < 0) interfaces.push({ name: altname, ...macOf(entry), sandbox });
  const ips = isFirst && altname !== undefined ? movedIps(result.ips, place, aliasPlace) : result.ips;
  // The same object if nothing changes, so that it is passed on to the letter.
  const isSame = entry.name === to && interfaces.length === result.interfaces?.length && ips === result.ips;
  return isSame ? result : { ...result, interfaces, ...(ips && { ips }) };
}

function movedIps(ips: Result['ips'], from: number, to: number): Result['ips'] {
  const moved = ips?.some((ip) => ip.interface === from);
  return moved ? ips?.map((ip) => (ip.interface === from ? { ...ip, interface: to } : ip)) : ips;
}

function macOf({ mac }: { mac?: string | undefined }): { mac?: string } {
  return mac === undefined ? {} : { mac };
}

function nameTaken(name: string, holder: Link, config: ConsistentIfnameConfig): CniError {
  const how = holder.name === name ? `interface "${name}"` : `interface "${holder.name}", as an altname`;
  const hint =
    config.ifname === undefined
      ? '; with two attachments to one network, set "key": "$' + '{name}/$' + '{ifname}"'
      : '';
  return new CniError(CniCode.nameTaken, `the name "${name}" is taken by ${how}${hint}`);
}
