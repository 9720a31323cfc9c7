import t from 'tap';
import { planExecutables, planLists } from '../../../lib/install/plan.ts';

const PLUGINS = ['one', 'two'];
const NAMES = ['waymark', ...PLUGINS];

t.test('standalone, every executable comes from the folder itself', async (t) => {
  t.strictSame(
    planExecutables(PLUGINS, '/dist/bin', '/opt/cni/bin', 'standalone'),
    NAMES.map((name) => ({ name, source: `/dist/bin/${name}`, path: `/opt/cni/bin/${name}` })),
  );
});

t.test('for the agent, the plugins come from the folder beside it; the command does not, and goes first', async (t) => {
  const planned = planExecutables(PLUGINS, '/dist/bin', '/opt/cni/bin', 'agent');
  t.strictSame(
    planned.map(({ source }) => source),
    ['/dist/bin/waymark', ...PLUGINS.map((name) => `/dist/shim/${name}`)],
  );
  t.strictSame(
    planned.map(({ path }) => path),
    NAMES.map((name) => `/opt/cni/bin/${name}`),
  );
});

t.test('a list goes to the folder of lists by its own name', async (t) => {
  t.strictSame(planLists(['conf/10-a.conflist', '/b.conf'], '/etc/cni/net.d'), [
    { name: '10-a.conflist', source: 'conf/10-a.conflist', path: '/etc/cni/net.d/10-a.conflist' },
    { name: 'b.conf', source: '/b.conf', path: '/etc/cni/net.d/b.conf' },
  ]);
});

for (const name of ['a.json', 'a', '.conflist', '.a.conflist', 'a b.conf', 'ä.conf', '..', 'a.conflist.tmp']) {
  t.test(`refuses a list that is called "${name}"`, async (t) => {
    t.throws(() => planLists([`conf/${name}`], '/etc/cni/net.d'), { name: 'InstallError', message: `conf/${name}` });
  });
}

t.test('refuses two lists of one name', async (t) => {
  t.throws(() => planLists(['a/n.conf', 'b/n.conf'], '/etc/cni/net.d'), {
    message: 'two network configuration lists are named n.conf',
  });
});
