import type { ConfigSchema, Descriptions } from '../../lib/json-schema/description.ts';
import { interfaceName } from '../../lib/json-schema/patterns.ts';
import { consistentIfnameKeys } from './config.ts';

const descriptions: Descriptions = {
  '': { description: "Names a pod's interface after its network." },
  mode: { description: 'Rename the interface, or keep its name and add the consistent one as an altname.' },
  scheme: { description: 'kactus: net and 12 hex digits of MD5. kubevirt: pod and 11 hex digits of SHA-256.' },
  prefix: { description: "What the name begins with. Default: the scheme's prefix." },
  hash: { description: "The hash that gives the digits. Default: the scheme's hash." },
  length: { description: "The number of digits. Default: the scheme's." },
  key: {
    description:
      'What is hashed. Placeholders: $' +
      "{name} is the network's name, $" +
      '{ifname} is CNI_IFNAME, and keys of CNI_ARGS are their values.',
  },
  ifname: { description: 'Use this name, without a hash.', ...interfaceName },
  keepAltname: { description: 'After a rename, keep the first name as an altname.' },
  resultNames: {
    description:
      'Which names the result lists after a rename: the new one, the first one (the altname), or both. Default: both for eth0, otherwise the new one.',
  },
};

/** What the JSON Schema of this plugin's config is made of. */
export const configSchema: ConfigSchema = { keys: consistentIfnameKeys, descriptions };
