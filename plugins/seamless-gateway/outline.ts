import { type Family, familyOf } from '../../lib/address/address.ts';
import { bitsOf } from '../../lib/address/prefix.ts';
import { gatewayChoice, type SeamlessGatewayConfig } from './config.ts';

/** What the config says about every pod: whose addresses are routed, and how the gateway is chosen. */
export function outlineSeamlessGateway(config: SeamlessGatewayConfig): string[] {
  const { hostAddresses, hostInterface, families = ['ipv4', 'ipv6'] } = config;
  const isWanted = (family: Family) => families.includes(`ipv${family}`);
  if (hostAddresses !== undefined) {
    return hostAddresses
      .map((address) => ({ address, family: familyOf(address) }))
      .filter(({ family }) => isWanted(family))
      .map(({ address, family }) => `add route ${address}/${bitsOf(family)} via ${choiceText(config, family)}`);
  }
  const which = hostInterface === undefined ? 'the interface of its default route' : `its interface ${hostInterface}`;
  const both = config.families === undefined ? ', where host and pod have one' : '';
  const each: Family[] = [4, 6];
  return each
    .filter(isWanted)
    .map(
      (family) =>
        `add a route to the host's IPv${family} address on ${which}${both}, via ${choiceText(config, family)}`,
    );
}

function choiceText(config: SeamlessGatewayConfig, family: Family): string {
  const choice = gatewayChoice(config, family);
  if (typeof choice === 'object') return `address number ${choice.offset} of the pod's subnet`;
  return choice === 'first' || choice === 'last' ? `the ${choice} address of the pod's subnet` : choice;
}
