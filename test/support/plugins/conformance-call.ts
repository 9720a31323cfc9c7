import { join } from 'node:path';
import type { Test } from 'tap';
import { type Scratch, scratchFolder, scratchPod } from '../namespaces/namespace.ts';
import { type Answer, call, type Env } from './call.ts';
import type { PluginUnderTest } from './plugins.ts';

// How the conformance suite asks a plugin, and what every answer is held to.

/** The verbs that a plugin has work for. */
export const VERBS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'] as const;
export type Verb = (typeof VERBS)[number];

export type SetUp = {
  pod: Scratch;
  /** A whole config with these keys; no `cniVersion` for undefined. */
  config(keys: object, version: unknown): object;
  ask(env: Env, keys: object, version: unknown): Promise<Answer>;
};

/** A pod, and the plugin to ask about it, with a data folder of the test's own. */
export function setUp(t: Test, entry: PluginUnderTest): SetUp {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const config = (keys: object, cniVersion: unknown) => ({
    ...(cniVersion !== undefined && { cniVersion }),
    name: 'net',
    type: entry.name,
    dataDir,
    ...keys,
  });
  return { pod, config, ask: (env, keys, version) => call(entry.plugin, env, config(keys, version)) };
}

/** The answer is one error of the spec's shape, with this code, and no stack trace in it. */
export function refused(
  t: Test,
  { code, stdout, document }: Answer,
  expected: number,
  title = '',
  version = '1.1.0',
): void {
  t.equal(code, 1, `${title}: exit code`);
  t.match(document, { cniVersion: version, code: expected, msg: /./ }, `${title}: ${stdout}`);
  const keys = Object.keys(document ?? {}).filter((key) => !['cniVersion', 'code', 'msg', 'details'].includes(key));
  t.strictSame(keys, [], `${title}: no other keys`);
  t.notMatch(stdout, /\bat (file:|\S+ \()|\\n {4}at /, `${title}: no stack trace`);
}

/** The call succeeded, with one document or none, and complained of nothing. */
export function succeeded(t: Test, { code, stdout, stderr }: Answer, title = ''): void {
  t.equal(code, 0, `${title}: ${stdout}`);
  t.notMatch(stderr, /"level":"(error|fatal)"/, title);
}
