import { join } from 'node:path';
import { addressFromBytes, addressToBytes } from '../address/address.ts';
import { covers, formatPrefix, type Prefix, parsePrefix } from '../address/prefix.ts';
import { describe, effectOf, type Planned } from '../change/change.ts';
import { attachmentArgs, DEFAULT_DATA_DIR } from '../cni/config.ts';
import { CniCode, CniError } from '../cni/errors.ts';
import type { Call } from '../cni/runner.ts';
import { summarize } from '../cni/summary.ts';
import { FileError, readFileIfThere } from '../files/files.ts';
import type { Observation } from '../observation/observation.ts';
import type { Definition } from './definition.ts';

/** The name of the file, beside the agent's socket, by which executables know what the agent was told to protect. */
export const PROTECTED_FILE = 'protected.json';

/**
 * Refuses changes that a pod's annotation (`args.cni`) asks for, and that lead packets to protected destinations elsewhere:
 * routes and rules to something within a protected prefix, or to one that covers it, but for default routes. A rule
 * without a destination covers everything.
 *
 * Throws CniError 108 that names every such change, and 5 if it cannot be told what is protected.
 */
export function assertUnprotected<C>(
  definition: Pick<Definition<C>, 'shapedBy'>,
  call: Pick<Call, 'request' | 'pacing'>,
  changes: readonly Planned[],
  observed: Observation,
): void {
  const keys = attachmentArgs(call.request.document);
  if (Object.keys(keys).length === 0) return;
  const asked = changes.filter(({ source }) => isAskedFor(source, keys, definition.shapedBy ?? []));
  if (asked.length === 0) return;
  const prefixes = call.pacing.protectedPrefixes ?? readProtected(join(DEFAULT_DATA_DIR, PROTECTED_FILE));
  const refused = asked.flatMap(({ change, source }) => {
    const hit = effectsOn(change).flatMap((target) => prefixes.find((each) => isAffected(each, target)) ?? [])[0];
    if (hit === undefined) return [];
    return `args.cni.${source}: ${formatPrefix(hit)} is protected on this node, so it does not ${describe(change, observed)}`;
  });
  if (refused.length === 0) return;
  const { message, details } = summarize('', refused);
  throw new CniError(CniCode.protectedDestination, message, { details });
}

/** Reads the prefixes from a file as the agent writes it; none if there is no file. Throws FileError. */
export function readProtected(path: string): Prefix[] {
  const text = readFileIfThere(path);
  if (text === undefined) return [];
  try {
    const list: unknown = JSON.parse(text);
    if (!Array.isArray(list)) throw new TypeError('it is no list');
    return list.map(parsePrefix);
  } catch (error) {
    throw new FileError(path, `does not say what is protected: ${(error as Error).message}`, error);
  }
}

// By the place in the config that wants the change; a key that shapes all of them makes all of them the annotation's.
function isAskedFor(source: string, keys: object, shapedBy: readonly string[]): boolean {
  const [key = ''] = /^\w+/.exec(source) ?? [];
  return Object.hasOwn(keys, key) || shapedBy.some((shape) => Object.hasOwn(keys, shape));
}

/** Addresses of IPv4 in the form of IPv6 (RFC 4291, 2.5.5.2). */
const MAPPED = parsePrefix('::ffff:0.0.0.0/96');

type Target = { readonly family: Prefix['family']; readonly to: Prefix | 'everything' };

function effectsOn(change: Planned['change']): Target[] {
  const { adds, deletes, addsRule, deletesRule } = effectOf(change);
  const routes = [adds, deletes].flatMap((route) => route ?? []).map(({ dst }) => parsePrefix(dst));
  const rules = [addsRule, deletesRule].flatMap((rule) => rule ?? []);
  const to = rules.flatMap((rule) => (rule.to === undefined ? [] : parsePrefix(rule.to)));
  return [
    ...[...routes.filter(({ length }) => length > 0), ...to].flatMap(asMeant).map((to) => ({ family: to.family, to })),
    ...rules.filter((rule) => rule.to === undefined).map(({ family }) => ({ family, to: 'everything' as const })),
  ];
}

// The kernel routes what a socket of IPv6 sends to a mapped address by IPv4, so such a route only looks like one to a service.
function asMeant(prefix: Prefix): Prefix[] {
  if (!covers(MAPPED, prefix)) return [prefix];
  const address = addressFromBytes(addressToBytes(prefix.address).subarray(12));
  return [prefix, { family: 4, address, length: prefix.length - MAPPED.length }];
}

function isAffected(prefix: Prefix, { family, to }: Target): boolean {
  if (to === 'everything') return prefix.family === family;
  return covers(prefix, to) || covers(to, prefix);
}
