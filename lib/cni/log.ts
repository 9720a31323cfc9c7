import { appendFileSync } from 'node:fs';
import { LOG_LEVELS, type LogLevel } from './config.ts';

/** Writes lines of JSON: `{"level":"warn","time":…,"plugin":…,"msg":…}` and what else is worth knowing. */
export type Log = { [L in Exclude<LogLevel, 'silent'>]: (message: string, fields?: object) => void };

export type LogTarget = { level: LogLevel; file: string | undefined; stderr: (text: string) => void };

/**
 * A log with `fields` in every line. A file that cannot be written is no reason to fail a pod: the line goes to stderr
 * instead. (Not pino: loading it takes longer than an ADD of two routes. See docs/decisions.)
 */
export function createLog(target: LogTarget, fields: object): Log {
  const lowest = LOG_LEVELS.indexOf(target.level);
  const writer =
    (level: Exclude<LogLevel, 'silent'>) =>
    (message: string, more: object = {}) => {
      if (LOG_LEVELS.indexOf(level) > lowest) return;
      write(target, `${JSON.stringify({ level, time: new Date().toISOString(), ...fields, msg: message, ...more })}\n`);
    };
  return {
    fatal: writer('fatal'),
    error: writer('error'),
    warn: writer('warn'),
    info: writer('info'),
    debug: writer('debug'),
    trace: writer('trace'),
  };
}

function write(target: LogTarget, line: string): void {
  if (target.file === undefined) {
    target.stderr(line);
    return;
  }
  try {
    appendFileSync(target.file, line, { mode: 0o600 });
  } catch {
    target.stderr(line);
  }
}
