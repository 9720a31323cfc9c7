import { join } from 'node:path';
import t from 'tap';
import type { Call } from '../../../lib/cni/runner.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';

// What the log of a call says at each level.

type Line = { level: string; msg: string; [field: string]: unknown };

const ROUTES = [
  { dst: '10.1.0.0/16', gw: '10.244.1.1' },
  { dst: '10.2.0.0/16', gw: '10.244.1.1' },
];

t.test('each change is a line at debug, the whole plan is at trace', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  pod.ip('route add 10.2.0.0/16 via 10.244.1.1');
  const dataDir = join(scratchFolder(t), 'data');
  const linesOf = async (verb: string, logLevel: string) => {
    const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, routes: ROUTES, logLevel };
    const answer = await call(staticRoute, variables(verb, pod.path), config);
    success(answer);
    const lines = answer.stderr.trim().split('\n').filter(Boolean);
    return lines.map((line): Line => JSON.parse(line));
  };
  const about = (lines: Line[], level: string) => lines.filter((line) => line.level === level);

  const added = 'add route 10.1.0.0/16 via 10.244.1.1 dev eth0';
  const debug = await linesOf('ADD', 'debug');
  t.match(about(debug, 'debug'), [{ msg: added, source: 'routes[0]', network: 'net' }], 'only what was not there');
  t.equal(about(debug, 'debug').length, 1);
  t.match(about(await linesOf('DEL', 'debug'), 'debug'), [{ msg: `undo: ${added}` }]);

  const trace = about(await linesOf('ADD', 'trace'), 'trace');
  t.match(trace, [
    { msg: `wanted: ${added}`, source: 'routes[0]', there: false },
    { msg: 'wanted: add route 10.2.0.0/16 via 10.244.1.1 dev eth0', source: 'routes[1]', there: true },
  ]);
  await linesOf('DEL', 'info');

  for (const verb of ['ADD', 'DEL']) {
    t.strictSame(
      (await linesOf(verb, 'info')).map(({ level }) => level),
      ['info'],
      `${verb} says how many at info`,
    );
    if (verb === 'ADD') t.strictSame(await linesOf(verb, 'info'), [], 'a second one has changed nothing');
  }
});

t.test('no line about a change is made up where nobody reads it', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, routes: ROUTES };
  const made: string[] = [];
  const make = (line: string) => void made.push(line);
  const heard = (asked: Call): Call => ({ ...asked, log: { ...asked.log, debug: make, trace: make } });
  const { ADD, DEL } = staticRoute.handlers;
  const handlers = {
    ...staticRoute.handlers,
    ADD: (asked: Call) => ADD(heard(asked)),
    DEL: (asked: Call) => DEL(heard(asked)),
  };
  for (const [logLevel, lines] of [
    ['trace', 6],
    ['debug', 4],
    ['info', 0],
  ] as const) {
    for (const verb of ['ADD', 'DEL'])
      success(await call({ ...staticRoute, handlers }, variables(verb, pod.path), { ...config, logLevel }));
    t.equal(made.splice(0).length, lines, logLevel);
  }
});
