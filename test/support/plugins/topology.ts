/** The subnet map of a site with two vrfs, as its operators wrote it, including the comments. */
export const TOPOLOGY_YAML = `---
# multicast domain, one vrf for each site
vrf:
  chile:
    subnets:
      139.229.147.0/24:
        gw: 139.229.147.254
      139.229.166.0/24:
        gw: 139.229.166.254 # core switch
      139.229.167.0/24: {gw: 139.229.167.254}
      139.229.170.0/24: {gw: 139.229.170.254}
      139.229.178.0/24: {gw: 139.229.178.254}
  tucson:
    subnets:
      140.252.147.16/28:
        gw: 140.252.147.17
      140.252.147.48/28:
        gw: 140.252.147.49
      140.252.147.128/27:
        gw: 140.252.147.129
`;

/** Addresses of pods in that map, with the routes that each must get. */
export const TOPOLOGY_PODS: [address: string, routes: string[]][] = [
  [
    '139.229.166.20/24',
    ['139.229.147.0/24', '139.229.167.0/24', '139.229.170.0/24', '139.229.178.0/24'].map(
      (dst) => `${dst} via 139.229.166.254`,
    ),
  ],
  ['140.252.147.50/28', ['140.252.147.16/28', '140.252.147.128/27'].map((dst) => `${dst} via 140.252.147.49`)],
  ['10.0.0.5/24', []],
];
