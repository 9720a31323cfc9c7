import type { ConfigSchema, Descriptions } from '../../lib/json-schema/description.ts';
import { address, IPV4, IPV6, interfaceName, specified } from '../../lib/json-schema/patterns.ts';
import { ROUTE_POLICY } from '../../lib/json-schema/shared-keys.ts';
import { seamlessGatewayKeys, seamlessGatewayNodeKeys } from './config.ts';

const numbered = {
  type: 'object',
  properties: {
    offset: {
      description: "Counted from the network's own address (0), or backwards from the highest address (-1).",
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
  patternErrorMessage: 'Must be first, last, an address of the family or {"offset": n}.',
});

const descriptions: Descriptions = {
  '': { description: "Routes the node's own addresses through the gateway of the pod's subnet." },
  hostInterface: {
    description: "The node's interface whose addresses are routed. Default: the interface of the node's default route.",
    ...interfaceName,
  },
  hostAddresses: { description: 'Route these addresses instead of those of the node.', uniqueItems: true },
  'hostAddresses[]': { description: 'An address of the node.', ...address, ...specified },
  gateway: {
    description:
      "Which address of the pod's subnet is the gateway: first, last, an address, or a number; or one of these for each family.",
    replaces: true,
    default: 'first',
    anyOf: [
      { ...someAddress(`${IPV4}|${IPV6}`), ...specified },
      numbered,
      {
        type: 'object',
        properties: {
          ipv4: { description: 'The gateway for IPv4.', anyOf: [{ ...someAddress(IPV4), ...specified }, numbered] },
          ipv6: { description: 'The gateway for IPv6.', anyOf: [{ ...someAddress(IPV6), ...specified }, numbered] },
        },
        additionalProperties: false,
      },
    ],
  },
  families: { description: 'The families that must be routed. Default: those in which both sides have an address.' },
  'families[]': { description: 'An address family.' },
  waitSeconds: { description: 'How many seconds ADD waits for a default route or an address to appear.' },
  verifyGateway: { description: 'ADD fails unless every gateway answers.' },
  'verifyGateway.timeoutSeconds': { description: 'How long a gateway may take to answer, in seconds.' },
  ...ROUTE_POLICY,
};

/** What the JSON Schema of this plugin's config is made of. */
export const configSchema: ConfigSchema = {
  keys: seamlessGatewayKeys,
  nodeKeys: seamlessGatewayNodeKeys,
  descriptions,
};
