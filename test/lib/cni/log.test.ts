import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createLog, type Log } from '../../../lib/cni/log.ts';
import { LOG_LEVELS, type LogLevel } from '../../../lib/cni/log-level.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

const METHODS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

/** Writes one line at every level, and returns what came out on stderr. */
function speak(log: Log): void {
  for (const level of METHODS) log[level](`a line of ${level}`);
}

function logTo(level: LogLevel, file?: string): { log: Log; stderr: string[] } {
  const stderr: string[] = [];
  return { log: createLog({ level, file, stderr: (text) => stderr.push(text) }, { plugin: 'p', verb: 'ADD' }), stderr };
}

t.test('a level shows itself and what is graver, nothing lighter; silent shows nothing', async (t) => {
  const table: [LogLevel, readonly string[]][] = [
    ['silent', []],
    ['fatal', ['fatal']],
    ['error', ['fatal', 'error']],
    ['warn', ['fatal', 'error', 'warn']],
    ['info', ['fatal', 'error', 'warn', 'info']],
    ['debug', ['fatal', 'error', 'warn', 'info', 'debug']],
    ['trace', METHODS],
  ];
  t.strictSame(
    table.map(([level]) => level),
    LOG_LEVELS,
  );
  for (const [level, shown] of table) {
    const { log, stderr } = logTo(level);
    speak(log);
    t.strictSame(
      stderr.map((line) => JSON.parse(line).level),
      shown,
      level,
    );
  }
});

t.test('a line is one line of JSON with level, time, the fields of the log and those of the call', async (t) => {
  const { log, stderr } = logTo('info');
  log.info('two\nlines', { changes: 3 });
  t.equal(stderr.length, 1);
  t.match(stderr[0], /^[^\n]*\n$/);
  const { time, ...line } = JSON.parse(stderr[0] ?? '');
  t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.strictSame(line, { level: 'info', plugin: 'p', verb: 'ADD', msg: 'two\nlines', changes: 3 });
});

t.test('a log file is made with mode 0600, appended to, and then nothing is on stderr', async (t) => {
  const file = join(scratchFolder(t), 'waymark.log');
  const first = logTo('info', file);
  first.log.info('one');
  const second = logTo('info', file);
  second.log.info('two');
  t.strictSame([...first.stderr, ...second.stderr], []);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.strictSame(
    readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).msg),
    ['one', 'two'],
  );
});

t.test('a line for a file that cannot be written goes to stderr, and nothing is thrown', async (t) => {
  const folder = scratchFolder(t);
  mkdirSync(join(folder, 'folder'));
  for (const file of [join(folder, 'folder'), join(folder, 'missing/waymark.log'), '/proc/version', '/dev/full']) {
    const { log, stderr } = logTo('warn', file);
    log.warn('here');
    log.info('not here');
    t.strictSame(
      stderr.map((line) => JSON.parse(line).msg),
      ['here'],
      file,
    );
  }
});
