import { canonicalAddress } from '../address/address.ts';
import { consistentName } from './kactus.ts';
import {
  canonicalMac,
  fingerprintOf,
  type NetworkRequest,
  type Refusal,
  type Selection,
  type Selections,
} from './selection.ts';

/**
 * An attachment that exists as far as somebody knows. `attached`: ADD came to its end. `unfinished`: an ADD or DEL of
 * ours was cut short, or failed, so DEL has to be run. `pending`: nothing is in the pod, but a swap has yet to add it.
 */
export type Attachment = {
  /** CNI_IFNAME. */
  readonly ifname: string;
  readonly network: string;
  /** `own`: by our record. `birth`: by the status and the caches of whoever set the pod up. */
  readonly origin: 'own' | 'birth';
  readonly state: 'attached' | 'unfinished' | 'pending';
  /** The names of its links in the pod. A plugin may rename what it made, or make none. */
  readonly links: readonly string[];
  /** A link that it made is not there any more. */
  readonly isBroken: boolean;
  /** What it was made for; undefined: unknown. */
  readonly request?: NetworkRequest;
  /** It says all, since we made it when the pod started. */
  readonly isExact?: boolean;
  /** Keys of `cni-args` whose edits an update brings to it, so that they do not need a swap. */
  readonly updatedBy?: UpdatingKeys;
  /** The hardware address of its link; of a pending one, that of the link before. */
  readonly mac?: string;
  /** Without prefix lengths. */
  readonly addresses?: readonly string[];
  /** The gateways of default routes through its links; undefined: unknown. */
  readonly gateways?: readonly string[];
};

/** Some keys of `cni-args`. */
export type UpdatingKeys = Pick<ReadonlySet<string>, 'has'>;

/** What is in the pod. */
export type Observed = {
  readonly attachments: readonly Attachment[];
  /** Every name and altname of a link in the pod's namespace. */
  readonly names: readonly string[];
};

/** What is to be done, in this order. A step is data: it can be printed, recorded and compared. */
export type Step =
  | {
      readonly kind: 'detach';
      readonly ifname: string;
      readonly network: string;
      readonly why: DetachReason;
      readonly keepMac?: string;
    }
  | { readonly kind: 'attach'; readonly ifname: string; readonly selection: Selection; readonly keepMac?: string };

export type DetachReason = 'not selected' | 'swap' | 'unfinished' | 'link lost';

export type Plan = {
  readonly steps: readonly Step[];
  /** The interface of each selection that is or will be there, in the annotation's order. */
  readonly order: readonly { readonly ifname: string; readonly selection: Selection }[];
  readonly refusals: readonly Refusal[];
};

/** How interfaces without a name are called: `net1` and so on, or by their network as kactus calls them. */
export type InterfaceNames = 'numbered' | 'consistent';

/** Names that we never give, whatever the pod holds. */
const RESERVED = new Set(['lo', 'eth0', 'all', 'default']);

/**
 * Which steps make the pod hold what is selected. Pure. Everything is detached before anything is attached, so that
 * names, addresses and hardware addresses are free again.
 */
export function planSteps(
  { selections, refusals, problem }: Selections,
  observed: Observed,
  interfaceNames: InterfaceNames = 'numbered',
): Plan {
  if (problem !== undefined) return { steps: [], order: [], refusals: [{ reason: problem }] };
  const claims = claim(selections, refusals, observed.attachments);
  const claimed = new Set(claims.values());
  const unclaimed = observed.attachments.filter((attachment) => !claimed.has(attachment));
  const gone = unclaimed.filter((attachment) => !mayBeMeant(attachment, refusals));
  const detach: Step[] = gone.map(({ ifname, network }) => ({ kind: 'detach', ifname, network, why: 'not selected' }));
  const attach: Step[] = [];
  const order: { ifname: string; selection: Selection }[] = [];
  const refused = [...refusals];
  const isTaken = takenBy(observed, gone, [...selections, ...refusals]);

  for (const selection of selections) {
    const there = claims.get(selection);
    const ifname = there?.ifname ?? selection.interface ?? nameFor(selection, isTaken, interfaceNames);
    if (there === undefined && selection.interface !== undefined && isTaken.byOthers(ifname)) {
      refused.push({ ...selection, reason: `the pod has an interface ${ifname} of somebody else` });
      continue;
    }
    isTaken.add(ifname);
    order.push({ ifname, selection });
    const why = there === undefined ? undefined : detachReason(there, selection);
    const mac = there === undefined || selection.request.mac !== undefined ? undefined : there.mac;
    const kept = mac === undefined ? {} : { keepMac: mac };
    if (why !== undefined) detach.push({ kind: 'detach', ifname, network: there?.network ?? '', why, ...kept });
    if (there === undefined || why !== undefined || there.state === 'pending') {
      attach.push({ kind: 'attach', ifname, selection, ...kept });
    }
  }
  return { steps: [...detach, ...attach], order, refusals: refused };
}

/** Was this attachment made for what the selection asks for? */
export function serves(attachment: Attachment, selection: Selection): boolean {
  if (attachment.network !== selection.network) return false;
  const { request: wanted } = selection;
  if (!isKnown(attachment) && !hasDefaultRoutes(attachment, wanted)) return false;
  if (attachment.request !== undefined) {
    const [made, asked] = isKnown(attachment) ? [attachment.request, wanted] : comparable(attachment, wanted);
    const fixed = (request: NetworkRequest) => fingerprintOf(withoutUpdated(request, attachment.updatedBy));
    return fixed(made) === fixed(asked);
  }
  // Nobody knows what it was made for, so the kernel has to tell.
  const hasMac =
    wanted.mac === undefined || attachment.mac === undefined || canonicalMac(wanted.mac) === attachment.mac;
  const { addresses } = attachment;
  return (
    hasMac && (addresses === undefined || (wanted.ips ?? []).every((ip) => addresses.includes(ip.split('/')[0] ?? '')))
  );
}

function withoutUpdated(request: NetworkRequest, updatedBy: UpdatingKeys | undefined): NetworkRequest {
  const { cniArgs, ...rest } = request;
  if (updatedBy === undefined || cniArgs === undefined) return request;
  const left = Object.entries(cniArgs).filter(([key]) => !updatedBy.has(key));
  return left.length === 0 ? rest : { ...rest, cniArgs: Object.fromEntries(left) };
}

function isKnown({ origin, isExact = false }: Attachment): boolean {
  return origin === 'own' || isExact;
}

// Caches of others do not say who had a claim or the default route, and whether a device was asked for or just given.
function comparable({ request = {} }: Attachment, wanted: NetworkRequest): [NetworkRequest, NetworkRequest] {
  const cached = ({ ipamClaim: _, defaultRoute: __, ...rest }: NetworkRequest): NetworkRequest => rest;
  if (wanted.deviceID !== undefined) return [cached(request), cached(wanted)];
  const { deviceID: _, ...rest } = request;
  return [cached(rest), cached(wanted)];
}

// What the kernel says of an attachment that others made: their caches do not say what it was made for.
function hasDefaultRoutes({ gateways }: Attachment, { defaultRoute = [] }: NetworkRequest): boolean {
  return gateways === undefined || defaultRoute.every((gateway) => gateways.includes(canonicalAddress(gateway)));
}

function detachReason(there: Attachment, selection: Selection): DetachReason | undefined {
  if (there.state === 'unfinished') return 'unfinished';
  if (there.state === 'pending') return undefined;
  if (!serves(there, selection)) return 'swap';
  return there.isBroken ? 'link lost' : undefined;
}

// Which attachment stands for which selection: by its name; else the same request; else the same network.
function claim(
  selections: readonly Selection[],
  refusals: readonly Refusal[],
  attachments: readonly Attachment[],
): Map<Selection, Attachment> {
  const claims = new Map<Selection, Attachment>();
  // In an order that does not depend on what was attached last.
  const free = new Set(attachments.toSorted((a, b) => (a.ifname < b.ifname ? -1 : 1)));
  const rounds: ((selection: Selection, attachment: Attachment) => boolean)[] = [
    ({ interface: name }, { ifname, links }) => name !== undefined && (ifname === name || links.includes(name)),
    (selection, attachment) => selection.interface === undefined && serves(attachment, selection),
    (selection, { network }) => selection.interface === undefined && network === selection.network,
  ];
  // A name that another selection asks for is not given to one that does not care.
  const asked = new Set([...selections, ...refusals].flatMap((selection) => selection.interface ?? []));
  for (const fits of rounds) {
    for (const selection of selections.filter((item) => !claims.has(item))) {
      const found = [...free].find(
        (attachment) =>
          fits(selection, attachment) && (selection.interface !== undefined || !asked.has(attachment.ifname)),
      );
      if (found === undefined) continue;
      claims.set(selection, found);
      free.delete(found);
    }
  }
  return claims;
}

// A selection that cannot be read may mean this attachment: nothing is detached because of a misspelling.
function mayBeMeant({ ifname, links, network }: Attachment, refusals: readonly Refusal[]): boolean {
  return refusals.some((refusal) => {
    if (refusal.interface !== undefined) return refusal.interface === ifname || links.includes(refusal.interface);
    return refusal.network === undefined || refusal.network === network;
  });
}

type Taken = { byOthers(name: string): boolean; has(name: string): boolean; add(name: string): void };

function takenBy(
  { attachments, names }: Observed,
  gone: readonly Attachment[],
  wanted: readonly { readonly interface?: string }[],
): Taken {
  const freed = new Set(gone.flatMap(({ ifname, links }) => [ifname, ...links]));
  const kept = attachments.filter((attachment) => !gone.includes(attachment));
  const others = new Set([
    ...names.filter((name) => !freed.has(name)),
    ...kept.flatMap(({ ifname, links }) => [ifname, ...links]),
  ]);
  const given = new Set(wanted.flatMap((selection) => selection.interface ?? []));
  const byOthers = (name: string) => others.has(name) || RESERVED.has(name);
  return { byOthers, has: (name) => byOthers(name) || given.has(name), add: (name) => given.add(name) };
}

// The same network twice cannot have the same name twice.
function nameFor({ name }: Selection, taken: Taken, names: InterfaceNames): string {
  const consistent = names === 'consistent' ? consistentName(name) : undefined;
  return consistent === undefined || taken.has(consistent) ? freeName(taken) : consistent;
}

function freeName(taken: Taken): string {
  for (let n = 1; ; n++) if (!taken.has(`net${n}`)) return `net${n}`;
}

/** A step in a few words. */
export function describe(step: Step): string {
  if (step.kind === 'attach') return `attach ${step.ifname} to ${step.selection.network}`;
  return `detach ${step.ifname} from ${step.network} (${step.why})`;
}

/** The same for the same step, also when it is planned again. */
export function stepKey(step: Step): string {
  if (step.kind === 'detach') return `detach ${step.ifname} ${step.network}`;
  return `attach ${step.ifname} ${step.selection.network} ${fingerprintOf(step.selection.request)}`;
}
