import * as z from 'zod/mini';
import { type Family, familyOf, unspecified } from '../../lib/address/address.ts';
import { type ParsedConfig, parseConfig } from '../../lib/cni/config.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import { address, integer, interfaceName, readBySchema } from '../../lib/cni/schema.ts';
import { routePolicyKeys } from '../../lib/plugin/route-policy.ts';

/** What ADD waits for is there within minutes, or never. */
const MAX_WAIT_SECONDS = 600;
const WAIT = `a number from 0 to ${MAX_WAIT_SECONDS} is needed`;

/** How the gateway is taken from the pod's subnet: `first`, `last`, by number, or an address as it is written. */
export type GatewayChoice = string | { readonly offset: number };

type Gateway = GatewayChoice | { readonly [F in FamilyName]?: GatewayChoice | undefined };
type FamilyName = 'ipv4' | 'ipv6';

const someAddress = address.check((context) => {
  const text = context.value;
  if (text !== unspecified(familyOf(text))) return;
  context.issues.push({ code: 'custom', message: `${text} stands for no address`, input: text, continue: true });
});

const place: z.ZodMiniType<string> = z.pipe(
  z.string(),
  z.transform((text, context) => {
    if (text === 'first' || text === 'last') return text;
    const { value, problems } = readBySchema(someAddress, text);
    for (const { message } of problems) {
      const hint = 'it may be "first", "last", an address or {"offset": n}';
      context.issues.push({ code: 'custom', message: `${message}; ${hint}`, input: text });
    }
    return value ?? z.NEVER;
  }),
);
const numbered = z.strictObject({ offset: z.int({ error: 'a whole number is needed' }) });
const perFamily = z.strictObject({ ipv4: z.optional(choiceOf(4)), ipv6: z.optional(choiceOf(6)) });
const gateway = byKind<Gateway>((value) => (isObject(value) ? ('offset' in value ? numbered : perFamily) : place));

const hostAddresses = z.array(someAddress).check(z.minLength(1, 'must not be empty'), (context) => {
  const { value } = context;
  value.forEach((text, index) => {
    const first = value.indexOf(text);
    if (first === index) return;
    context.issues.push({ code: 'custom', message: `is hostAddresses[${first}] again`, input: text, path: [index] });
  });
});

/** The plugin's own keys. */
export const seamlessGatewayKeys = {
  hostInterface: z.optional(interfaceName),
  hostAddresses: z.optional(hostAddresses),
  gateway: z._default(gateway, 'first'),
  families: z.optional(z.array(z.enum(['ipv4', 'ipv6'])).check(z.minLength(1, 'must not be empty'))),
  waitSeconds: z._default(z.number().check(z.minimum(0, WAIT), z.maximum(MAX_WAIT_SECONDS, WAIT)), 0),
  verifyGateway: z.optional(z.strictObject({ timeoutSeconds: integer(1, MAX_WAIT_SECONDS) })),
  ...routePolicyKeys,
};

/** Those of them that `args.cni` cannot set: an error would tell whoever may annotate a pod which interfaces the node has. */
export const seamlessGatewayNodeKeys = ['hostInterface'];

export type SeamlessGatewayConfig = z.output<z.ZodMiniObject<typeof seamlessGatewayKeys>>;

/** Reads the plugin's config. Throws CniError 7 that lists every problem with its path. */
export function parseSeamlessGatewayConfig(document: JsonObject): ParsedConfig<SeamlessGatewayConfig> {
  return parseConfig(seamlessGatewayKeys, document, seamlessGatewayNodeKeys);
}

/** The choice for one family. */
export function gatewayChoice(config: SeamlessGatewayConfig, family: Family): GatewayChoice {
  if (typeof config.gateway === 'string' || 'offset' in config.gateway) return config.gateway;
  return (family === 4 ? config.gateway.ipv4 : config.gateway.ipv6) ?? 'first';
}

function choiceOf(family: Family) {
  const own = place.check((context) => {
    const text = context.value;
    if (text === 'first' || text === 'last' || familyOf(text) === family) return;
    context.issues.push({ code: 'custom', message: `${text} is not an IPv${family} address`, input: text });
  });
  return byKind<GatewayChoice>((value) => (isObject(value) ? numbered : own));
}

// A union would tell what is wrong in the terms of one of its forms, which may be none that was meant.
function byKind<T>(schemaFor: (value: unknown) => z.ZodMiniType<T>) {
  return z.pipe(
    z.unknown(),
    z.transform((given, context): T => {
      const { value, problems } = readBySchema(schemaFor(given), given);
      for (const { path, message } of problems) {
        context.issues.push({ code: 'custom', message, input: given, path: path === '' ? [] : [path] });
      }
      return problems.length > 0 ? z.NEVER : (value as T);
    }),
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
