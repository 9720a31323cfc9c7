import { HIGHEST_VERBOSITY, LOG_LEVEL_SYNONYMS, LOG_LEVELS } from '../../lib/cni/log-level.ts';
import {
  absolutePath,
  address,
  addressOrAuto,
  destination,
  IPV4,
  IPV6,
  interfaceName,
  PREFIX,
  specified,
} from './patterns.ts';

/**
 * What a key is for, and what its zod schema cannot say of itself: JSON Schema that is laid over what zod gives. `replaces`
 * says that zod's is left out.
 */
export type Description = {
  readonly description: string;
  readonly replaces?: true;
  readonly [keyword: string]: unknown;
};

/** Descriptions by path: `routes[].dst`; `{}` stands for any key of a map. */
export type Descriptions = { readonly [path: string]: Description };

// Editors offer the words of the enumeration; this takes them in any case, and what else the plugins take.
const LOG_LEVEL_PATTERN = `^(${[...LOG_LEVELS, ...Object.keys(LOG_LEVEL_SYNONYMS)].map(inAnyCase).join('|')}|0?[0-9]|10)$`;

function inAnyCase(word: string): string {
  return word.replace(/[a-z]/g, (letter) => `[${letter.toUpperCase()}${letter}]`);
}

/** The keys of every plugin. */
export const COMMON: Descriptions = {
  interface: { description: "The pod's interface to work on; by default the attachment's.", ...interfaceName },
  dataDir: { description: 'The folder of the journals on the node.', ...absolutePath },
  logLevel: {
    description: "What is logged; info by default. Multus' words and klog's numbers do too.",
    replaces: true,
    anyOf: [
      { enum: LOG_LEVELS },
      { type: 'string', pattern: LOG_LEVEL_PATTERN },
      { type: 'integer', minimum: 0, maximum: HIGHEST_VERBOSITY },
    ],
  },
  logFile: { description: 'Where the log goes, as lines of JSON; stderr by default.', ...absolutePath },
  skipcheck: { description: 'CHECK answers success, whatever the pod is like.' },
};

const POLICY: Descriptions = {
  onConflict: { description: 'What to do where another route has the destination, table and priority of one of ours.' },
  protocol: { description: 'rtm_protocol of our routes: how they are told from others (ip route show proto 87).' },
};

const isGiven = (...keys: string[]) => ({ anyOf: keys.map((key) => ({ required: [key] })) });

const ROUTE_RULES = {
  allOf: [
    {
      if: { required: ['type'], properties: { type: { not: { const: 'unicast' } } } },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
      then: { not: isGiven('gw', 'dev', 'nexthops', 'onlink') },
    },
    // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
    { if: { required: ['nexthops'] }, then: { not: isGiven('gw', 'dev') } },
    {
      if: { required: ['onlink'], properties: { onlink: { const: true } } },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
      then: {
        anyOf: [
          { required: ['gw'] },
          {
            required: ['nexthops'],
            properties: { nexthops: { type: 'array', items: { type: 'object', required: ['gw'] } } },
          },
        ],
      },
    },
  ],
};

function routeList(key: string, description: string): Descriptions {
  const keys: Descriptions = {
    '': { description },
    '[]': { description: 'One route.', ...ROUTE_RULES },
    '[].dst': { description: 'The destination: 10.10.0.0/16, 2001:db8::/32 or default.', ...destination },
    '[].gw': {
      description:
        "The gateway. Left out: the one that the previous result names, else on the link. auto: the same, else the subnet's first address.",
      ...addressOrAuto,
      ...specified,
    },
    '[].dev': {
      description: "Another interface of the pod than the attachment's, by name or altname.",
      ...interfaceName,
    },
    '[].nexthops': { description: 'Several next hops, over which packets are spread.' },
    '[].nexthops[]': { description: 'One of several next hops.' },
    '[].nexthops[].gw': { description: 'The gateway of this hop; without it, on the link.', ...address, ...specified },
    '[].nexthops[].dev': { description: "The hop's interface, by name or altname.", ...interfaceName },
    '[].nexthops[].weight': {
      description: 'How much of the traffic this hop gets, in relation to the others; 1 by default.',
    },
    '[].src': { description: 'The preferred source address.', ...address, ...specified },
    '[].priority': { description: 'The metric: of routes to one destination the lowest counts.' },
    '[].table': { description: 'The routing table; 254, the main one, by default.' },
    '[].scope': { description: 'The scope, for IPv4: 0 universe, 253 link.' },
    '[].mtu': { description: 'The MTU of the path.' },
    '[].advmss': { description: 'The maximum segment size to advertise.' },
    '[].onlink': { description: 'The gateway is on the link, whatever the subnets of the link are.' },
    '[].type': { description: 'What is done with packets; all but unicast send them nowhere, and have no next hop.' },
  };
  return Object.fromEntries(Object.entries(keys).map(([suffix, value]) => [`${key}${suffix}`, value]));
}

const STATIC_ROUTE: Descriptions = {
  '': {
    description: "Adds static routes to a pod's interface: all of them or none.",
    not: { required: ['topology', 'topologyFile'] },
  },
  ...routeList('routes', 'The routes.'),
  ...routeList('addroutes', 'More routes: the name that route-override has for them.'),
  delroutes: { description: 'Routes of the main table, out of the interface, that are taken away first.' },
  'delroutes[]': { description: 'One route to take away; keys beside dst and gw are not looked at.' },
  'delroutes[].dst': { description: 'Its destination.', ...destination },
  'delroutes[].gw': { description: 'Its gateway; left out, whatever it is.', ...address },
  flushroutes: { description: 'Take away every route of the interface but connected and link-local ones.' },
  flushgateway: { description: 'Take away the default routes of the interface.' },
  missingFamily: { description: 'What to do with a route of a family that the interface has no address of.' },
  topology: { description: 'A map of subnets and their gateways, as ddsnet4u has it.' },
  'topology.vrf': { description: 'The subnets by vrf.' },
  'topology.vrf{}': { description: 'One vrf: its subnets are routed to each other.' },
  'topology.vrf{}.subnets': {
    description: 'The subnets, in CIDR notation.',
    propertyNames: { pattern: `^(${PREFIX})$` },
  },
  'topology.vrf{}.subnets{}': { description: 'One subnet.' },
  'topology.vrf{}.subnets{}.gw': { description: 'The gateway that leads from this subnet to the others.', ...address },
  topologyFile: { description: 'A file with such a map, YAML or JSON, read at every ADD and CHECK.', ...absolutePath },
  ...POLICY,
};

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
const someAddress = (family: string) => ({ type: 'string', pattern: `^(first|last|${family})$` });

const SEAMLESS_GATEWAY: Descriptions = {
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
  ...POLICY,
};

const CONSISTENT_IFNAME: Descriptions = {
  '': { description: "Gives a pod's interface a name that follows from its network's name." },
  mode: { description: 'Rename the interface, or leave its name and add the consistent one beside it.' },
  scheme: { description: 'kactus: net and 12 hex digits of MD5. kubevirt: pod and 11 hex digits of SHA-256.' },
  prefix: { description: "What the name begins with; by default the scheme's." },
  hash: { description: "What the digits come from; by default the scheme's." },
  length: { description: "How many digits; by default the scheme's." },
  key: {
    description:
      "What is hashed; the network's name in the place of $" +
      '{name}, CNI_IFNAME of $' +
      '{ifname}, and what CNI_ARGS has.',
  },
  ifname: { description: 'This name, without a hash.', ...interfaceName },
  keepAltname: { description: 'After a rename the interface still answers to its first name, as an altname.' },
};

/** The descriptions of each plugin's own keys; `''` is the plugin's. */
export const PLUGINS: { readonly [plugin: string]: Descriptions } = {
  'static-route': STATIC_ROUTE,
  'seamless-gateway': SEAMLESS_GATEWAY,
  'consistent-ifname': CONSISTENT_IFNAME,
};
