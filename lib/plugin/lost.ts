import { type Change, effectOf, holds, inverseOf } from '../change/change.ts';
import type { RecordedAttachment } from '../inventory/records.ts';
import { describeRoute, hasHop, type Route, routeKey } from '../netlink/route.ts';
import { describeRule, isSameSelection, type Rule } from '../netlink/rule.ts';
import type { Observation } from '../observation/observation.ts';

/**
 * The routes and rules that an attachment has recorded and the pod has not, in their order: neither has a change of ours
 * taken them back, nor has the link gone that they are about. `all` are the attachments of the pod.
 */
export function lostChanges(
  attachment: RecordedAttachment,
  all: readonly RecordedAttachment[],
  observed: Observation,
): Change[] {
  const others = all.filter((other) => other !== attachment).flatMap(({ changes }) => changes);
  const takenBack = new Set(others.flatMap(({ change }) => deletedBy(change)));
  const lost: Change[] = [];
  // The last first, so that what is behind a change is known.
  for (const { change } of attachment.changes.toReversed()) {
    for (const key of deletedBy(change)) takenBack.add(key);
    const { adds, addsRule } = effectOf(change);
    if (adds === undefined && addsRule === undefined) continue;
    if (holds(change, observed) || deletedBy(inverseOf(change)).some((key) => takenBack.has(key))) continue;
    if (hasLinks(change, observed)) lost.unshift(change);
  }
  return lost;
}

/** What others have put in the place of a route or rule that is lost. */
export function rivalsOf(change: Change, observed: Observation): Change[] {
  const { adds, addsRule } = effectOf(change);
  const routes =
    adds === undefined ? [] : observed.routesLike(adds).map((route) => ({ op: 'add-route', route }) as const);
  const rules = addsRule === undefined ? [] : observed.rulesIn(addsRule.family);
  const rivals = rules.filter((rule) => addsRule !== undefined && isSameSelection(rule, addsRule));
  return [...routes, ...rivals.map((rule) => ({ op: 'add-rule', rule }) as const)];
}

/**
 * Of a route that has lost some of its hops only, as IPv6's can, what is to be appended to the rest of it. undefined for
 * others.
 */
export function lostHops(change: Change, observed: Observation): Route | undefined {
  const { adds: ours } = effectOf(change);
  if (ours === undefined || ours.family !== 6) return undefined;
  const rest = observed.routesLike(ours).find(({ protocol, hops }) => {
    return protocol === ours.protocol && hops.length > 0 && hops.every((hop) => hasHop(ours, hop));
  });
  const hops = ours.hops.filter((hop) => rest !== undefined && !hasHop(rest, hop));
  return hops.length === 0 ? undefined : { ...ours, hops };
}

/** A route or rule that is there, and who made it, in the words of `ip`. */
export function describeHolder(change: Change, { linkName }: Observation): string {
  const { adds, addsRule } = effectOf(change);
  if (adds !== undefined) return `${describeRoute(adds, linkName)} proto ${protocolName(adds.protocol)}`;
  return addsRule === undefined ? '' : `rule ${describeRule(addsRule)} proto ${protocolName(addsRule.protocol ?? 0)}`;
}

/** The route or rule of a change, in the words of `ip`. */
export function describeLost(change: Change, { linkName }: Pick<Observation, 'linkName'>): string {
  const { adds, addsRule } = effectOf(change);
  if (adds !== undefined) return describeRoute(adds, linkName);
  return addsRule === undefined ? '' : `rule ${describeRule(addsRule)}`;
}

function deletedBy(change: Change): string[] {
  const { deletes, deletesRule } = effectOf(change);
  return [...(deletes ? [keyOfRoute(deletes)] : []), ...(deletesRule ? [keyOfRule(deletesRule)] : [])];
}

// By what they do to the namespace: the route that was deleted may have got other metrics than the one that was added.
function keyOfRoute(route: Route): string {
  return `${route.family} ${routeKey(route)}`;
}

function keyOfRule({ protocol: _, detached: __, ...rule }: Rule): string {
  return JSON.stringify(Object.entries(rule).sort());
}

function hasLinks(change: Change, observed: Observation): boolean {
  const { adds, addsRule } = effectOf(change);
  const names = [addsRule?.iif, addsRule?.oif].filter((name) => name !== undefined);
  return (
    (adds?.hops ?? []).every(({ oif }) => observed.linkAt(oif) !== undefined) &&
    names.every((name) => observed.linkNamed(name) !== undefined)
  );
}

/** The names of iproute2's table of protocols (linux/rtnetlink.h, RTPROT_*), of those that are met in pods. */
const PROTOCOLS: { readonly [protocol: number]: string } = {
  1: 'redirect',
  2: 'kernel',
  3: 'boot',
  4: 'static',
  9: 'ra',
  11: 'zebra',
  12: 'bird',
  16: 'dhcp',
  17: 'mrouted',
  18: 'keepalived',
  42: 'babel',
  84: 'ovn',
  99: 'openr',
  186: 'bgp',
  187: 'isis',
  188: 'ospf',
  189: 'rip',
  192: 'eigrp',
};

function protocolName(protocol: number): string {
  return PROTOCOLS[protocol] ?? String(protocol);
}
