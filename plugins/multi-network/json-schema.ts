import type { ConfigSchema, Descriptions } from '../../lib/json-schema/description.ts';
import { absolutePath } from '../../lib/json-schema/patterns.ts';
import { multiNetworkKeys, multiNetworkNodeKeys } from './config.ts';

const pluginType = {
  description: 'The name of the executable.',
  type: 'string',
  pattern: '^(?!\\.{1,2}$)[^/\\u0000]+$',
  patternErrorMessage: 'The name of a plugin is needed, without "/".',
};

const descriptions: Descriptions = {
  '': { description: 'Gives a pod all of its networks, by running other plugins.' },
  delegates: {
    description: "The pod's own network, and further ones that every pod gets: plugins, or lists of plugins.",
    replaces: true,
    type: 'array',
    items: {
      type: 'object',
      description: 'A plugin, or a list of plugins.',
      properties: {
        type: pluginType,
        masterPlugin: { description: "This network is the pod's eth0; else the first one is." },
        plugins: {
          description: 'The plugins of a list.',
          type: 'array',
          minItems: 1,
          items: { type: 'object', properties: { type: pluginType }, required: ['type'] },
        },
      },
      anyOf: [{ required: ['type'] }, { required: ['plugins'] }],
    },
  },
  clusterNetwork: {
    description:
      "The pod's own network in the place of delegates: a file, a folder, a definition, or a network of confDir.",
  },
  defaultNetworks: { description: 'Further networks that every pod gets, with clusterNetwork.' },
  'defaultNetworks[]': { description: 'As in clusterNetwork.' },
  kubeconfig: {
    description: 'How the API server is reached; else as the agent does, else as a pod of the cluster.',
    pattern: `^$|${absolutePath.pattern}`,
    patternErrorMessage: absolutePath.patternErrorMessage,
  },
  namespaceIsolation: { description: 'Pods may use definitions of their own namespace and of globalNamespaces only.' },
  globalNamespaces: {
    description: 'The namespaces whose definitions every pod may use: a list, or names with commas.',
    replaces: true,
    anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string', minLength: 1 } }],
  },
  systemNamespaces: { description: 'The namespaces whose pods do not get defaultNetworks.' },
  'systemNamespaces[]': { description: 'The name of a namespace.' },
  multusNamespace: {
    description: 'Where definitions of clusterNetwork, defaultNetworks and default networks of pods are.',
  },
  readinessindicatorfile: {
    description: "ADD waits until this file exists, by which the cluster's network says that it is ready.",
    pattern: `^$|${absolutePath.pattern}`,
    patternErrorMessage: absolutePath.patternErrorMessage,
  },
  binDir: { description: 'A folder of plugins, which comes before those of CNI_PATH.', ...absolutePath },
  cniDir: { description: 'Where records and results are kept, as Multus keeps them.', ...absolutePath },
  confDir: {
    description: 'Where definitions without a config, and networks by their names, have their files.',
    ...absolutePath,
  },
  interfaceNames: {
    description:
      "numbered: net1, net2, …. consistent: net and 12 hex digits of the MD5 of the network's name, as kactus.",
  },
};

/** What the JSON Schema of this plugin's config is made of. */
export const configSchema: ConfigSchema = {
  keys: multiNetworkKeys,
  nodeKeys: multiNetworkNodeKeys,
  descriptions,
};
