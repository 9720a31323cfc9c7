import { type CachedCall, linksOf, requestOf } from '../lib/attachments/caches.ts';
import { linkNamed, linkNames, type PodLink } from '../lib/attachments/links.ts';
import type { NetworkRequest } from '../lib/attachments/selection.ts';
import { isOfDefinition } from '../lib/attachments/status.ts';
import type { Attachment, Observed, UpdatingKeys } from '../lib/attachments/steps.ts';
import { isJsonObject, type JsonObject } from '../lib/cni/json.ts';
import type { SandboxRecord } from './records.ts';

/** What somebody knows of a sandbox: our record, the status' entries, and the caches of whoever set the pod up. */
export type Known = {
  readonly record: SandboxRecord | undefined;
  readonly entries: readonly JsonObject[];
  readonly cached: () => readonly CachedCall[];
  /** What we gave the pod when it started, by interface; undefined: nothing. */
  readonly atBirth?: (ifname: string) => NetworkRequest | undefined;
  /** See `Attachment`, of a network list with these plugins. */
  readonly updatedBy?: (types: readonly string[]) => UpdatingKeys | undefined;
  /** The gateways of default routes, by link; undefined: nobody wants to know, or they cannot be read. */
  readonly gateways?: ReadonlyMap<string, readonly string[]> | undefined;
};

/** What is in the pod, as far as it can be somebody's attachment. Pure, but for the caches, which are read if needed. */
export function observedOf(links: readonly PodLink[], { record, ...others }: Known): Observed {
  const { updatedBy } = others;
  const own = (record?.attachments ?? []).map((recorded): Attachment => {
    const { ifname, network, state, request, keepMac, result, call } = recorded;
    const names = linkNames(ifname, result, links);
    const mac = state === 'attached' ? macOf(links, names) : keepMac;
    return {
      ifname,
      network,
      origin: 'own',
      state,
      links: names,
      isBroken: isLost(links, names),
      request,
      ...updatedIn(call?.list, updatedBy),
      ...(mac !== undefined && { mac }),
    };
  });
  const names = links.flatMap(({ name, altnames }) => [name, ...altnames]);
  return { attachments: [...own, ...birthAttachments(links, own, others)], names };
}

function birthAttachments(
  links: readonly PodLink[],
  own: readonly Attachment[],
  { entries, cached, atBirth, gateways, updatedBy }: Omit<Known, 'record'>,
): Attachment[] {
  const taken = new Set(own.flatMap((attachment) => [attachment.ifname, ...attachment.links]));
  const protectedNames = entries.flatMap((entry) => (entry.default === true ? [entry.interface] : []));
  const found = new Map<string, Attachment>();
  const candidates = entries.filter(isOfDefinition).filter((entry) => !taken.has(entry.interface));
  for (const entry of candidates) {
    if (protectedNames.includes(entry.interface)) continue;
    const call = cached().find(({ input, result }) => {
      return input.ifname === entry.interface || linksOf(result).includes(entry.interface);
    });
    const ifname = call?.input.ifname ?? entry.interface;
    if (taken.has(ifname) || found.has(ifname) || protectedNames.includes(ifname)) continue;
    const link = linkNamed(links, entry.interface);
    // Neither a cache nor the kernel knows of it: the status is out of date.
    if (call === undefined && link === undefined) continue;
    const names = call === undefined ? [entry.interface] : linksOf(call.result);
    const mac = macOf(links, names);
    const request = call && atBirth?.(ifname);
    found.set(ifname, {
      ifname,
      network: entry.name,
      origin: 'birth',
      state: 'attached',
      links: names,
      isBroken: isLost(links, names),
      ...(call !== undefined ? { request: request ?? requestOf(call) } : { addresses: link?.addresses ?? [] }),
      ...(request !== undefined && { isExact: true }),
      ...updatedIn(call?.config, updatedBy),
      ...(mac !== undefined && { mac }),
      ...(gateways !== undefined && { gateways: names.flatMap((name) => gateways.get(name) ?? []) }),
    });
  }
  return [...found.values()];
}

function updatedIn(list: string | JsonObject | undefined, updatedBy: Known['updatedBy']): { updatedBy?: UpdatingKeys } {
  if (list === undefined || updatedBy === undefined) return {};
  const document = typeof list === 'string' ? (JSON.parse(list) as JsonObject) : list;
  const plugins: unknown[] = Array.isArray(document.plugins) ? document.plugins : [document];
  const keys = updatedBy(plugins.map((plugin) => (isJsonObject(plugin) ? String(plugin.type) : '')));
  return keys === undefined ? {} : { updatedBy: keys };
}

// A plugin that renames may leave its first name in the result; one link that is there is enough.
function isLost(links: readonly PodLink[], names: readonly string[]): boolean {
  return names.length > 0 && names.every((name) => linkNamed(links, name) === undefined);
}

function macOf(links: readonly PodLink[], names: readonly string[]): string | undefined {
  return names.map((name) => linkNamed(links, name)?.mac).find((mac) => mac !== undefined);
}
