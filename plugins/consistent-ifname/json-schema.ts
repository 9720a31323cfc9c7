import type { ConfigSchema, Descriptions } from '../../lib/json-schema/description.ts';
import { interfaceName } from '../../lib/json-schema/patterns.ts';
import { consistentIfnameKeys } from './config.ts';

const descriptions: Descriptions = {
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
  resultNames: {
    description:
      'Which names the result lists after a rename: the new one, the first one (the altname), or both. By default both for eth0, else the new one.',
  },
};

/** What the JSON Schema of this plugin's config is made of. */
export const configSchema: ConfigSchema = { keys: consistentIfnameKeys, descriptions };
