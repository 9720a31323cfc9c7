import * as z from 'zod/mini';
import { commonKeys, NODE_KEYS } from '../../lib/cni/config.ts';
import type { ConfigSchema, Descriptions } from '../../lib/json-schema/description.ts';
import { COMMON } from '../../lib/json-schema/shared-keys.ts';
import { PLUGIN_NAMES } from '../../plugins/index.ts';

/** A JSON Schema, or a part of one (https://json-schema.org/draft/2020-12). */
export type JsonSchema = { [keyword: string]: unknown };

/** What a schema is called, wherever its file is: relative references in it lead to its neighbours. */
export function schemaId(name: string): string {
  return `https://raw.githubusercontent.com/waymark-cni/waymark/main/conf/schema/${name}.schema.json`;
}

/** What the plugins' own folders say of their configs, by the plugins' names. */
const CONFIGS = new Map(
  await Promise.all(PLUGIN_NAMES.map(async (name) => [name, await configSchemaOf(name)] as const)),
);

async function configSchemaOf(plugin: string): Promise<ConfigSchema> {
  const module: { configSchema: ConfigSchema } = await import(`../../plugins/${plugin}/json-schema.ts`);
  return module.configSchema;
}

/**
 * The JSON Schema of a plugin's part of a list: zod's, with descriptions and with what zod cannot say laid over it. Keys
 * beside ours are left open, as the plugin does: runtimes add their own.
 *
 * Throws Error for a key without a description, a description without a key, and an unknown plugin.
 */
export function pluginSchema(plugin: string): JsonSchema {
  const config = CONFIGS.get(plugin);
  if (config === undefined) throw new Error(`unknown plugin ${plugin}`);
  const { keys, nodeKeys = [] } = config;
  const { '': about, ...descriptions } = { ...COMMON, ...config.descriptions } as Descriptions;
  const schema = z.toJSONSchema(z.object({ ...commonKeys, ...keys }), { io: 'input', unrepresentable: 'any' });
  const unused = new Set(Object.keys(descriptions));
  const properties = describeAll(schema.properties as { [key: string]: JsonSchema }, '', descriptions, unused);
  if (unused.size > 0) throw new Error(`${plugin}: described, but no key: ${[...unused].join(', ')}`);
  const onNodeOnly = new Set([...NODE_KEYS, ...nodeKeys]);
  return {
    $schema: schema.$schema,
    $id: schemaId(plugin),
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

const ONLY_IN_LIST = {
  description: 'The network config only can set it.',
  not: {},
  errorMessage: 'It can be set in the network config only.',
};

// The keys can be set for one attachment, but for those that are the node's. Other conventions' `args` are not ours.
function argsSchema(keys: readonly string[], onNodeOnly: ReadonlySet<string>): JsonSchema {
  const properties = keys.map((key) => [key, onNodeOnly.has(key) ? ONLY_IN_LIST : { $ref: `#/properties/${key}` }]);
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
