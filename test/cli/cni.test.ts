import { createHash } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { attachmentOf, CNI_COMMANDS, runCni } from '../../cli/cni.ts';

t.test('an attachment has the id, and the defaults, of cnitool', async (t) => {
  const sha512 = createHash('sha512').update('/run/netns/a').digest('hex').slice(0, 20);
  const plain = {
    containerID: `cnitool-${sha512}`,
    netns: '/run/netns/a',
    ifname: 'eth0',
    args: [],
    capabilityArgs: {},
  };
  t.strictSame(attachmentOf('/run/netns/../netns/a', {}, {}), plain);
  t.equal(attachmentOf('/n', {}, { CNI_IFNAME: 'net1' }).ifname, 'net1');
  t.equal(attachmentOf('/n', { ifname: 'net2' }, { CNI_IFNAME: 'net1' }).ifname, 'net2');
  const env = { CNI_ARGS: 'A=1;B=2', CAP_ARGS: '{"mac":"m"}' };
  t.match(attachmentOf('/n', {}, env), {
    args: [
      ['A', '1'],
      ['B', '2'],
    ],
    capabilityArgs: { mac: 'm' },
  });
});

t.test('arguments that are malformed are named', async (t) => {
  for (const pair of ['A', 'A=', '=1', 'A=1=2'])
    t.throws(() => attachmentOf('/n', {}, { CNI_ARGS: `B=1;${pair}` }), {
      message: `CNI_ARGS: "${pair}" is not of the form KEY=VALUE`,
    });
  t.throws(() => attachmentOf('/n', {}, { CAP_ARGS: '{' }), /^Error: CAP_ARGS is not JSON: |CAP_ARGS is not JSON: /);
  for (const text of ['[]', '7', 'null'])
    t.throws(() => attachmentOf('/n', {}, { CAP_ARGS: text }), { message: 'CAP_ARGS is not a JSON object' });
});

t.test('a command needs a network and the folders of plugins', async (t) => {
  const folder = t.testdir({
    'a.conflist': '{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"absent"}]}',
    bin: {},
  });
  const ask = (env: { [name: string]: string }, network = 'net') =>
    runCni('add', network, '/n', { cacheDir: join(folder, 'cache') }, { NETCONFPATH: folder, ...env }, () => undefined);
  for (const path of ['', ':'])
    await t.rejects(ask({ CNI_PATH: path }), { message: 'CNI_PATH is not set; it names the folders of the plugins' });
  await t.rejects(ask({ CNI_PATH: join(folder, 'bin') }, 'other'), /other/);
  await t.rejects(ask({ CNI_PATH: `:${join(folder, 'bin')}` }), /there is no plugin "absent" in CNI_PATH/);
  t.strictSame(Object.keys(CNI_COMMANDS), ['add', 'check', 'del', 'gc', 'status', 'update']);
});
