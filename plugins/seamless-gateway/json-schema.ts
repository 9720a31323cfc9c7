import type { ConfigSchema, Descriptions } from '../../lib/json-schema/description.ts';
import { address, IPV4, IPV6, interfaceName, specified } from '../../lib/json-schema/patterns.ts';
import { ROUTE_POLICY } from '../../lib/json-schema/shared-keys.ts';
import { seamlessGatewayKeys, seamlessGatewayNodeKeys } from './config.ts';

const numbered = {
  type: 'object',
  properties: {
    offset: {
      description: "Counted from the network's own address (0), or from the highest (-1) back.",
      type: 'integer',
      minimum: Number.MIN_SAFE_INTEGER,
      maximum: Number.MAX_SAFE_INTEGER,
    },
  },
  required: ['offset'],
  additionalProperties: false,
};
const someAddress = (family: string) => ({
  type: 'string',
  pattern: `^(first|last|${family})$`,
  patternErrorMessage: 'It may be first, last, an address of the family or {"offset": n}.',
});

const descriptions: Descriptions = {
  '': { description: "Routes the node's own addresses through the gateway of the pod's subnet." },
  hostInterface: {
    description: "The node's interface whose addresses are routed; by default that of its default route.",
    ...interfaceName,
  },
  hostAddresses: { description: 'These addresses instead; the node is not looked at.', uniqueItems: true },
  'hostAddresses[]': { description: 'An address of the node.', ...address, ...specified },
  gateway: {
    description:
      "The gateway, as it lies in the pod's subnet: first, last, an address, or by number; or one of these for each family.",
    replaces: true,
    default: 'first',
    anyOf: [
      { ...someAddress(`${IPV4}|${IPV6}`), ...specified },
      numbered,
      {
        type: 'object',
        properties: {
          ipv4: { description: 'The one for IPv4.', anyOf: [{ ...someAddress(IPV4), ...specified }, numbered] },
          ipv6: { description: 'The one for IPv6.', anyOf: [{ ...someAddress(IPV6), ...specified }, numbered] },
        },
        additionalProperties: false,
      },
    ],
  },
  families: { description: 'The families that must be routed; by default those that both sides have.' },
  'families[]': { description: 'A family.' },
  waitSeconds: { description: 'How long ADD waits for a default route or an address to appear.' },
  verifyGateway: { description: 'ADD fails unless every gateway answers.' },
  'verifyGateway.timeoutSeconds': { description: 'How long it may take to answer.' },
  ...ROUTE_POLICY,
};

/** What the JSON Schema of this plugin's config is made of. */
export const configSchema: ConfigSchema = {
  keys: seamlessGatewayKeys,
  nodeKeys: seamlessGatewayNodeKeys,
  descriptions,
};
