import * as z from 'zod/mini';
import { type ParsedConfig, parseConfig } from '../../lib/cni/config.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import { configError, integer, interfaceName } from '../../lib/cni/schema.ts';

/** SHA-256 has 64 hex digits. The limit of 15 bytes is checked for the complete name. */
const MAX_DIGITS = 64;

/** The plugin's own keys. */
export const consistentIfnameKeys = {
  mode: z._default(z.enum(['rename', 'altname']), 'rename'),
  scheme: z._default(z.enum(['kactus', 'kubevirt']), 'kactus'),
  prefix: z.optional(z.string()),
  hash: z.optional(z.enum(['md5', 'sha1', 'sha256'])),
  length: z.optional(integer(1, MAX_DIGITS)),
  key: z.optional(z.string().check(z.minLength(1, 'must not be empty'))),
  ifname: z.optional(interfaceName),
  keepAltname: z._default(z.boolean(), true),
  resultNames: z.optional(z.enum(['new', 'both', 'first'])),
};

export type ConsistentIfnameConfig = z.output<z.ZodMiniObject<typeof consistentIfnameKeys>>;

/** Reads the plugin's config. Throws CniError 7 that lists every problem with its path. */
export function parseConsistentIfnameConfig(document: JsonObject): ParsedConfig<ConsistentIfnameConfig> {
  const parsed = parseConfig(consistentIfnameKeys, document);
  const { resultNames, keepAltname } = parsed.config;
  if (resultNames === undefined || resultNames === 'new' || keepAltname) return parsed;
  const message = `"${resultNames}" needs "keepAltname": without it nothing answers to the first name`;
  throw configError('invalid network config', [{ path: 'resultNames', message }]);
}
