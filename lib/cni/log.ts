import { appendFileSync, constants } from 'node:fs';
import { LOG_LEVELS, type LogLevel } from './log-level.ts';
import { HERE, type Place } from './place.ts';

/** A line has one of these. */
export type LineLevel = Exclude<LogLevel, 'silent'>;

/** Writes lines of JSON: `{"level":"warn","time":…,"plugin":…,"msg":…}` and what else is worth knowing. */
export type Log = { [L in LineLevel]: (message: string, fields?: object) => void } & {
  /** Is there any use in making up a line of this level? */
  isOn(level: LogLevel): boolean;
};

export type LogTarget = {
  level: LogLevel;
  file: string | undefined;
  stderr: (text: string) => void;
  /** Whose paths these are, if they are not ours. */
  place?: Place;
};

/** Nobody waits for the other end of a FIFO. */
const APPEND = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY | constants.O_NONBLOCK;

/**
 * A log with `fields` in every line. A file that cannot be written is no reason to fail a pod: the line goes to stderr
 * instead. (Not pino: loading it takes longer than an ADD of two routes. See docs/decisions.)
 */
export function createLog(target: LogTarget, fields: object): Log {
  const lowest = LOG_LEVELS.indexOf(target.level);
  const isOn = (level: LogLevel) => LOG_LEVELS.indexOf(level) <= lowest;
  return logBy(isOn, (level, message, more) =>
    write(target, `${JSON.stringify({ level, time: new Date().toISOString(), ...fields, msg: message, ...more })}\n`),
  );
}

/** A log by what writes its lines, of those levels that are on. */
export function logBy(
  isOn: (level: LogLevel) => boolean,
  write: (level: LineLevel, message: string, fields: object) => void,
): Log {
  const writer =
    (level: LineLevel) =>
    (message: string, fields: object = {}) => {
      if (isOn(level)) write(level, message, fields);
    };
  return {
    fatal: writer('fatal'),
    error: writer('error'),
    warn: writer('warn'),
    info: writer('info'),
    debug: writer('debug'),
    trace: writer('trace'),
    isOn,
  };
}

function write({ file, stderr, place = HERE }: LogTarget, text: string): void {
  const line = place.asCallerSees(text);
  if (file === undefined) {
    stderr(line);
    return;
  }
  try {
    // The types know letters only for a flag.
    appendFileSync(place.pathOf(file), line, { mode: 0o600, flag: APPEND as unknown as string });
  } catch {
    stderr(line);
  }
}
