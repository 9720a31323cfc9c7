import type { ConfigSchema, Descriptions } from '../../lib/json-schema/description.ts';
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
  subnets,
} from '../../lib/json-schema/patterns.ts';
import { ROUTE_POLICY } from '../../lib/json-schema/shared-keys.ts';
import { staticRouteKeys, staticRouteNodeKeys } from './config.ts';
import { IP_PROTOCOLS } from './rule-config.ts';
import { DEFAULT_SOURCE_PRIORITY } from './source-routing-config.ts';

const isGiven = (...keys: string[]) => ({ anyOf: keys.map((key) => ({ required: [key] })) });

const ON_LINK_GATEWAY = {
  anyOf: [
    { required: ['gw'] },
    {
      required: ['nexthops'],
      properties: { nexthops: { type: 'array', items: { type: 'object', required: ['gw'] } } },
    },
  ],
};

// Each `then` has a single `not`, so that editors show its message and not those of its parts.
const ROUTE_RULES = {
  allOf: [
    {
      if: { required: ['type'], properties: { type: { not: { const: 'unicast' } } } },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
      then: {
        not: isGiven('gw', 'dev', 'nexthops', 'onlink'),
        errorMessage: 'A route of this type has no next hop: leave out gw, dev, nexthops and onlink.',
      },
    },
    {
      if: { required: ['nexthops'] },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
      then: { not: isGiven('gw', 'dev'), errorMessage: 'With nexthops, put gw and dev into each of them.' },
    },
    {
      if: { required: ['onlink'], properties: { onlink: { const: true } } },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
      then: {
        not: { not: ON_LINK_GATEWAY },
        errorMessage: 'onlink requires a gw, here or in each of nexthops.',
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
        "The gateway. If omitted: the gateway in prevResult, else the route is on the link. auto: the gateway in prevResult, else the subnet's first address.",
      ...addressOrAuto,
      ...specified,
    },
    '[].dev': {
      description: "The pod's interface, by name or altname, if it is not the attachment's.",
      ...interfaceName,
    },
    '[].nexthops': { description: 'Several next hops, over which traffic is distributed.' },
    '[].nexthops[]': { description: 'One of several next hops.' },
    '[].nexthops[].gw': {
      description: 'The gateway of this hop. If omitted, the hop is on the link.',
      ...address,
      ...specified,
    },
    '[].nexthops[].dev': { description: "The hop's interface, by name or altname.", ...interfaceName },
    '[].nexthops[].weight': {
      description: 'The share of the traffic that this hop gets, relative to the others. Default: 1.',
    },
    '[].src': { description: 'The preferred source address.', ...address, ...specified },
    '[].priority': {
      description: 'The metric: of several routes to one destination, the kernel uses the one with the lowest.',
    },
    '[].table': {
      description: 'The routing table. Default: that of the VRF that the interface is in, else 254, the main one.',
    },
    '[].scope': { description: 'The scope (IPv4 only): 0 universe, 253 link.' },
    '[].mtu': { description: 'The MTU of the path.' },
    '[].advmss': { description: 'The maximum segment size to advertise.' },
    '[].onlink': { description: 'The gateway is on the link, even if no subnet of the link contains it.' },
    '[].type': {
      description: 'What the kernel does with packets. Types other than unicast forward nothing and have no next hop.',
    },
  };
  return Object.fromEntries(Object.entries(keys).map(([suffix, value]) => [`${key}${suffix}`, value]));
}

const prefixOrAddress = {
  pattern: `^(${PREFIX}|${IPV4}|${IPV6})$`,
  patternErrorMessage: 'Must be a prefix or an address, such as 10.0.0.0/8 or fd00::5.',
};

const MARK = '(0[xX][0-9A-Fa-f]{1,8}|[0-9]{1,10})';
const PORT = '[0-9]{1,5}';

// Strings, or numbers instead.
function numberOr(pattern: string, highest: number, patternErrorMessage: string) {
  return {
    replaces: true as const,
    anyOf: [
      { type: 'string', pattern: `^${pattern}$`, patternErrorMessage },
      { type: 'integer', minimum: 1, maximum: highest },
    ],
  };
}

const ports = numberOr(`${PORT}(-${PORT})?`, 65_534, 'Must be a port, or a range such as 5000-5999.');

const rules: Descriptions = {
  rules: { description: 'Policy rules, which select the routing table for packets.' },
  'rules[]': {
    description: 'One rule. Without from and to, it is made for both families.',
    allOf: [
      {
        if: { required: ['action'], properties: { action: { not: { const: 'lookup' } } } },
        // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
        then: {
          not: { required: ['table'] },
          errorMessage: 'A rule with this action looks nothing up: leave out table.',
        },
        else: { required: ['table'], errorMessage: 'A rule that looks up a route needs a table.' },
      },
    ],
  },
  'rules[].from': { description: 'The source: a prefix or an address.', ...prefixOrAddress },
  'rules[].to': { description: 'The destination: a prefix or an address.', ...prefixOrAddress },
  'rules[].iif': {
    description: 'The interface on which packets arrive; lo for those that the pod sends.',
    ...interfaceName,
  },
  'rules[].oif': { description: 'The interface to which the sending socket is bound.', ...interfaceName },
  'rules[].fwmark': {
    description: "The packet's mark, as mark or mark/mask.",
    ...numberOr(`${MARK}(/${MARK})?`, 0xffff_ffff, 'Must be a mark, such as 0x100, or a mark and a mask.'),
  },
  'rules[].ipproto': {
    description: 'The IP protocol, by name or number.',
    ...numberOr(
      `(${Object.keys(IP_PROTOCOLS).join('|')}|[0-9]{1,3})`,
      255,
      'Must be the name or number of a protocol.',
    ),
  },
  'rules[].sport': { description: 'The source port, or a range of ports.', ...ports },
  'rules[].dport': { description: 'The destination port, or a range of ports.', ...ports },
  'rules[].table': { description: 'The routing table to look up.' },
  'rules[].priority': { description: 'The kernel consults the rule with the lowest priority first.' },
  'rules[].action': { description: 'What the kernel does with the packets: look up a route, or forward nothing.' },
  sourceRouting: {
    description: "Packets from the interface's addresses leave by it, through a separate routing table.",
    replaces: true,
    anyOf: [
      { type: 'boolean' },
      {
        type: 'object',
        properties: {
          table: {
            description: 'The table. Default: a free one.',
            type: 'integer',
            minimum: 1,
            maximum: 0xffff_ffff,
            allOf: [
              {
                not: { enum: [253, 254, 255] },
                errorMessage: 'Must not be one of the tables 253, 254 and 255.',
              },
            ],
          },
          priority: {
            description: 'The priority of its rules.',
            type: 'integer',
            minimum: 1,
            maximum: 0xffff_ffff,
            default: DEFAULT_SOURCE_PRIORITY,
          },
        },
        additionalProperties: false,
      },
    ],
  },
};

const descriptions: Descriptions = {
  '': {
    description: "Adds static routes to a pod's interface: all of them or none.",
    allOf: [
      { not: { required: ['topology', 'topologyFile'] }, errorMessage: 'Set only one of topology and topologyFile.' },
    ],
  },
  ...routeList('routes', 'The routes.'),
  ...routeList('addroutes', 'More routes, under the key that route-override uses.'),
  delroutes: { description: "The interface's routes in the main table to delete first." },
  'delroutes[]': { description: 'One route to delete. Keys other than dst and gw are ignored.' },
  'delroutes[].dst': { description: 'Its destination.', ...destination },
  'delroutes[].gw': { description: 'Its gateway. If omitted, any gateway.', ...address },
  flushroutes: { description: "Delete all of the interface's routes except connected and link-local ones." },
  flushgateway: { description: "Delete the interface's default routes." },
  missingFamily: { description: 'What to do with a route if the interface has no address of its family.' },
  topology: { description: "A map of subnets and their gateways, in ddsnet4u's format." },
  'topology.vrf': { description: 'The subnets of each vrf.' },
  'topology.vrf{}': { description: 'One vrf: its subnets are routed to each other.' },
  'topology.vrf{}.subnets': {
    description: 'The subnets, in CIDR notation.',
    propertyNames: subnets,
  },
  'topology.vrf{}.subnets{}': { description: 'One subnet.' },
  'topology.vrf{}.subnets{}.gw': { description: 'The gateway that leads from this subnet to the others.', ...address },
  topologyFile: { description: 'A file with such a map, YAML or JSON, read at every ADD and CHECK.', ...absolutePath },
  ...rules,
  ...ROUTE_POLICY,
};

/** What the JSON Schema of this plugin's config is made of. */
export const configSchema: ConfigSchema = { keys: staticRouteKeys, nodeKeys: staticRouteNodeKeys, descriptions };
