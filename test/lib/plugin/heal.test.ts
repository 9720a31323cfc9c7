import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { tryLock } from '../../../lib/files/lock.ts';
import { lockPath } from '../../../lib/journal/format.ts';
import { openNamespace } from '../../../lib/netns/netns.ts';
import { type HealedAttachment, type HealedPod, heal } from '../../../lib/plugin/heal.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, run, scratchFolder, scratchPod, settle } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';

type Keys = { [key: string]: unknown };

/** A pod to which static-route has given something, and what heals it. */
async function healedPod(t: Test, keys: Keys, ...setUp: string[]) {
  const pod = scratchPod(t);
  for (const command of setUp) pod.ip(command);
  settle(pod);
  const before = pod.routes();
  const dataDir = join(scratchFolder(t), 'data');
  const config = { cniVersion: '1.1.0', name: 'net', type: 'static-route', dataDir, interface: 'eth0', ...keys };
  const act = async (verb: string) => success(await call(staticRoute, variables(verb, pod.path), config));
  await act('ADD');
  const attachment: HealedAttachment = {
    ...{ plugin: 'static-route', dataDir, ifname: 'eth0', network: 'net' },
    onConflict: (keys.onConflict as HealedAttachment['onConflict'] | undefined) ?? 'fail',
  };
  const healing = async (more: Partial<HealedPod> = {}) => {
    const namespace = openNamespace(pod.path);
    const about = { containerID: 'container-1', namespace, plugins: ['static-route'], pacing: {}, mayTry: () => true };
    try {
      return await heal([attachment], { ...about, ...more });
    } finally {
      namespace.close();
    }
  };
  return { pod, dataDir, before, act, healing };
}

const textsOf = (all: readonly { readonly text: string }[] = []) => all.map(({ text }) => text);

const ROUTES = {
  routes: [
    { dst: '10.1.0.0/16', gw: '10.244.1.1' },
    { dst: '10.2.0.0/16', gw: '10.1.0.1', onlink: true },
    { type: 'blackhole', dst: '2001:db8::/32' },
  ],
  rules: [{ from: '10.244.1.5', table: 7, priority: 70 }],
};

t.test(
  'puts back what is missing, and nothing else; DEL leaves the pod as before',
  { skip: noNamespaces },
  async (t) => {
    const { pod, before, act, healing } = await healedPod(t, ROUTES);
    const after = pod.routes();
    t.strictSame(await healing(), { state: 'whole', healed: [] });
    const open = () => readdirSync('/proc/self/fd').length;
    const openBefore = open();
    for (const command of ['route flush proto 87', '-6 route flush proto 87', 'rule del priority 70']) pod.ip(command);
    const { state, healed } = await healing();
    t.equal(state, 'lost');
    t.strictSame(textsOf(healed[0]?.back), [
      '10.1.0.0/16 via 10.244.1.1 dev eth0',
      '10.2.0.0/16 via 10.1.0.1 dev eth0 onlink',
      'blackhole 2001:db8::/32',
      'rule priority 70 from 10.244.1.5/32 lookup 7',
    ]);
    t.equal(pod.routes(), after);
    t.strictSame(pod.ipJson('rule show priority 70').length, 1);
    pod.ip('route del 10.2.0.0/16');
    t.strictSame((await healing({ mayTry: () => false })).healed[0]?.resting.length, 1);
    t.strictSame(pod.ipJson('route show 10.2.0.0/16'), []);
    await act('DEL');
    t.equal(pod.routes(), before);
    t.strictSame(await healing(), { state: 'none', healed: [] });
    t.equal(pod.routes(), before);
    t.equal(open(), openBefore, 'nothing stays open');
  },
);

t.test('waits for whoever is at work on the attachment', { skip: noNamespaces }, async (t) => {
  const { pod, dataDir, healing } = await healedPod(t, ROUTES);
  const lock = tryLock(lockPath(join(dataDir, 'static-route'), { containerID: 'container-1', ifname: 'eth0' }));
  pod.ip('route del 10.1.0.0/16');
  t.strictSame(await healing(), { state: 'busy', healed: [] });
  lock?.release();
  t.equal((await healing()).state, 'lost');
  t.equal((await healing()).state, 'whole');
});

t.test(
  'what needs a link that is down is refused until it is up; one that is gone is not missed',
  { skip: noNamespaces },
  async (t) => {
    const { pod, healing } = await healedPod(t, ROUTES);
    pod.ip('link set eth0 down');
    const [down] = (await healing()).healed;
    t.strictSame(textsOf(down?.refused), [
      '10.1.0.0/16 via 10.244.1.1 dev eth0',
      '10.2.0.0/16 via 10.1.0.1 dev eth0 onlink',
    ]);
    t.match(down?.refused[0]?.reason, /10\.1\.0\.0\/16.*(ENETDOWN|ENETUNREACH)/);
    pod.ip('link set eth0 up');
    t.equal((await healing()).healed[0]?.back.length, 2);
    pod.ip('link del eth0');
    t.strictSame(await healing(), { state: 'whole', healed: [] });
  },
);

t.test(
  'what somebody has put in the place stays, is replaced, or is given way to',
  { skip: noNamespaces },
  async (t) => {
    const rivals = ['route replace 10.1.0.0/16 via 10.244.1.9 proto bird', 'rule del priority 70'];
    rivals.push('rule add from 10.244.1.5 table 9 pref 70 proto static');
    for (const onConflict of ['fail', 'replace', 'keep']) {
      const { pod, healing } = await healedPod(t, { ...ROUTES, onConflict });
      for (const command of rivals) pod.ip(command);
      const [healed] = (await healing()).healed;
      const isReplaced = onConflict === 'replace';
      t.match(pod.ip('route show 10.1.0.0/16'), isReplaced ? /via 10\.244\.1\.1 / : /via 10\.244\.1\.9 /, onConflict);
      t.match(pod.ip('rule show priority 70'), isReplaced ? /lookup 7/ : /lookup 9/);
      t.strictSame(
        healed?.taken.map(({ holder }) => holder) ?? [],
        onConflict === 'fail'
          ? [
              '10.1.0.0/16 via 10.244.1.9 dev eth0 proto bird',
              'rule priority 70 from 10.244.1.5/32 lookup 9 proto static',
            ]
          : [],
      );
      t.equal((await healing()).state, onConflict === 'fail' ? 'lost' : 'whole');
    }
  },
);

t.test(
  'a hop of an IPv6 route that is lost comes back beside those that are left',
  { skip: noNamespaces },
  async (t) => {
    const nexthops = [
      { gw: 'fd00:244:1::1', dev: 'eth0' },
      { gw: 'fd00:9::1', dev: 'eth9' },
    ];
    const { pod, healing } = await healedPod(
      t,
      { routes: [{ dst: '2001:db8::/32', nexthops }] },
      'link add eth9 type veth peer name peer9',
      'link set peer9 up',
      'link set eth9 up',
      'address add fd00:9::5/64 dev eth9 nodad',
    );
    const hops = () => pod.ipJson('-6 route show 2001:db8::/32').flatMap((route) => route.nexthops ?? [route]);
    pod.ip('-6 route del 2001:db8::/32 via fd00:9::1 dev eth9');
    t.equal(hops().length, 1);
    t.equal((await healing()).healed[0]?.back.length, 1);
    t.equal(hops().length, 2);
    t.equal((await healing()).state, 'whole');
  },
);

t.test('what fails while it is put back is not tried a second time', { skip: noNamespaces }, async (t) => {
  const { pod, healing } = await healedPod(t, ROUTES);
  pod.ip('route del 10.1.0.0/16');
  let tries = 0;
  const mayTry = () => {
    tries++;
    throw new Error('not now');
  };
  await t.rejects(healing({ mayTry }), { message: 'not now' });
  t.equal(tries, 1);
});

t.test(
  'of a pod whose routes are too many to be read, ours are put back all the same',
  { skip: noNamespaces },
  async (t) => {
    const { pod, healing } = await healedPod(t, ROUTES);
    const lines = Array.from({ length: 1000 }, (_, i) => `route add blackhole 11.0.${i >> 8}.${i & 255}`);
    run('ip', ['-n', pod.name, '-batch', '-'], `${lines.join('\n')}\n`);
    pod.ip('route del 10.1.0.0/16');
    pod.ip('route replace 10.2.0.0/16 via 10.244.1.9 proto static');
    const { healed } = await healing({ pacing: { dumpBytes: 10_000 } });
    t.strictSame(textsOf(healed[0]?.back), ['10.1.0.0/16 via 10.244.1.1 dev eth0']);
    t.match(healed[0]?.refused[0]?.reason, /EEXIST/);
  },
);
