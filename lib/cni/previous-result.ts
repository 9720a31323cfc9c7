import * as z from 'zod/mini';
import { formatPrefix } from '../address/prefix.ts';
import { fromVersion, type Result } from './result.ts';
import { address, configError, prefix, readBySchema } from './schema.ts';
import { type CniVersion, isSupported, SUPPORTED_VERSIONS } from './version.ts';

const cidr = z.pipe(
  prefix,
  z.transform((value) => formatPrefix(value)),
);
const gateway = z.optional(z.nullable(address));

const route = z.looseObject({ dst: cidr, gw: gateway });
const routes = z.optional(z.nullable(z.array(route)));
const dns = z.optional(z.looseObject({}));

const oldIp = z.optional(z.nullable(z.looseObject({ ip: cidr, gateway, routes })));
const separateFamilies = z.looseObject({ ip4: oldIp, ip6: oldIp, dns });

const lists = z.looseObject({
  interfaces: z.optional(
    z.nullable(
      z.array(z.looseObject({ name: z.string(), mac: z.optional(z.string()), sandbox: z.optional(z.string()) })),
    ),
  ),
  ips: z.optional(z.nullable(z.array(z.looseObject({ address: cidr, gateway, interface: z.optional(z.int()) })))),
  routes,
  dns,
});

/**
 * Reads `prevResult`, whose version is its own `cniVersion`, else the config's. Throws CniError 7 with the path of
 * every problem.
 */
export function parsePreviousResult(document: unknown, configVersion: CniVersion): Result {
  const version = versionOf(document) ?? configVersion;
  if (!isSupported(version)) {
    const message = `is none of ${SUPPORTED_VERSIONS.join(', ')}`;
    throw configError('invalid prevResult', [{ path: 'prevResult.cniVersion', message }]);
  }
  const schema = version === '0.1.0' || version === '0.2.0' ? separateFamilies : lists;
  const read = readBySchema(schema as z.ZodMiniType, document, ['prevResult']);
  if (read.problems.length > 0) throw configError('invalid prevResult', read.problems);
  return fromVersion(withoutNulls(read.value as object), version);
}

// The reference implementation writes null for an empty list (Go's nil slice).
function withoutNulls(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== null));
}

function versionOf(document: unknown): string | undefined {
  const version = (document as { cniVersion?: unknown } | null)?.cniVersion;
  return typeof version === 'string' && version !== '' ? version : undefined;
}
