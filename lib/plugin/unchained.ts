import { formatPrefix } from '../address/prefix.ts';
import type { Result } from '../cni/result.ts';
import type { Link } from '../netlink/link.ts';
import { RT_SCOPE_UNIVERSE } from '../netlink/route.ts';
import type { Observation } from '../observation/observation.ts';

/** The result of a plugin without prevResult: what it saw of the interface that it worked on. */
export function unchainedResult(link: Link, sandbox: string, observed: Observation): Result {
  const addresses = observed.addresses(link.index).filter(({ scope }) => scope === RT_SCOPE_UNIVERSE);
  return {
    interfaces: [{ name: link.name, ...(link.mac !== undefined && { mac: link.mac }), sandbox }],
    ips: addresses.map(({ prefix }) => ({ interface: 0, address: formatPrefix(prefix) })),
  };
}
