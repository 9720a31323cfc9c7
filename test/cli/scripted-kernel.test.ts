import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { rehearse } from '../../cli/rehearsal.ts';
import { withScriptedKernel } from '../../cli/scripted-kernel.ts';
import { nativeSockets } from '../../lib/native/native.ts';
import { RouteSocket } from '../../lib/netlink/socket.ts';
import { openNamespace } from '../../lib/netns/netns.ts';
import { Observation } from '../../lib/observation/observation.ts';
import { PLUGINS } from '../../plugins/index.ts';

t.test('the script has one link with an address and its route of each family, and takes every change', async (t) => {
  const { open } = RouteSocket;
  await withScriptedKernel(async () => {
    const namespace = openNamespace('/proc/self/ns/net');
    const socket = RouteSocket.open(namespace);
    namespace.close();
    const observed = Observation.of(socket);
    t.match(observed.links(), [{ index: 2, name: 'eth0' }]);
    t.strictSame(
      observed.addresses(2).map(({ prefix, tentative, scope }) => [prefix.address, prefix.length, tentative, scope]),
      [
        ['10.0.0.5', 24, false, 0],
        ['fd00::5', 64, false, 0],
      ],
    );
    const lines = ([4, 6] as const).map((family) =>
      observed
        .routesIn(family, 254)
        .map(({ dst, hops, protocol, scope, priority }) => [dst, hops, protocol, scope, priority]),
    );
    t.strictSame(lines[0], [['10.0.0.0/24', [{ oif: 2 }], 2, 253, 0]]);
    t.match(lines[1], [['fd00::/64', [{ oif: 2 }], 2]]);
    socket.close();
    t.equal(nativeSockets().lockFile(0), true);
    t.throws(() => nativeSockets().unmapCode(), /the script has no answer to this/);
  });
  t.equal(RouteSocket.open, open);
});

t.test('every plugin can be rehearsed, which leaves nothing, and what fails says so', async (t) => {
  const folder = join(t.testdir(), 'journals');
  const { now } = Date;
  await rehearse(PLUGINS, folder);
  t.notOk(existsSync(folder));
  const [plugin] = PLUGINS.filter(({ definition }) => definition !== undefined);
  if (plugin === undefined) throw new Error('there is a plugin');
  mkdirSync(folder);
  const wrong = { ...plugin, definition: { ...plugin.definition, rehearsal: { skipcheck: 'x' } } } as typeof plugin;
  await t.rejects(rehearse([wrong], folder), new RegExp(`${plugin.name} ADD: `));
  t.notOk(existsSync(folder));
  mkdirSync(folder);
  const lenient = {
    ...plugin,
    definition: { ...plugin.definition, rehearsal: { ...plugin.definition?.rehearsal, skipcheck: true } },
  } as typeof plugin;
  await t.rejects(
    rehearse([lenient], folder),
    new RegExp(`${plugin.name} CHECK: `),
    'CHECK must find what is not there',
  );
  t.equal(Date.now, now);
});
