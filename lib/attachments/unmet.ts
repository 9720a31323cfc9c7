import { canonicalAddress } from '../address/address.ts';
import { isJsonObject, type JsonObject } from '../cni/json.ts';
import type { NetworkList } from '../runtime/network.ts';
import { newestResult } from './result-status.ts';
import { canonicalMac, type NetworkRequest } from './selection.ts';

/** Requests that only a plugin with the capability can honor; addresses reach plugins in `CNI_ARGS` too. */
const BY_CAPABILITY: { readonly [key in keyof NetworkRequest]?: string } = {
  portMappings: 'portMappings',
  bandwidth: 'bandwidth',
  deviceID: 'deviceID',
  infinibandGuid: 'infinibandGUID',
};

/** Which capabilities does the selection ask for that no plugin of the list has? Multus drops such requests silently. */
export function missingCapabilities(request: NetworkRequest, { plugins }: NetworkList): string[] {
  const offered = new Set(
    plugins.flatMap(({ capabilities }) =>
      isJsonObject(capabilities) ? Object.keys(capabilities).filter((name) => capabilities[name] === true) : [],
    ),
  );
  return Object.entries(BY_CAPABILITY).flatMap(([key, capability]) =>
    request[key as keyof NetworkRequest] !== undefined && !offered.has(capability) ? [capability] : [],
  );
}

/** What of the addresses that were asked for does the result not have? Lines; none if it has all, or names none at all. */
export function unmetRequests({ ips = [], mac }: NetworkRequest, result: JsonObject): string[] {
  const { ips: given = [], interfaces = [] } = newestResult(result);
  const addresses = new Set(given.map(({ address }) => plain(address)));
  const missing = ips.map(plain).filter((ip) => !addresses.has(ip));
  const macs = interfaces.flatMap((item) => (item.sandbox && item.mac ? [canonicalMac(item.mac)] : []));
  const isOther = mac !== undefined && macs.length > 0 && !macs.includes(canonicalMac(mac));
  return [
    ...missing.map((ip) => `address ${ip} is asked for, and the pod got ${[...addresses].join(', ') || 'none'}`),
    ...(isOther ? [`hardware address ${mac} is asked for, and the pod got ${macs.join(', ')}`] : []),
  ];
}

function plain(address: string): string {
  return canonicalAddress(address.split('/')[0] ?? '');
}
