/** An update of an attachment, as the log, `waymark status` and `waymark explain` call it. `network`: `namespace/name`. */
export function updateText(ifname: string, network: string | undefined): string {
  return network === undefined ? `update routes of ${ifname}` : `update routes of ${ifname} by ${network}`;
}
