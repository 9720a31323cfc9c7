import { bitsOf, firstHost, formatPrefix, type Prefix } from '../../lib/address/prefix.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';

/**
 * The first address of the subnet, which is a guess that holds for most. `source` is the place in the config that needs a
 * gateway, `remedy` what its author can do instead. Throws CniError 102 if it would be the pod itself, or if the subnet is too small to have one.
 */
export function computedGateway(prefix: Prefix, source: string, remedy = 'name it with "gw"'): string {
  const gateway = firstHost(prefix);
  if (prefix.length < bitsOf(prefix.family) - 1 && gateway !== prefix.address) return gateway;
  const reason = gateway === prefix.address ? 'it would be the pod itself' : 'the subnet is too small to have one';
  const message = `${source}: no gateway can be computed from ${formatPrefix(prefix)}: ${reason}; ${remedy}`;
  throw new CniError(CniCode.noGateway, message);
}

/** Is the address of use beyond the link? An IPv4 one is, whatever its scope. */
export function isGlobal({ scope, prefix }: { scope: number; prefix: Prefix }): boolean {
  return prefix.family === 4 || scope === 0;
}
