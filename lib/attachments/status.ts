import { isDefaultDestination } from '../address/prefix.ts';
import { canonicalJson, isJsonObject, type JsonObject } from '../cni/json.ts';
import { linkNamed, type PodLink } from './links.ts';

/** The annotation that says what a pod has (NPWG's de-facto standard 1.3, section 5). */
export const STATUS_ANNOTATION = 'k8s.v1.cni.cncf.io/network-status';

/** An attachment that the status is to have. */
export type Attached = {
  readonly network: string;
  readonly ifname: string;
  /** The names of its links, by the result of ADD. */
  readonly links: readonly string[];
  /** By our record; undefined where others attached it. */
  readonly result: JsonObject | undefined;
};

/** The entries of the annotation; undefined if it has none that can be read. */
export function parseStatus(text: string | undefined): JsonObject[] | undefined {
  try {
    const entries: unknown = JSON.parse(text ?? 'null');
    return Array.isArray(entries) ? entries.filter(isJsonObject) : undefined;
  } catch {
    return undefined;
  }
}

/** The entries of the default network, which are not ours to change. */
export function defaultEntries(entries: readonly JsonObject[]): JsonObject[] {
  return entries.filter((entry) => entry.default === true);
}

/** Whose network an entry of the status is of: `namespace/name` of a definition. */
const DEFINITION = /^[a-z0-9][-a-z0-9]*\/[a-z0-9][-a-z0-9.]*$/;

/**
 * Is this entry about an attachment by a definition? Those of the default network, of node-wide networks and of others
 * who write into the status are not, and are left alone.
 */
export function isOfDefinition(entry: JsonObject): entry is JsonObject & { name: string; interface: string } {
  const { name, interface: ifname } = entry;
  return (
    entry.default !== true &&
    typeof name === 'string' &&
    DEFINITION.test(name) &&
    typeof ifname === 'string' &&
    ifname !== 'eth0' &&
    ifname !== 'lo'
  );
}

/**
 * What the status has to say: the default network's entries first and as they were; then the attachments in the
 * annotation's order, as the kernel has them; then what others wrote about networks that are not ours. Entries about
 * attachments that are not there are left out.
 */
export function statusOf(
  before: readonly JsonObject[],
  defaults: readonly JsonObject[],
  attached: readonly Attached[],
  links: readonly PodLink[],
): JsonObject[] {
  const current = defaultEntries(before);
  const names = new Set(attached.flatMap(({ ifname, links: own }) => [ifname, ...own]));
  const others = before.filter((entry) => entry.default !== true && !isOfDefinition(entry) && !isOneOf(names, entry));
  return [
    ...(current.length > 0 ? current : defaults),
    ...attached.flatMap((attachment) => entriesOf(attachment, before, links)),
    ...others,
  ];
}

/** The default network's entry of a pod whose status nobody wrote. */
export function defaultOf(links: readonly PodLink[], network: string): JsonObject[] {
  const link = linkNamed(links, 'eth0');
  if (link === undefined) return [];
  const { addresses: ips, mac, mtu } = link;
  const seen = { ...(ips.length > 0 && { ips }), ...(mac !== undefined && { mac }), mtu };
  return [{ name: network, interface: 'eth0', ...seen, default: true, dns: {} }];
}

/** Are two statuses equal in meaning, whatever their form? */
export function isSameStatus(a: readonly JsonObject[], b: readonly JsonObject[]): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

/** The annotation's value, in the form that Multus writes. */
export function formatStatus(entries: readonly JsonObject[]): string {
  return `[${entries.map((entry) => JSON.stringify(entry, undefined, 4)).join(',')}]`;
}

// One for each link that is there; one without link for a plugin that makes none.
function entriesOf(
  { network, ifname, links: names, result }: Attached,
  before: readonly JsonObject[],
  links: readonly PodLink[],
) {
  const there = new Set(names.flatMap((name) => linkNamed(links, name) ?? []));
  const old = (name: string) => before.find((entry) => entry.name === network && entry.interface === name);
  if (there.size === 0) {
    const kept = before.find((entry) => entry.name === network && [ifname, ...names].includes(String(entry.interface)));
    if (names.length > 0) return [];
    return [kept ?? { name: network, interface: ifname, ...fromResult(result), dns: {} }];
  }
  return [...there].map((link): JsonObject => {
    const seen = {
      ...(link.addresses.length > 0 && { ips: inOrder(link.addresses, old(link.name)?.ips) }),
      ...(link.mac !== undefined && { mac: link.mac }),
      mtu: link.mtu,
    };
    const entry = old(link.name);
    if (result === undefined && entry !== undefined) return corrected(entry, seen);
    return { name: network, interface: link.name, ...seen, ...fromResult(result) };
  });
}

// An entry of others stays as they wrote it, but for what is not so.
function corrected(entry: JsonObject, seen: JsonObject): JsonObject {
  const { ips: _, ...rest } = entry;
  const isSaid = ([key]: [string, unknown]) => key === 'ips' || entry[key] !== undefined;
  return { ...(seen.ips === undefined ? rest : entry), ...Object.fromEntries(Object.entries(seen).filter(isSaid)) };
}

// What only the result knows: name servers and the gateway of a default route.
function fromResult(result: JsonObject | undefined): JsonObject {
  const routes = Array.isArray(result?.routes) ? result.routes.filter(isJsonObject) : [];
  const gateways = routes.filter(({ dst }) => isDefaultDestination(dst)).flatMap(({ gw }) => gw ?? []);
  const dns = isJsonObject(result?.dns) ? result.dns : {};
  return { dns, ...(gateways.length > 0 && { gateway: gateways }) };
}

// The same addresses in another order are the same: they stay as they were.
function inOrder(addresses: readonly string[], before: unknown): readonly unknown[] {
  const isSame = Array.isArray(before) && canonicalJson(before.toSorted()) === canonicalJson(addresses.toSorted());
  return isSame ? before : addresses;
}

function isOneOf(names: ReadonlySet<string>, entry: JsonObject): boolean {
  return typeof entry.interface === 'string' && names.has(entry.interface);
}
