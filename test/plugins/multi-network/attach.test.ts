import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { begun, readBirthRecord, writeBirthRecord } from '../../../lib/attachments/birth-record.ts';
import { attachAll, recorded } from '../../../plugins/multi-network/attach.ts';
import type { Network } from '../../../plugins/multi-network/networks.ts';
import { noNamespaces, scratchNamespace } from '../../support/namespaces/namespace.ts';
import { failed, networkNamed, workOf } from '../../support/plugins/delegation.ts';

const [CLUSTER, BLUE, GREEN] = [
  networkNamed('cluster', 'eth0', { isDefault: true }),
  networkNamed('blue', 'net1'),
  networkNamed('green', 'net2'),
];
const ALL = [CLUSTER, BLUE, GREEN];

/** A pod with a link `lo` and these; and what multi-network does there. */
function podOf(t: Test, ...links: string[]) {
  const pod = scratchNamespace(t);
  for (const link of links) pod.ip(`link add ${link} type bridge`);
  const inPod = (network: Network): Network => ({ ...network, input: { ...network.input, netns: pod.path } });
  const work = workOf(t, pod);
  const states = () => recorded(work).map(({ ifname, state }) => `${ifname} ${state}`);
  const attach = (networks: readonly Network[], isFurther = false) => attachAll(work, networks.map(inPod), isFurther);
  return { ...work, pod, states, attach, inPod };
}

const namesOf = (attached: readonly { network: Network }[]) => attached.map(({ network }) => network.name);

t.test('attaching', { skip: noNamespaces }, async (t) => {
  t.test('is ADD of each in their order, recorded before the first and after the last', async (t) => {
    const { attach, standIn, states, folder, call } = podOf(t);
    standIn.results.eth0 = { cniVersion: '1.0.0', interfaces: [] };
    const attached = await attach(ALL);
    t.strictSame(standIn.asked, ['ADD cluster eth0', 'ADD blue net1', 'ADD green net2']);
    t.strictSame(namesOf(attached), ['default/cluster', 'default/blue', 'default/green']);
    t.equal(attached[0]?.result, standIn.results.eth0);
    t.strictSame(states(), ['eth0 attached', 'net1 attached', 'net2 attached']);
    const fallback = { containerID: 'c', netns: '', ifname: 'eth0', args: [], capabilityArgs: {} };
    t.strictSame(
      readBirthRecord(folder, call.request.containerID, fallback)?.map(({ isDefault }) => isDefault),
      [true, false, false],
    );
  });

  t.test('of no network makes no record', async (t) => {
    const { attach, states } = podOf(t);
    t.strictSame(await attach([]), []);
    t.strictSame(states(), []);
  });

  t.test('what fails is taken back, the last first, and forgotten', async (t) => {
    const { attach, standIn, states } = podOf(t);
    standIn.fails['ADD green net2'] = failed('no room');
    await t.rejects(attach(ALL), { code: 104, message: 'ADD of network default/green: no room' });
    t.strictSame(standIn.asked.slice(3), ['DEL blue net1', 'DEL cluster eth0']);
    t.strictSame(states(), []);
  });

  t.test('one whose own ADD could not be undone is taken back too', async (t) => {
    const { attach, standIn } = podOf(t);
    standIn.fails['ADD blue net1'] = failed('no room', false);
    await t.rejects(attach(ALL), { message: 'ADD of network default/blue: no room' });
    t.strictSame(standIn.asked.slice(2), ['DEL blue net1', 'DEL cluster eth0'], 'and not what comes behind it');
  });

  t.test('what cannot be taken back is told, and stays recorded', async (t) => {
    const { attach, standIn, states } = podOf(t);
    standIn.fails['ADD green net2'] = failed('no room');
    standIn.fails['DEL cluster eth0'] = failed('stuck');
    await t.rejects(attach(ALL), {
      code: 104,
      message: 'ADD of network default/green: no room\nundoing it: DEL of network default/cluster: stuck',
    });
    t.strictSame(states(), ['eth0 begun']);
  });

  t.test('an interface of that name, or altname, is somebody else’s', async (t) => {
    const { attach, standIn, pod } = podOf(t, 'net1');
    await t.rejects(attach(ALL), { code: 105, message: 'network default/blue: the pod has an interface net1 already' });
    t.strictSame(standIn.asked, ['ADD cluster eth0', 'DEL cluster eth0']);
    pod.ip('link set net1 name other');
    pod.ip('link property add dev other altname net2');
    await t.rejects(attach([GREEN]), { code: 105 });
  });

  t.test('an address that was asked for and not given fails, and is taken back', async (t) => {
    const { attach, standIn } = podOf(t);
    standIn.results.net1 = { cniVersion: '1.0.0', ips: [{ address: '10.0.0.6/24' }] };
    await t.rejects(attach([{ ...BLUE, request: { ips: ['10.0.0.5'] } }]), {
      message: 'network default/blue: address 10.0.0.5 is asked for, and the pod got 10.0.0.6',
    });
    t.strictSame(standIn.asked, ['ADD blue net1', 'DEL blue net1']);
  });

  t.test('other errors are passed on as they are', async (t) => {
    const { attach, standIn } = podOf(t);
    standIn.fails['ADD blue net1'] = new TypeError('ours');
    await t.rejects(attach([BLUE]), { name: 'TypeError', message: 'ours' });
  });

  t.test('default routes that are chosen are made once all are there, and undone with the rest', async (t) => {
    const { attach, standIn, states } = podOf(t);
    const chosen = { ...BLUE, request: { defaultRoute: ['10.0.0.1'] } };
    standIn.fails['default route blue net1'] = failed('out of reach');
    await t.rejects(attach([CLUSTER, chosen, GREEN]), { message: 'out of reach' });
    t.strictSame(standIn.asked.slice(3), [
      'default route blue net1',
      'DEL green net2',
      'DEL blue net1',
      'DEL cluster eth0',
    ]);
    t.strictSame(states(), []);
  });
});

t.test('attaching again', { skip: noNamespaces }, async (t) => {
  t.test('the same networks answers what the first did, and calls nobody', async (t) => {
    const { attach, standIn } = podOf(t, 'mine');
    standIn.results.eth0 = {
      cniVersion: '1.0.0',
      interfaces: [
        { name: 'gone', sandbox: '/n' },
        { name: 'mine', sandbox: '/n' },
      ],
    };
    const first = await attach(ALL);
    standIn.asked.length = 0;
    t.strictSame(await attach(ALL), first);
    t.strictSame(standIn.asked, []);
  });

  const CHANGES: [what: string, change: (world: ReturnType<typeof podOf>) => Network[] | false][] = [
    ['another request', () => [CLUSTER, { ...BLUE, request: { mac: '02:00:00:00:00:01' } }, GREEN]],
    ['another interface', () => [CLUSTER, { ...BLUE, input: { ...BLUE.input, ifname: 'net9' } }, GREEN]],
    ['another network', () => [CLUSTER, { ...BLUE, name: 'default/red' }, GREEN]],
    ['another config', () => [CLUSTER, { ...BLUE, list: GREEN.list }, GREEN]],
    ['another order', () => [CLUSTER, GREEN, BLUE]],
    ['one less', () => [CLUSTER, BLUE]],
    ['a result that is lost', ({ standIn }) => standIn.cache.delete('net1') && ALL],
    ['a link that is lost', ({ pod }) => pod.ip('link del mine') === '' && ALL],
  ];
  for (const [what, change] of CHANGES) {
    t.test(`${what}: begins anew`, async (t) => {
      const world = podOf(t, 'mine');
      world.standIn.results.eth0 = { cniVersion: '1.0.0', interfaces: [{ name: 'mine', sandbox: '/n' }] };
      await world.attach(ALL);
      world.standIn.asked.length = 0;
      const networks = change(world) || [];
      await world.attach(networks);
      t.strictSame(world.standIn.asked.slice(0, 3), ['DEL green net2', 'DEL blue net1', 'DEL cluster eth0']);
      t.equal(world.standIn.asked.length, 3 + networks.length);
    });
  }

  t.test('after an ADD that was cut short: begins anew', async (t) => {
    const { attach, standIn, folder, inPod, states } = podOf(t);
    const record = ALL.map(inPod).map(({ name, list, input, isDefault, request }) =>
      begun(name, list, input, { isDefault, request }),
    );
    writeBirthRecord(folder, 'c', record);
    await attach(ALL);
    t.equal(standIn.asked.length, 6);
    t.strictSame(states(), ['eth0 attached', 'net1 attached', 'net2 attached']);
  });

  t.test('what is in the way and cannot be taken away is the error', async (t) => {
    const { attach, standIn, states } = podOf(t);
    await attach([CLUSTER, BLUE]);
    standIn.fails['DEL blue net1'] = failed('stuck');
    await t.rejects(attach([CLUSTER, GREEN]), { message: 'DEL of network default/blue: stuck' });
    t.strictSame(states(), ['net1 attached']);
  });
});

t.test('a further network', { skip: noNamespaces }, async (t) => {
  t.test('comes beside those that the pod has', async (t) => {
    const { attach, standIn, states } = podOf(t);
    await attach([CLUSTER, BLUE]);
    standIn.asked.length = 0;
    t.strictSame(namesOf(await attach([GREEN], true)), ['default/green']);
    t.strictSame(standIn.asked, ['ADD green net2']);
    t.strictSame(states(), ['eth0 attached', 'net1 attached', 'net2 attached']);
    await attach([GREEN], true);
    t.strictSame(standIn.asked, ['ADD green net2'], 'twice is success');
  });

  t.test('that fails leaves the others recorded', async (t) => {
    const { attach, standIn, states } = podOf(t);
    await attach([CLUSTER, BLUE]);
    standIn.fails['ADD green net2'] = failed('no room');
    await t.rejects(attach([GREEN], true), { message: 'ADD of network default/green: no room' });
    t.strictSame(states(), ['eth0 attached', 'net1 attached']);
  });
});

t.test('a record that cannot be read is an error', { skip: noNamespaces }, async (t) => {
  const { attach, folder } = podOf(t);
  writeFileSync(join(folder, 'c'), '{');
  await t.rejects(attach([BLUE]), { name: 'FileError' });
});
