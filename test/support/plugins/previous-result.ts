import type { CniVersion } from '../../../lib/cni/version.ts';

/** A route of a result that the plugins before may have added. */
type Route = { dst: string; gw?: string; [key: string]: unknown };

/** The routes of `previousResult`. */
const ROUTES: readonly Route[] = [
  { dst: '0.0.0.0/0', gw: '10.244.1.1' },
  { dst: '10.8.0.0/16' },
  { dst: '2001:db8::/32' },
];

/**
 * The result of the plugins before, for the pod of `scratchPod`, in the form of a version, written by hand from the
 * specification of each. `more` is appended to its routes.
 */
export function previousResult(version: CniVersion, sandbox: string, more: readonly Route[] = []): object {
  const routes = [...ROUTES, ...more];
  const dns = { nameservers: ['10.1.0.1'], domain: 'example.org', search: ['example.org'], options: ['ndots:5'] };
  if (version === '0.1.0' || version === '0.2.0') {
    return {
      cniVersion: version,
      ip4: { ip: '10.244.1.5/24', gateway: '10.244.1.1', routes: routes.filter(({ dst }) => !dst.includes(':')) },
      ip6: { ip: 'fd00:244:1::5/64', routes: routes.filter(({ dst }) => dst.includes(':')) },
      dns,
    };
  }
  const family = (name: '4' | '6') => (version.startsWith('0.') ? { version: name } : {});
  return {
    cniVersion: version,
    interfaces: [
      { name: 'cni0', mac: '00:11:22:33:44:55' },
      { name: 'eth0', mac: '99:88:77:66:55:44', sandbox },
    ],
    ips: [
      { ...family('4'), address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 1 },
      { ...family('6'), address: 'fd00:244:1::5/64', interface: 1 },
    ],
    routes,
    dns,
  };
}

/** The same with keys that no version defines, at every level, and with unusual spellings of addresses. */
export function unusualResult(version: CniVersion, sandbox: string): object {
  const { ip4, ip6, interfaces, ips, ...rest } = previousResult(version, sandbox) as { [key: string]: unknown };
  const vendor = { 'example.org/key': [1, null, { a: 'ü' }] };
  const spelt = { dst: '2001:DB8:0:0::/32', gw: 'FE80::0001', ...vendor };
  if (ip4 !== undefined) {
    return { ...rest, ip4: { ...(ip4 as object), ...vendor }, ip6: { ...(ip6 as object), routes: [spelt] }, ...vendor };
  }
  const first = (list: unknown) => (list as object[]).map((entry, i) => (i === 0 ? { ...entry, ...vendor } : entry));
  return { ...rest, interfaces: first(interfaces), ips: first(ips), routes: [spelt], ...vendor };
}
