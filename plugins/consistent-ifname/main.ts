import { definePlugin } from '../../lib/plugin/define.ts';
import { VERSION } from '../../lib/version.ts';
import { parseConsistentIfnameConfig } from './config.ts';
import { outlineConsistentName, planConsistentName } from './plan.ts';

/** Names a pod's interface after its network. See README.md beside this file. */
export const consistentIfname = definePlugin({
  name: 'consistent-ifname',
  version: VERSION,
  parseConfig: parseConsistentIfnameConfig,
  plan: planConsistentName,
  outline: outlineConsistentName,
  rehearsal: {},
});
