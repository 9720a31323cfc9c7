import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { consistentIfname } from '../../../plugins/consistent-ifname/main.ts';
import { type LinkStates, richPod, statesOf, withoutLabels } from '../../support/namespaces/link-state.ts';
import { noNamespaces, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';
import { GREEN, namesOf, stateOf, worldOf } from '../../support/plugins/ifname-world.ts';

const SECOND_KEY = '$' + '{name}/$' + '{ifname}';

t.test('a link that is up, with all that a link can have', { skip: noNamespaces }, async (t) => {
  t.test('keeps it with its new name, and DEL gives it all back', async (t) => {
    const pod = richPod(t, { addresses: 'one' });
    const { must } = worldOf(t, pod);
    const before = statesOf(pod);
    for (const keepAltname of [true, false]) {
      await must('ADD', { keepAltname });
      const kept = keepAltname ? ['a-long-altname-of-the-first-link', 'eth0'] : ['a-long-altname-of-the-first-link'];
      t.strictSame(namesOf(pod), { name: GREEN, altnames: kept });
      if (keepAltname) pod.ip(`link property del dev ${GREEN} altname eth0`);
      t.strictSame(statesOf(pod), withName(before, 'eth0', GREEN), 'all else is as before');
      if (keepAltname) pod.ip(`link property add dev ${GREEN} altname eth0`);
      await must('DEL', { keepAltname });
      t.strictSame(statesOf(pod), before, 'DEL leaves all as before');
    }
  });

  t.test('is the same as after `ip link set name`, the labels of several IPv4 addresses too', async (t) => {
    const [pod, twin] = [richPod(t, { addresses: 'several' }), richPod(t, { addresses: 'several' })];
    const { must } = worldOf(t, pod);
    const before = statesOf(pod);
    t.strictSame(statesOf(twin), before);
    await must('ADD');
    twin.ip(`link set eth0 name ${GREEN}`);
    twin.ip(`link property add dev ${GREEN} altname eth0`);
    t.strictSame(statesOf(pod), statesOf(twin));
    await must('DEL');
    t.strictSame(withoutLabels(statesOf(pod)), withoutLabels(before), 'DEL leaves all but labels as before');
    twin.ip(`link property del dev ${GREEN} altname eth0`);
    twin.ip(`link set ${GREEN} name eth0`);
    t.strictSame(statesOf(pod), statesOf(twin), 'and the labels as the kernel makes them');
  });

  t.test('has one more name by mode "altname", and nothing else is changed', async (t) => {
    const pod = richPod(t, { addresses: 'several' });
    const { must, config } = worldOf(t, pod);
    const before = statesOf(pod);
    const result = await must('ADD', { mode: 'altname' });
    const { prevResult } = config() as { prevResult: object };
    t.strictSame(result, { cniVersion: '1.1.0', ...prevResult });
    t.strictSame(namesOf(pod), { name: 'eth0', altnames: ['a-long-altname-of-the-first-link', GREEN] });
    await must('CHECK', { mode: 'altname' });
    pod.ip(`link property del dev eth0 altname ${GREEN}`);
    t.strictSame(statesOf(pod), before);
    t.match((await call(consistentIfname, variables('CHECK', pod.path), config({ mode: 'altname' }))).document, {
      code: 106,
      msg: `the pod is not as it should be: name: interface eth0 has no altname ${GREEN}`,
    });
    await must('ADD', { mode: 'altname' });
    await must('DEL', { mode: 'altname' });
    t.strictSame(statesOf(pod), before);
  });
});

t.test('verbs', { skip: noNamespaces }, async (t) => {
  t.test('ADD twice gives the same result, and DEL once gives all back; DEL twice is success', async (t) => {
    const pod = scratchPod(t);
    const { must, dataDir } = worldOf(t, pod);
    const before = stateOf(pod);
    for (const keys of [{}, { keepAltname: false }, { mode: 'altname' }, { scheme: 'kubevirt' }, { ifname: 'lan' }]) {
      const first = await must('ADD', keys);
      const between = stateOf(pod);
      t.strictSame(await must('ADD', keys), first);
      t.equal(stateOf(pod), between);
      await must('CHECK', { ...keys, prevResult: first });
      await must('DEL', { ...keys, prevResult: first });
      t.equal(stateOf(pod), before, JSON.stringify(keys));
      await must('DEL', keys);
      t.equal(stateOf(pod), before);
      t.strictSame(readdirSync(join(dataDir, 'consistent-ifname')), []);
    }
  });

  t.test('the result has the new name in the first one’s place, and the first one at its end', async (t) => {
    const pod = scratchPod(t);
    const { must } = worldOf(t, pod);
    const [link] = pod.ipJson('link show eth0');
    const sandbox = pod.path;
    const prevResult = {
      interfaces: [{ name: 'cni0' }, { name: 'eth0', mac: link?.address, sandbox }, { name: 'veth1' }],
      ips: [{ address: '10.244.1.5/24', gateway: '10.244.1.1', interface: 1 }],
      routes: [{ dst: '0.0.0.0/0' }],
      dns: { nameservers: ['10.1.0.1'] },
    };
    const [bridge, container, host] = prevResult.interfaces;
    t.strictSame(await must('ADD', { prevResult }), {
      cniVersion: '1.1.0',
      ...prevResult,
      interfaces: [bridge, { ...container, name: GREEN }, host, { name: 'eth0', mac: link?.address, sandbox }],
      ips: [{ ...prevResult.ips[0], interface: 3 }],
    });
    await must('DEL', { prevResult });
    t.strictSame(await must('ADD', { prevResult, keepAltname: false }), {
      cniVersion: '1.1.0',
      ...prevResult,
      interfaces: [bridge, { ...container, name: GREEN }, host],
    });
  });

  t.test('unchained, with any CNI_IFNAME: eth0 gets the name, CHECK and a repeated ADD know it again', async (t) => {
    const pod = scratchPod(t);
    const { must } = worldOf(t, pod);
    const before = stateOf(pod);
    for (const keys of [{}, { interface: 'eth0' }, { keepAltname: false }, { mode: 'altname' }]) {
      for (const CNI_IFNAME of ['eth0', 'net1']) {
        const unchained = { ...keys, prevResult: undefined };
        const result = await must('ADD', unchained, { CNI_IFNAME });
        const isAltname = 'mode' in keys;
        t.equal(namesOf(pod).name, isAltname ? 'eth0' : GREEN);
        t.strictSame(namesOf(pod).altnames, isAltname ? [GREEN] : 'keepAltname' in keys ? [] : ['eth0']);
        t.match(result, {
          interfaces: [{ name: isAltname ? 'eth0' : GREEN }],
          // containerd takes the addresses of a pod's first network from `eth0`.
          ips: Array(2).fill({
            interface: CNI_IFNAME === 'eth0' && Object.keys(keys).every((key) => key === 'interface') ? 1 : 0,
          }),
        });
        const between = stateOf(pod);
        t.strictSame(await must('ADD', unchained, { CNI_IFNAME }), result);
        t.equal(stateOf(pod), between, 'a repeated ADD changes nothing');
        await must('CHECK', { ...keys, prevResult: result }, { CNI_IFNAME });
        await must('DEL', { ...keys, prevResult: result }, { CNI_IFNAME });
        t.equal(stateOf(pod), before, `${JSON.stringify(keys)} ${CNI_IFNAME}`);
      }
    }
  });

  t.test('CHECK names what is not as it was made', async (t) => {
    const pod = scratchPod(t);
    const { must, ask } = worldOf(t, pod);
    const prevResult = await must('ADD');
    await must('CHECK', { prevResult });

    pod.ip(`link set ${GREEN} name other`);
    t.match((await ask('CHECK', { prevResult })).document, {
      code: 106,
      msg: `the pod is not as it should be: name: interface other is not named ${GREEN}`,
    });
    pod.ip(`link property del dev other altname eth0`);
    t.match((await ask('CHECK', { prevResult })).document, { code: 100 }, 'nothing that is known of it is there');
    pod.ip(`link set other name ${GREEN}`);
    t.match((await ask('CHECK', { prevResult })).document, {
      code: 106,
      msg: `the pod is not as it should be: name: interface ${GREEN} has no altname eth0`,
    });
    t.equal((await ask('CHECK', { prevResult, skipcheck: true })).code, 0);
    pod.ip(`link set ${GREEN} name eth0`);
    t.match((await ask('CHECK', { prevResult })).document, {
      code: 106,
      details: [`name: interface eth0 is not named ${GREEN}`, 'name: interface eth0 has no altname eth0'].join('\n'),
    });
  });

  t.test('--noop tells what would be done, and does nothing', async (t) => {
    const pod = scratchPod(t);
    const { must, config, dataDir } = worldOf(t, pod);
    pod.ip(`link property add dev eth0 altname ${GREEN}`);
    const before = stateOf(pod);
    const noop = async (command: string) =>
      success(await call(consistentIfname, variables(command, pod.path), config(), ['--noop'])).changes;
    t.strictSame(await noop('ADD'), [
      `delete altname ${GREEN} of eth0`,
      `rename interface eth0 to ${GREEN}`,
      `add altname eth0 to ${GREEN}`,
    ]);
    t.equal(stateOf(pod), before);
    t.throws(() => readdirSync(dataDir), { code: 'ENOENT' });
    await must('ADD');
    const between = stateOf(pod);
    t.strictSame(await noop('ADD'), []);
    t.strictSame(await noop('DEL'), [
      `undo: add altname eth0 to ${GREEN}`,
      `undo: rename interface eth0 to ${GREEN}`,
      `undo: delete altname ${GREEN} of ${GREEN}`,
    ]);
    t.equal(stateOf(pod), between);
    await must('DEL');
    t.equal(stateOf(pod), before, 'an altname that it had before is its again');
  });

  t.test('STATUS and GC', async (t) => {
    const pod = scratchPod(t);
    const { must, dataDir } = worldOf(t, pod);
    await must('STATUS');
    await must('ADD');
    const valid = (ifname: string) => ({ 'cni.dev/valid-attachments': [{ containerID: 'container-1', ifname }] });
    await must('GC', valid('eth0'));
    t.strictSame(readdirSync(join(dataDir, 'consistent-ifname')), ['container-1-eth0.json']);
    await must('GC', valid('net1'));
    t.strictSame(readdirSync(join(dataDir, 'consistent-ifname')), []);
  });
});

t.test('a name that is taken', { skip: noNamespaces }, async (t) => {
  for (const mode of ['rename', 'altname']) {
    t.test(`by another link, or another link’s altname, is refused with 105 (${mode})`, async (t) => {
      const pod = scratchPod(t);
      const { ask } = worldOf(t, pod);
      pod.ip(`link property add dev peer altname ${GREEN}`);
      const altname = stateOf(pod);
      t.match((await ask('ADD', { mode })).document, {
        code: 105,
        msg: /"net9f27410725ab" is taken by interface "peer", as/,
      });
      t.equal(stateOf(pod), altname);
      pod.ip(`link property del dev peer altname ${GREEN}`);
      pod.ip(`link set peer name ${GREEN}`);
      const name = stateOf(pod);
      t.match((await ask('ADD', { mode })).document, { code: 105, msg: /is taken by interface "net9f27410725ab"/ });
      t.equal(stateOf(pod), name);
      t.equal((await ask('DEL', { mode })).code, 0);
      t.equal(stateOf(pod), name, 'DEL touches it neither');
    });
  }

  t.test('by the other of two attachments to one network: the hinted key gives each its own', async (t) => {
    const pod = scratchPod(t);
    const { ask, must } = worldOf(t, pod);
    pod.ip('link add net1 type veth peer name net2');
    const before = stateOf(pod);
    const on = (ifname: string, keys: object = {}) =>
      [{ ...keys, prevResult: { interfaces: [{ name: ifname, sandbox: pod.path }] } }, { CNI_IFNAME: ifname }] as const;

    await must('ADD', ...on('net1'));
    const refused = await ask('ADD', ...on('net2'));
    t.match(refused.document, { code: 105 });
    const hint = /"key": ("[^"]*")/.exec(refused.document?.msg ?? '')?.[1] ?? '';
    t.equal(JSON.parse(hint), SECOND_KEY);
    await must('DEL', ...on('net2'));
    await must('DEL', ...on('net1'));
    t.equal(stateOf(pod), before);

    const key = JSON.parse(hint);
    await must('ADD', ...on('net1', { key }));
    await must('ADD', ...on('net2', { key }));
    const names = pod.ipJson('link show').filter(({ altnames }) => altnames !== undefined);
    t.strictSame(names.map(({ altnames }) => altnames).sort(), [['net1'], ['net2']]);
    t.equal(new Set(names.map(({ ifname }) => ifname)).size, 2);
    await must('CHECK', ...on('net1', { key }));
    await must('CHECK', ...on('net2', { key }));
    await must('DEL', ...on('net1', { key }));
    await must('DEL', ...on('net2', { key }));
    t.equal(stateOf(pod), before);
  });
});

function withName(states: LinkStates, from: string, to: string): LinkStates {
  const replaced = Object.entries(states).map(([table, text]) => [
    table,
    text.replaceAll(new RegExp(`(?<=["/])${from}(?=["/:])`, 'g'), to),
  ]);
  return Object.fromEntries(replaced);
}
