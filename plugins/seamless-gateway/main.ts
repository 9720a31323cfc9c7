import { definePlugin } from '../../lib/plugin/define.ts';
import { VERSION } from '../../lib/version.ts';
import { parseSeamlessGatewayConfig, seamlessGatewayKeys } from './config.ts';
import { outlineSeamlessGateway } from './outline.ts';
import { hostState, planSeamlessGateway } from './plan.ts';
import { describeVerifyGateways, verifyGateways } from './verify.ts';

/** Routes the host's own addresses through the gateway of the pod's subnet. See README.md beside this file. */
export const seamlessGateway = definePlugin({
  name: 'seamless-gateway',
  version: VERSION,
  parseConfig: parseSeamlessGatewayConfig,
  plan: planSeamlessGateway,
  outline: outlineSeamlessGateway,
  patience: ({ waitSeconds }) => waitSeconds,
  verify: verifyGateways,
  describeVerify: describeVerifyGateways,
  shapedBy: ['interface', 'onConflict', 'hostAddresses', 'gateway', 'families'],
  updatedBy: Object.keys(seamlessGatewayKeys),
  nodeState: hostState,
  rehearsal: { hostAddresses: ['10.0.32.2', 'fd00:32::2'] },
});
