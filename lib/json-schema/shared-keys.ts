import { HIGHEST_VERBOSITY, LOG_LEVEL_HELP, LOG_LEVEL_SYNONYMS, LOG_LEVELS } from '../cni/log-level.ts';
import type { Descriptions } from './description.ts';
import { absolutePath, interfaceName } from './patterns.ts';

// Editors offer the words of the enumeration; this takes them in any case, and what else the plugins take.
const LOG_LEVEL_PATTERN = `^(${[...LOG_LEVELS, ...Object.keys(LOG_LEVEL_SYNONYMS)].map(inAnyCase).join('|')}|0?[0-9]|10)$`;

function inAnyCase(word: string): string {
  return word.replace(/[a-z]/g, (letter) => `[${letter.toUpperCase()}${letter}]`);
}

/** The keys of every plugin: `commonKeys` of lib/cni/config.ts. */
export const COMMON: Descriptions = {
  interface: { description: "The pod's interface to work on; by default the attachment's.", ...interfaceName },
  dataDir: { description: 'The folder of the journals on the node.', ...absolutePath },
  logLevel: {
    description: "What is logged; info by default. Multus' words and klog's numbers do too.",
    replaces: true,
    anyOf: [
      { enum: LOG_LEVELS },
      { type: 'string', pattern: LOG_LEVEL_PATTERN, patternErrorMessage: `It must be ${LOG_LEVEL_HELP}.` },
      { type: 'integer', minimum: 0, maximum: HIGHEST_VERBOSITY },
    ],
  },
  logFile: { description: 'Where the log goes, as lines of JSON; stderr by default.', ...absolutePath },
  skipcheck: { description: 'CHECK answers success, whatever the pod is like.' },
};

/** The keys of the plugins that add routes: `routePolicyKeys` of lib/plugin/route-policy.ts. */
export const ROUTE_POLICY: Descriptions = {
  onConflict: { description: 'What to do where another route has the destination, table and priority of one of ours.' },
  protocol: { description: 'rtm_protocol of our routes: how they are told from others (ip route show proto 87).' },
  reconcile: {
    description: 'For running pods: follow edits and heal, heal only, or neither. Accepted; no agent acts on it yet.',
  },
};
