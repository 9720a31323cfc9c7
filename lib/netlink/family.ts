import type { Family } from '../address/address.ts';

/** The kernel's numbers of the address families (linux/socket.h). */
export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;

export function afOf(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

/** The family of a kernel number; undefined for those that are not the Internet's (bridge, MPLS). */
export function familyOfAf(af: number | undefined): Family | undefined {
  if (af === AF_INET) return 4;
  return af === AF_INET6 ? 6 : undefined;
}
