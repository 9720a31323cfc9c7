import fc from 'fast-check';
import t from 'tap';
import { formatPrefix, type Prefix } from '../../../lib/address/prefix.ts';
import type { Request } from '../../../lib/cni/request.ts';
import { parseSeamlessGatewayConfig } from '../../../plugins/seamless-gateway/config.ts';
import { gatewaysOf, planSeamlessGateway } from '../../../plugins/seamless-gateway/plan.ts';
import { run, works } from '../../support/namespaces/namespace.ts';
import { observed } from '../../support/plugins/observed.ts';

// The script that this plugin takes the place of asked ipcalc for the gateway: where it has an answer, ours is the same.

const noIpcalc = works('ipcalc-ng', ['--version']) ? false : 'needs ipcalc-ng';

const byte = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 254, 255));
const subnets: Prefix[] = fc.sample(
  fc.record({
    family: fc.constant(4 as const),
    address: fc.tuple(fc.integer({ min: 1, max: 223 }), byte, byte, byte).map((bytes) => bytes.join('.')),
    length: fc.integer({ min: 1, max: 32 }),
  }),
  { numRuns: 500, seed: 131 },
);

t.test(`the gateway is what ipcalc-ng answers for ${subnets.length} subnets`, { skip: noIpcalc }, async (t) => {
  const answers = ipcalc(subnets);
  t.equal(answers.length, subnets.length);
  let refusals = 0;
  for (const [i, subnet] of subnets.entries()) {
    const { MINADDR, MAXADDR } = answers[i] ?? {};
    for (const [place, answer] of [
      ['first', MINADDR],
      ['last', MAXADDR],
    ]) {
      const isRefused = subnet.length >= 31 || answer === subnet.address;
      if (isRefused) refusals++;
      t.equal(gatewayIn(subnet, place), isRefused ? 102 : answer, `${place} of ${formatPrefix(subnet)}`);
    }
  }
  t.ok(refusals > 20 && refusals < subnets.length / 2, `${refusals} are refused`);
});

/** The gateway that the plugin computes for a pod in this subnet, or the code of its refusal. */
function gatewayIn(subnet: Prefix, gateway: unknown): string | number | undefined {
  const { config } = parseSeamlessGatewayConfig({ name: 'net', hostAddresses: ['192.0.2.1'], gateway });
  const request = { ifname: 'eth0', netns: '/run/netns/pod' } as Request;
  const pod = observed({ eth0: [formatPrefix(subnet)] });
  try {
    const plan = planSeamlessGateway({ request, config, previous: undefined, observed: pod, host: () => pod });
    return gatewaysOf(plan)[0]?.address;
  } catch (error) {
    return (error as { code: number }).code;
  }
}

/** What ipcalc-ng prints for each subnet, by one shell. */
function ipcalc(prefixes: Prefix[]): { [key: string]: string }[] {
  const script = 'while read -r p; do ipcalc-ng --minaddr --maxaddr "$p" || exit 1; echo; done';
  const blocks = run('sh', ['-c', script], prefixes.map((prefix) => `${formatPrefix(prefix)}\n`).join(''));
  return blocks
    .trimEnd()
    .split('\n\n')
    .map((block) => Object.fromEntries(block.split('\n').map((line) => line.split('='))));
}
