import * as z from 'zod/mini';

/** The levels of the log, from nothing to everything. */
export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Words that other programs have for a level: Multus' (pkg/logging), klog's and syslog's. */
export const LOG_LEVEL_SYNONYMS: { readonly [word: string]: LogLevel } = {
  panic: 'fatal',
  verbose: 'info',
  warning: 'warn',
};

/**
 * Verbosities, which count the other way round from severities. kactus has 1 for errors up to 5 for everything, klog
 * goes on to 10.
 */
const VERBOSITIES: readonly LogLevel[] = ['error', 'error', 'warn', 'info', 'debug', 'trace'];

/** klog's most talkative. */
export const HIGHEST_VERBOSITY = 10;

/** What a config or a variable may hold, for error messages. */
export const LOG_LEVEL_HELP = [
  ...LOG_LEVELS,
  ...Object.keys(LOG_LEVEL_SYNONYMS),
  `or a number from 0 to ${HIGHEST_VERBOSITY}`,
].join(', ');

/**
 * The level that a config or a variable means: one of ours, Multus' or klog's words, in upper or lower case, or a
 * verbosity from 0 to 10, as a number or as text. undefined if it is none.
 *
 * Multus' daemon puts its own `logLevel` over that of a network that it attaches to a running pod.
 */
export function parseLogLevel(value: unknown): LogLevel | undefined {
  if (typeof value === 'number') return levelOfVerbosity(value);
  if (typeof value !== 'string') return undefined;
  if (/^\d{1,2}$/.test(value)) return levelOfVerbosity(Number(value));
  const word = value.toLowerCase();
  const meant = Object.hasOwn(LOG_LEVEL_SYNONYMS, word) ? LOG_LEVEL_SYNONYMS[word] : word;
  return LOG_LEVELS.find((level) => level === meant);
}

/** The key of a config. */
export const logLevelKey = z.pipe(
  z.unknown(),
  z.transform((value, context): LogLevel => {
    const level = parseLogLevel(value);
    if (level !== undefined) return level;
    context.issues.push({ code: 'custom', message: `must be ${LOG_LEVEL_HELP}`, input: value });
    return z.NEVER;
  }),
);

function levelOfVerbosity(verbosity: number): LogLevel | undefined {
  if (!Number.isInteger(verbosity) || verbosity < 0 || verbosity > HIGHEST_VERBOSITY) return undefined;
  return VERBOSITIES[verbosity] ?? 'trace';
}
