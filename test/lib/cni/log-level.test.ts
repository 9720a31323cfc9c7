import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { LOG_LEVELS, type LogLevel, parseLogLevel } from '../../../lib/cni/log-level.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, variables } from '../../support/plugins/call.ts';
import { PLUGINS } from '../../support/plugins/plugins.ts';

const TABLE: [written: unknown, level: LogLevel | undefined][] = [
  ...LOG_LEVELS.map((level): [string, LogLevel] => [level, level]),
  ['WARN', 'warn'],
  ['warning', 'warn'],
  // Multus, pkg/logging: panic, error, verbose and debug, in any case.
  ['panic', 'fatal'],
  ['verbose', 'info'],
  ['Verbose', 'info'],
  ['DEBUG', 'debug'],
  // kactus: 1 for errors, 5 for everything; klog goes on to 10.
  [0, 'error'],
  [1, 'error'],
  [2, 'warn'],
  [3, 'info'],
  [4, 'debug'],
  [5, 'trace'],
  [10, 'trace'],
  ['0', 'error'],
  ['4', 'debug'],
  ['10', 'trace'],
  [11, undefined],
  ['11', undefined],
  [-1, undefined],
  [2.5, undefined],
  ['2.5', undefined],
  [Number.NaN, undefined],
  ['', undefined],
  [' info', undefined],
  ['loud', undefined],
  ['constructor', undefined],
  [null, undefined],
  [undefined, undefined],
  [true, undefined],
  [['info'], undefined],
];

t.test('a level is one of our words, of Multus’ or of klog’s numbers', async (t) => {
  for (const [written, level] of TABLE) t.equal(parseLogLevel(written), level, JSON.stringify(written));
});

t.test('the config and _CNI_LOGGING_LEVEL take the same, and the config wins', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const [{ plugin, config }] = PLUGINS as [(typeof PLUGINS)[number]];
  const shownBy = async (keys: object, level: string | undefined) => {
    const folder = scratchFolder(t);
    const logFile = join(folder, 'log');
    const stdin = { cniVersion: '1.1.0', name: 'net', ...config, ...keys, dataDir: join(folder, 'data'), logFile };
    // An unknown key gives a warning.
    const env = variables('ADD', pod.path, { _CNI_LOGGING_LEVEL: level });
    const { code, stdout } = await call(plugin, env, { ...stdin, deviceID: 'x' });
    t.equal(code, 0, stdout);
    return existsSync(logFile) && readFileSync(logFile, 'utf8').includes('"level":"warn"');
  };
  t.equal(await shownBy({}, undefined), true, 'info is the default');
  for (const loud of ['verbose', 'warning', '2', '10']) t.equal(await shownBy({}, loud), true, loud);
  for (const quiet of ['panic', 'ERROR', '1', 'silent']) t.equal(await shownBy({}, quiet), false, quiet);
  t.equal(await shownBy({ logLevel: 'verbose' }, 'panic'), true);
  t.equal(await shownBy({ logLevel: 1 }, 'debug'), false);
  t.equal(await shownBy({}, 'loud'), true, 'what is no level in the variable is no reason to fail');
});
