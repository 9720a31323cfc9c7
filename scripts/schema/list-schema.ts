import { SUPPORTED_VERSIONS } from '../../lib/cni/version.ts';
import { networkName } from '../../lib/json-schema/patterns.ts';
import { PLUGIN_NAMES } from '../../plugins/index.ts';
import { type JsonSchema, pluginSchema, schemaId } from './plugin-schema.ts';

const flag = (description: string) => ({
  description,
  type: ['boolean', 'string'],
  pattern: '^([Tt]rue|[Ff]alse)$',
  patternErrorMessage: 'It must be true or false.',
});

/**
 * The JSON Schema of a whole network list (https://www.cni.dev/docs/spec/#section-1-network-configuration-format), which
 * applies that of each of our plugins to its part. Other plugins are left alone.
 */
export function listSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: schemaId('conflist'),
    title: 'CNI network list',
    type: 'object',
    properties: {
      name: { description: "The network's name.", type: 'string', ...networkName },
      cniVersion: { description: 'The version of the CNI specification.', type: 'string', examples: versions() },
      cniVersions: { description: 'Every version that will do.', type: 'array', items: { type: 'string' } },
      disableCheck: flag('The runtime does not call CHECK.'),
      disableGC: flag('The runtime does not call GC.'),
      loadOnlyInlinedPlugins: flag('Plugins in files of their own, in a folder of the name, are not looked for.'),
      plugins: { description: 'The plugins, in the order of their ADD.', type: 'array', items: plugin() },
    },
    required: ['name', 'plugins'],
  };
}

/** Every file of schemas by its name. */
export function schemaFiles(): { [file: string]: JsonSchema } {
  const plugins = PLUGIN_NAMES.map((name) => [fileOf(name), pluginSchema(name)]);
  return { ...Object.fromEntries(plugins), 'conflist.schema.json': listSchema() };
}

/** A schema as the text of its file. */
export function textOf(schema: JsonSchema): string {
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

function plugin(): JsonSchema {
  return {
    type: 'object',
    properties: {
      type: { description: "The plugin's executable.", type: 'string', examples: PLUGIN_NAMES, minLength: 1 },
    },
    required: ['type'],
    allOf: PLUGIN_NAMES.map((name) => ({
      if: { properties: { type: { const: name } }, required: ['type'] },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
      then: { $ref: fileOf(name) },
    })),
  };
}

function fileOf(plugin: string): string {
  return `${plugin}.schema.json`;
}

function versions(): readonly string[] {
  return SUPPORTED_VERSIONS.toReversed();
}
