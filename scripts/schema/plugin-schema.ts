import * as z from 'zod/mini';
import { commonKeys, NODE_KEYS } from '../../lib/cni/config.ts';
import { consistentIfnameKeys } from '../../plugins/consistent-ifname/config.ts';
import { seamlessGatewayKeys } from '../../plugins/seamless-gateway/config.ts';
import { staticRouteKeys, staticRouteNodeKeys } from '../../plugins/static-route/config.ts';
import { COMMON, type Descriptions, PLUGINS } from './descriptions.ts';

/** A JSON Schema, or a part of one (https://json-schema.org/draft/2020-12). */
export type JsonSchema = { [keyword: string]: unknown };

const KEYS: { readonly [plugin: string]: { own: z.core.$ZodLooseShape; nodeKeys?: readonly string[] } } = {
  'static-route': { own: staticRouteKeys, nodeKeys: staticRouteNodeKeys },
  'seamless-gateway': { own: seamlessGatewayKeys },
  'consistent-ifname': { own: consistentIfnameKeys },
};

/** The plugins that have a schema. */
export const PLUGIN_NAMES = Object.keys(KEYS);

/**
 * The JSON Schema of a plugin's part of a list: zod's, with descriptions and with what zod cannot say laid over it. Keys
 * beside ours are left open, as the plugin does: runtimes add their own.
 *
 * Throws Error for a key without a description, and a description without a key.
 */
export function pluginSchema(plugin: string): JsonSchema {
  const { own, nodeKeys = [] } = KEYS[plugin] ?? { own: {} };
  const { '': about, ...descriptions } = { ...COMMON, ...PLUGINS[plugin] } as Descriptions;
  const schema = z.toJSONSchema(z.object({ ...commonKeys, ...own }), { io: 'input', unrepresentable: 'any' });
  const unused = new Set(Object.keys(descriptions));
  const properties = describeAll(schema.properties as { [key: string]: JsonSchema }, '', descriptions, unused);
  if (unused.size > 0) throw new Error(`${plugin}: described, but no key: ${[...unused].join(', ')}`);
  const onNodeOnly = new Set([...NODE_KEYS, ...nodeKeys]);
  return {
    $schema: schema.$schema,
    title: plugin,
    ...about,
    type: 'object',
    properties: {
      type: { description: 'The name of the plugin.', const: plugin },
      ...properties,
      args: argsSchema(Object.keys(properties), onNodeOnly),
    },
    required: ['type'],
  };
}

// The keys can be set for one attachment, but for those that are the node's. Other conventions' `args` are not ours.
function argsSchema(keys: readonly string[], onNodeOnly: ReadonlySet<string>): JsonSchema {
  const properties = keys.map((key) => [key, onNodeOnly.has(key) ? false : { $ref: `#/properties/${key}` }]);
  return {
    description: 'What is set for one attachment.',
    properties: {
      cni: {
        description: "Keys of this plugin, in the place of the list's.",
        properties: Object.fromEntries(properties),
      },
    },
  };
}

type Table = { [key: string]: JsonSchema };

function describeAll(table: Table, path: string, descriptions: Descriptions, unused: Set<string>): Table {
  const at = (key: string) => (path === '' ? key : `${path}.${key}`);
  return Object.fromEntries(
    Object.entries(table).map(([key, part]) => [key, described(part, at(key), descriptions, unused)]),
  );
}

function described(part: JsonSchema, path: string, descriptions: Descriptions, unused: Set<string>): JsonSchema {
  const description = descriptions[path];
  if (description === undefined) throw new Error(`${path} has no description`);
  unused.delete(path);
  const { replaces, ...laidOver } = description;
  if (replaces) return laidOver;
  const { properties, items, additionalProperties, propertyNames: _, ...rest } = part;
  const map = isSchema(additionalProperties) ? additionalProperties : undefined;
  return {
    ...rest,
    ...(properties !== undefined && { properties: describeAll(properties as Table, path, descriptions, unused) }),
    ...(isSchema(items) && { items: described(items, `${path}[]`, descriptions, unused) }),
    ...(map !== undefined && { additionalProperties: described(map, `${path}{}`, descriptions, unused) }),
    ...(additionalProperties === false && { additionalProperties }),
    ...laidOver,
  };
}

// Of an object that takes any key, zod says `{}`.
function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}
