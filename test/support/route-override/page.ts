import type { Aspect, Case } from './cases.ts';

/** The page that shows both plugins side by side: docs/route-override.md. */
export function pageOf(cases: readonly Case[]): string {
  const rows = cases.map(rowOf);
  const same = cases.filter(({ different }) => different === undefined).length;
  return `${HEAD}
${cases.length} configs, ${same} without any difference:

| | config | pod and \`prevResult\` | answer | routes | CHECK | why it differs |
| ---: | --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

const HEAD = `# Beside route-override

<!-- Written by test/chain/route-override.test.ts. WAYMARK_WRITE_PAGES=1 writes it anew. -->

\`static-route\` takes the configs of [route-override](https://github.com/redhat-nfvpe/cni-route-override) with only their \`type\`
changed. The test runs both executables on each of these configs, in a fresh network namespace for each, and compares:

- the **answer** of ADD: its result, or that it fails;
- the **routes** of the main table afterwards, as \`ip -d route\` prints them for both families, without the \`proto\` that marks ours;
- whether **CHECK** of that result succeeds.

The pod has 10.244.1.5/24 and fd00:244:1::5/64 on \`eth0\`, default routes through 10.244.1.1 and fd00:244:1::1, routes to
10.1.0.0/16, 10.2.0.0/16 and 2001:db8:1::/48, all in \`prevResult\`, and a route to 10.4.0.0/16 on the link, which is not. A difference is only
accepted where route-override prints an error and reports success, or where it contradicts its own README, its result or the
kernel's table. DEL is not compared: route-override's does nothing, ours restores the pod.
`;

function rowOf({ title = '', keys, commands = [], previous, version, different }: Case, index: number): string {
  const cell = (aspect: Aspect) => (different?.in.includes(aspect) ? '**differs**' : 'same');
  const situation = [
    title,
    ...commands.map((command) => `\`ip ${command}\``),
    ...(previous === undefined ? [] : [`\`prevResult\` with \`${JSON.stringify(previous)}\``]),
    ...(version === undefined ? [] : [`\`cniVersion\` ${version}`]),
  ].filter(Boolean);
  const cells = [
    index + 1,
    `\`${JSON.stringify(keys)}\``,
    situation.join('<br>'),
    cell('answer'),
    cell('routes'),
    cell('CHECK'),
    different?.why ?? '',
  ];
  return `| ${cells.join(' | ')} |`;
}
