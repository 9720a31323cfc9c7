import * as z from 'zod/mini';
import { type ParsedConfig, parseConfig } from '../../lib/cni/config.ts';
import type { JsonObject } from '../../lib/cni/request.ts';
import { integer, interfaceName } from '../../lib/cni/schema.ts';

/** SHA-256 has 64 hex digits; the name's 15 bytes are checked when the whole name is known. */
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
};

export type ConsistentIfnameConfig = z.output<z.ZodMiniObject<typeof consistentIfnameKeys>>;

/** Reads the plugin's config. Throws CniError 7 that lists every problem with its path. */
export function parseConsistentIfnameConfig(document: JsonObject): ParsedConfig<ConsistentIfnameConfig> {
  return parseConfig(consistentIfnameKeys, document);
}
