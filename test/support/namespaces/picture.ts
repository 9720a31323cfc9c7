import type { Scratch } from './namespace.ts';

/** The names, addresses and routes of a pod, to compare before and after. */
export function pictureOf(pod: Scratch): string {
  // This one first: it waits until the kernel has made what it makes by itself.
  const routes = pod.routes();
  const addresses = pod.ipJson('address show').map(({ ifname, altnames, operstate, addr_info }) => ({
    ifname,
    altnames,
    operstate,
    addr_info,
  }));
  return JSON.stringify([addresses, routes]);
}
