import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Call } from '../../../lib/cni/runner.ts';
import { cacheResult } from '../../../lib/runtime/cache.ts';
import { RuntimeError } from '../../../lib/runtime/errors.ts';
import { parseNetwork } from '../../../lib/runtime/network.ts';
import { Delegation, networkFailed } from '../../../plugins/multi-network/delegation.ts';

const LIST = parseNetwork({ cniVersion: '1.1.0', name: 'blue', plugins: [{ type: 'note' }] }, 'x');
const RESULT = { cniVersion: '1.1.0', dns: {} };
const inputOf = (ifname: string, containerID = 'c') => ({
  ...{ containerID, netns: '/n', ifname, args: [], capabilityArgs: {} },
});

/** Delegation to a plugin in `folder` that notes how it is called. */
function delegationIn(t: Test, found: 'binDir' | 'CNI_PATH', { slots = undefined as unknown } = {}) {
  const folder = t.testdir({ bin: {}, empty: {}, node: {} });
  const notes = join(folder, 'notes');
  const plugin = `#!/bin/sh
    { echo "$CNI_COMMAND $CNI_IFNAME $PATH"; cat; echo; } >>${notes}
    echo 'something odd' >&2
    echo '${JSON.stringify(RESULT)}'`;
  writeFileSync(join(folder, 'bin/note'), plugin, { mode: 0o755 });
  const logs: unknown[] = [];
  const call = {
    request: { document: { name: 'waymark' } },
    env: { CNI_PATH: found === 'CNI_PATH' ? `/nonexistent::${join(folder, 'bin')}` : undefined },
    pacing: {},
    log: { info: (text: string, fields: object) => logs.push([text, fields]) },
    place: { pathOf: (path: string) => (path.startsWith('/var') ? join(folder, 'node', path) : path) },
  } as unknown as Call;
  const dirs = { binDir: join(folder, found === 'binDir' ? 'bin' : 'empty'), cniDir: '/var/lib/cni/multus' };
  const delegation = new Delegation(call, dirs, { cluster: async () => undefined, slots } as never);
  const calls = () => {
    const lines = existsSync(notes) ? readFileSync(notes, 'utf8').trim().split('\n') : [];
    return lines.flatMap((line, at) => (at % 2 === 0 ? [{ call: line, config: JSON.parse(lines[at + 1] ?? '') }] : []));
  };
  return { delegation, calls, logs, at: (path: string) => join(folder, 'node', path) };
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

for (const found of ['binDir', 'CNI_PATH'] as const) {
  t.test(`a plugin of ${found} is run with the usual programs, and its result is kept`, async (t) => {
    const { delegation, calls, logs, at } = delegationIn(t, found);
    t.equal(delegation.cached(LIST, inputOf('net1')), undefined);
    t.match(await delegation.add(LIST, inputOf('net1')), RESULT);
    t.match(calls(), [{ call: `ADD net1 ${PATH}`, config: { name: 'blue', type: 'note' } }]);
    t.match(logs, [['a plugin wrote on stderr', { text: /something odd/ }]]);
    t.ok(existsSync(at('/var/lib/cni/multus/results/blue-c-net1')));
    t.match(delegation.cached(LIST, inputOf('net1')), { result: RESULT, input: { ifname: 'net1' } });
    await delegation.check(LIST, inputOf('net1'));
    await t.rejects(delegation.check(LIST, inputOf('net1'), ['10.0.0.1']), Error, 'there is no namespace to look at');
    await delegation.del(LIST, inputOf('net1'));
    t.match(calls().slice(1), [
      { call: `CHECK net1 ${PATH}`, config: { prevResult: RESULT } },
      { call: `CHECK net1 ${PATH}` },
      { call: `DEL net1 ${PATH}`, config: { prevResult: RESULT } },
    ]);
    t.equal(delegation.cached(LIST, inputOf('net1')), undefined);
    await delegation.status(LIST);
    t.match(calls().at(-1), { call: /^STATUS / });
  });
}

t.test('DEL with a result of the runtime’s own cache forgets that', async (t) => {
  const { delegation, calls, at } = delegationIn(t, 'binDir');
  const file = at('/var/lib/cni/results/blue-c-net1');
  const known = { ...RESULT, dns: { domain: 'x' } };
  cacheResult(at('/var/lib/cni'), LIST, inputOf('net1'), known);
  await delegation.del(LIST, inputOf('net1'));
  t.ok(existsSync(file), 'not where none was given');
  await delegation.del(LIST, inputOf('net1'), known);
  t.match(calls().at(-1), { config: { prevResult: known } });
  t.notOk(existsSync(file));
});

t.test('GC names the attachments that valid containers have, whoever made them', async (t) => {
  const { delegation, calls, at } = delegationIn(t, 'binDir');
  const folders = { net1: '/var/lib/cni/multus', net2: '/var/lib/cni', net3: '/var/lib/cni/waymark' };
  for (const [ifname, folder] of Object.entries(folders)) {
    mkdirSync(at(folder), { recursive: true });
    cacheResult(at(folder), LIST, inputOf(ifname), RESULT);
    cacheResult(at(folder), LIST, inputOf(ifname, 'gone'), RESULT);
  }
  await delegation.gc(LIST, new Set(['c']));
  const [valid] = calls().filter(({ call }) => call.startsWith('GC '));
  t.strictSame(
    valid?.config['cni.dev/valid-attachments'],
    ['net1', 'net2', 'net3'].map((ifname) => ({ containerID: 'c', ifname })),
  );
});

t.test('a network’s plugins run when it is its turn', async (t) => {
  const turns: string[] = [];
  const slots = {
    run: (name: string, work: () => Promise<unknown>) => {
      turns.push(name);
      return work();
    },
  };
  const { delegation } = delegationIn(t, 'binDir', { slots });
  await delegation.add(LIST, inputOf('net1'));
  t.strictSame(turns, ['blue']);
});

t.test('the error of a network’s plugin has its code and names the network', async (t) => {
  const cause = new RuntimeError('no address', { code: 11, details: 'more' });
  t.match(networkFailed('ADD', 'default/blue', cause), {
    ...{ code: 11, message: 'ADD of network default/blue: no address', details: 'more', cause },
  });
  t.match(networkFailed('DEL', 'x', new Error('odd')), { code: 999, message: 'DEL of network x: odd' });
});
