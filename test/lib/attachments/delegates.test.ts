import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Delegates, networkFromRecord, recordsFolder } from '../../../lib/attachments/delegates.ts';

const PLUGIN = { cniVersion: '1.0.0', name: 'blue', type: 'a' };

t.test('a record has a list or a single plugin, as a text or read', async (t) => {
  const list = { cniVersion: '1.0.0', name: 'blue', plugins: [{ type: 'a' }, { type: 'b' }] };
  const typesOf = (config: object | string) => networkFromRecord(config as string).plugins.map(({ type }) => type);
  for (const config of [list, JSON.stringify(list)]) t.strictSame(typesOf(config), ['a', 'b']);
  t.strictSame(typesOf(PLUGIN), ['a']);
  t.match(networkFromRecord(PLUGIN), { name: 'blue', cniVersion: '1.0.0' });
  for (const wrong of ['7', '{}']) t.throws(() => networkFromRecord(wrong), /the record/);
  t.equal(recordsFolder('/state'), '/state/attachments');
});

t.test('runs the plugins of the node, with a PATH and the mark of who owns what they make', async (t) => {
  const folder = t.testdir({ bin: {}, state: {} });
  const script = `#!/bin/sh\necho "$CNI_COMMAND $CNI_IFNAME $PATH" >>${folder}/calls\necho '{"cniVersion":"1.0.0"}'\n`;
  const said: string[] = [];
  writeFileSync(join(folder, 'bin/a'), script);
  chmodSync(join(folder, 'bin/a'), 0o755);
  const delegates = new Delegates({
    ...{
      binDirs: [join(folder, 'bin')],
      stateDir: join(folder, 'state'),
      deadlineMs: 60_000,
      running: 1,
      runningPerNetwork: 1,
    },
    said: (_, text) => said.push(text),
  });
  const network = networkFromRecord(PLUGIN);
  const input = { containerID: 'c', netns: '', ifname: 'net1', args: [], capabilityArgs: {} };
  delegates.assertPlugins(network);
  t.throws(() => delegates.assertPlugins(networkFromRecord({ ...PLUGIN, type: 'absent' })), /absent/);
  t.match(await delegates.add(network, input), { cniVersion: '1.0.0' });
  await delegates.del(network, input, undefined);
  const { readFileSync } = await import('node:fs');
  const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  t.equal(readFileSync(join(folder, 'calls'), 'utf8'), `ADD net1 ${path}\nDEL net1 ${path}\n`);
  t.strictSame(said, []);
});
