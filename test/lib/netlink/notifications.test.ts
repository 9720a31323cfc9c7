import { spawnSync } from 'node:child_process';
import { openSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { nativeSockets, withAddon } from '../../../lib/native/native.ts';
import { type Notice, Notifications } from '../../../lib/netlink/notifications.ts';
import { OWN_NAMESPACE, openNamespace } from '../../../lib/netns/netns.ts';
import { compileIntruder, intrudeOnce } from '../../support/agent/intruder.ts';
import { descriptorKinds } from '../../support/agent/process-figures.ts';
import { noCompiler } from '../../support/agent/shim.ts';
import { noNamespaces, run, type Scratch, scratchPod } from '../../support/namespaces/namespace.ts';
import { until } from '../../support/until.ts';

const notificationsIn = (t: Test, { path }: Pick<Scratch, 'path'>) => {
  const namespace = openNamespace(path);
  const notifications = Notifications.open(namespace);
  namespace.close();
  t.teardown(() => notifications.close());
  return notifications;
};

// Which does not keep a process running.
const woken = (notifications: Notifications) => {
  let isWoken = false;
  notifications.wakeOnce(() => {
    isWoken = true;
  });
  return { whenDone: () => until(() => isWoken, 'nobody is woken') };
};

t.test(
  'a socket is told what changes in its namespace, once for each time it asks',
  { skip: noNamespaces },
  async (t) => {
    const pod = scratchPod(t);
    const own = readlinkSync(OWN_NAMESPACE);
    const notifications = notificationsIn(t, pod);
    t.equal(readlinkSync(OWN_NAMESPACE), own, 'we are where we were');
    t.strictSame(notifications.read(), [], 'it does not block');
    const after = async (...commands: string[]) => {
      const wake = woken(notifications);
      for (const command of commands) pod.ip(command);
      await wake.whenDone();
      return notifications.read() as Notice[];
    };
    const of = { link: 'link', address: 'address', route: 'route', rule: 'rule' } as const;
    const news = { isGone: false, replaces: false };
    const gone = { isGone: true, replaces: false };
    t.strictSame(await after('route add 10.1.0.0/16 via 10.244.1.1 proto 87'), [
      { of: of.route, ...news, protocol: 87 },
    ]);
    t.strictSame(await after('route replace 10.1.0.0/16 via 10.244.1.9 proto static'), [
      { of: of.route, isGone: false, replaces: true, protocol: 4 },
    ]);
    t.strictSame(await after('route del 10.1.0.0/16'), [{ of: of.route, ...gone, protocol: 4 }]);
    t.strictSame(await after('-6 route add 2001:db8::/32 via fd00:244:1::1 proto 87'), [
      { of: of.route, ...news, protocol: 87 },
    ]);
    t.strictSame(await after('rule add from 10.1.0.0/16 table 7'), [{ of: of.rule, ...news }]);
    t.strictSame(await after('-6 rule add from 2001:db8::/32 table 7', '-6 rule del from 2001:db8::/32 table 7'), [
      { of: of.rule, ...news },
      { of: of.rule, ...gone },
    ]);
    t.match(await after('address add 10.9.0.1/24 dev eth0'), [{ of: of.address }, { of: of.route, protocol: 2 }]);
    t.ok((await after('link set eth0 down')).some((notice) => notice.of === 'link' && !notice.isGone));
    t.ok((await after('link del eth0')).some((notice) => notice.of === 'link' && notice.isGone));
  },
);

t.test('what is more than the socket holds is lost, and it is told so', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const notifications = notificationsIn(t, pod);
  const lines = Array.from({ length: 2000 }, (_, i) => `route add blackhole 11.0.${i >> 8}.${i & 255}`);
  run('ip', ['-n', pod.name, '-batch', '-'], `${lines.join('\n')}\n`);
  await woken(notifications).whenDone();
  t.equal(notifications.read(), 'lost');
  t.strictSame(notifications.read(), [], 'once');
  pod.ip('route add blackhole 11.1.0.0');
  await woken(notifications).whenDone();
  t.equal(notifications.read().length, 1);
});

t.test('whoever floods it holds nobody up, and what was lost once is lost', async (t) => {
  const answers: number[] = [];
  let reads = 0;
  const addon = {
    ...nativeSockets(),
    openNotifications: () => openSync('/dev/null', 'r'),
    readNotification: () => {
      reads++;
      return answers.shift() ?? -1;
    },
  };
  await withAddon(addon, async () => {
    const notifications = notificationsIn(t, { path: OWN_NAMESPACE });
    t.equal(notifications.read(), 'lost');
    t.equal(reads, 512);
    answers.push(-1, 0);
    t.equal(notifications.read(), 'lost');
    answers.push(0);
    t.strictSame(notifications.read(), []);
  });
});

t.test('whoever is in the pod cannot send to it', { skip: noNamespaces || noCompiler }, async (t) => {
  const pod = scratchPod(t);
  const notifications = notificationsIn(t, pod);
  const attempts = intrudeOnce(compileIntruder(t), pod);
  t.equal(attempts.length, 1, 'the socket is found');
  t.match(attempts[0], /^\d+ ECONNREFUSED$/);
  t.strictSame(notifications.read(), []);
});

t.test('what is closed wakes nobody, and leaves nothing', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const namespace = openNamespace(pod.path);
  t.teardown(() => namespace.close());
  const first = Notifications.open(namespace);
  first.wakeOnce(() => t.fail('it is closed'));
  first.close();
  const before = descriptorKinds(process.pid);
  const many = Array.from({ length: 100 }, () => Notifications.open(namespace));
  for (const each of many) each.wakeOnce(() => t.fail('it is closed'));
  for (const each of many) each.close();
  t.strictSame(descriptorKinds(process.pid), before);
  const last = notificationsIn(t, pod);
  pod.ip('route add blackhole 11.0.0.0');
  await woken(last).whenDone();
});

t.test('waiting does not keep a process running', { skip: noNamespaces }, async (t) => {
  const pod = scratchPod(t);
  const from = (file: string) => JSON.stringify(join(import.meta.dirname, '../../../lib', file));
  const script = `
    import { Notifications } from ${from('netlink/notifications.ts')};
    import { openNamespace } from ${from('netns/netns.ts')};
    Notifications.open(openNamespace(${JSON.stringify(pod.path)})).wakeOnce(() => undefined);
  `;
  const { status, signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  t.strictSame({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
});
