import { HIGHEST_VERBOSITY, LOG_LEVEL_HELP, LOG_LEVEL_SYNONYMS, LOG_LEVELS } from '../cni/log-level.ts';
import type { Descriptions } from './description.ts';
import { absolutePath, interfaceName } from './patterns.ts';

// Editors offer the words of the enumeration; the pattern accepts them in any case, and everything else the plugins accept.
const LOG_LEVEL_PATTERN = `^(${[...LOG_LEVELS, ...Object.keys(LOG_LEVEL_SYNONYMS)].map(inAnyCase).join('|')}|0?[0-9]|10)$`;

function inAnyCase(word: string): string {
  return word.replace(/[a-z]/g, (letter) => `[${letter.toUpperCase()}${letter}]`);
}

/** The keys of every plugin: `commonKeys` of lib/cni/config.ts. */
export const COMMON: Descriptions = {
  interface: { description: "The pod's interface to work on. Default: the attachment's interface.", ...interfaceName },
  dataDir: { description: 'The folder on the node in which journals are kept.', ...absolutePath },
  logLevel: {
    description: "The least severe messages to log. Default: info. Multus' words and klog's numbers are accepted too.",
    replaces: true,
    anyOf: [
      { enum: LOG_LEVELS },
      { type: 'string', pattern: LOG_LEVEL_PATTERN, patternErrorMessage: `Must be ${LOG_LEVEL_HELP}.` },
      { type: 'integer', minimum: 0, maximum: HIGHEST_VERBOSITY },
    ],
  },
  logFile: { description: 'The file to which the log is appended, as JSON lines. Default: stderr.', ...absolutePath },
  skipcheck: { description: 'CHECK always succeeds.' },
};

/** The keys of the plugins that add routes: `routePolicyKeys` of lib/plugin/route-policy.ts. */
export const ROUTE_POLICY: Descriptions = {
  onConflict: {
    description: 'What to do if another route has the same destination, table and priority as one of ours.',
  },
  protocol: {
    description: 'rtm_protocol of our routes, which distinguishes them from others (ip route show proto 87).',
  },
  reconcile: {
    description:
      'For running pods: the agent follows edits and puts back what is lost (update), only puts it back (heal), or neither (off).',
  },
};
