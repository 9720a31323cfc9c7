import type { ConfigSchema, Descriptions } from '../../lib/json-schema/description.ts';
import {
  absolutePath,
  address,
  addressOrAuto,
  destination,
  interfaceName,
  specified,
  subnets,
} from '../../lib/json-schema/patterns.ts';
import { ROUTE_POLICY } from '../../lib/json-schema/shared-keys.ts';
import { staticRouteKeys, staticRouteNodeKeys } from './config.ts';

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

// A `then` with a single `not`, so that editors show its message and not those of what is in it.
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
      then: { not: isGiven('gw', 'dev'), errorMessage: 'With nexthops, gw and dev go into each of them.' },
    },
    {
      if: { required: ['onlink'], properties: { onlink: { const: true } } },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
      then: {
        not: { not: ON_LINK_GATEWAY },
        errorMessage: 'onlink needs a gw, here or in each of nexthops.',
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

const descriptions: Descriptions = {
  '': {
    description: "Adds static routes to a pod's interface: all of them or none.",
    allOf: [
      { not: { required: ['topology', 'topologyFile'] }, errorMessage: 'One map is enough: topology or topologyFile.' },
    ],
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
    propertyNames: subnets,
  },
  'topology.vrf{}.subnets{}': { description: 'One subnet.' },
  'topology.vrf{}.subnets{}.gw': { description: 'The gateway that leads from this subnet to the others.', ...address },
  topologyFile: { description: 'A file with such a map, YAML or JSON, read at every ADD and CHECK.', ...absolutePath },
  ...ROUTE_POLICY,
};

/** What the JSON Schema of this plugin's config is made of. */
export const configSchema: ConfigSchema = { keys: staticRouteKeys, nodeKeys: staticRouteNodeKeys, descriptions };
