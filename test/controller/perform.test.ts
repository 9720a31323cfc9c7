import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Performer } from '../../controller/perform.ts';
import { Records } from '../../controller/records.ts';
import { begun, readBirthRecord, writeBirthRecord } from '../../lib/attachments/birth-record.ts';
import { podOf } from '../../lib/attachments/pod.ts';
import type { NetworkRequest, Selection } from '../../lib/attachments/selection.ts';
import type { Attachment, Step } from '../../lib/attachments/steps.ts';
import type { JsonObject } from '../../lib/cni/json.ts';
import { ApiError } from '../../lib/kubernetes/errors.ts';
import type { KubeObject } from '../../lib/kubernetes/object.ts';
import { cacheResult } from '../../lib/runtime/cache.ts';
import { RuntimeError } from '../../lib/runtime/errors.ts';
import { parseNetwork } from '../../lib/runtime/network.ts';
import { noNamespaces, scratchNamespace } from '../support/namespaces/namespace.ts';

// Single steps, with plugins, definitions and devices made of data. The records, and the pod's namespace, are real.

const STATUS = 'k8s.v1.cni.cncf.io/network-status';
const listOf = (name: string, type = 'a') => parseNetwork({ cniVersion: '1.0.0', name, plugins: [{ type }] }, 'x');

type World = {
  links?: string[];
  status?: string;
  allowedTypes?: string[];
  globalNamespaces?: string[];
  isStopping?: boolean;
};

function worldOf(t: Test, { links = [], status, allowedTypes, globalNamespaces, isStopping = false }: World = {}) {
  const scratch = scratchNamespace(t);
  for (const link of links) scratch.ip(`link add ${link} type bridge`);
  const folder = t.testdir();
  const annotations = status === undefined ? {} : { [STATUS]: status };
  const pod = podOf({ metadata: { name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '1', annotations } });
  const asked: string[] = [];
  const fails: { [line: string]: Error } = {};
  const world = { result: {} as JsonObject, given: [] as string[], resource: undefined as string | undefined };
  const ask = async (line: string) => {
    asked.push(line);
    if (fails[line] !== undefined) throw fails[line];
  };
  const records = new Records(join(folder, 'records'));
  const caches = join(folder, 'cni/results');
  mkdirSync(caches, { recursive: true, mode: 0o700 });
  const stopping = new AbortController();
  if (isStopping) stopping.abort();
  const performer = new Performer({
    records,
    delegates: {
      add: async ({ name }, { ifname, capabilityArgs: { deviceID } }) => {
        await ask(`ADD ${name} ${ifname}${deviceID === undefined ? '' : ` ${deviceID}`}`);
        return world.result;
      },
      del: async ({ name }, { ifname, netns }, result) => {
        await ask(
          `DEL ${name} ${ifname}${netns === '' ? ' without a namespace' : ''}${result === undefined ? '' : ' with a result'}`,
        );
      },
    },
    definitions: {
      get: async (network) => {
        const [namespace = '', name = ''] = network.split('/');
        if (name === 'absent') throw new ApiError('not found', { status: 404 });
        if (name === 'silent') throw new ApiError('no answer');
        const config = { cniVersion: '1.0.0', name, type: 'a', capabilities: { deviceID: true } };
        const resource = world.resource === undefined ? {} : { 'k8s.v1.cni.cncf.io/resourceName': world.resource };
        return {
          metadata: { name, namespace, uid: 'u', resourceVersion: '1', annotations: resource },
          spec: { config: JSON.stringify(config) },
        } as KubeObject;
      },
    },
    defaultRoutes: {
      set: async ({ input }, gateways, result) => {
        await ask(`set ${input.ifname} ${gateways}`);
        return { ...result, isSet: true };
      },
      yield: async ({ input }, families, result) => {
        await ask(`yield ${input.ifname} ${families}`);
        return { ...result, yields: true };
      },
      reset: async ({ input }) => ask(`reset ${input.ifname}`),
    },
    devices: { devicesOf: async () => world.given },
    pathOf: (path) => path,
    allowedTypes: allowedTypes && new Set(allowedTypes),
    globalNamespaces: globalNamespaces && new Set(globalNamespaces),
    cacheFolders: [caches],
    signal: stopping.signal,
  });
  const sandboxed = { pod, containerID: 'c', netns: scratch.path };
  const states = () => (records.get('c')?.attachments ?? []).map(({ ifname, state }) => `${ifname} ${state}`);
  const attach = (ifname: string, name = 'blue', request: NetworkRequest = {}, keepMac?: string) => {
    const selection: Selection = { network: `shop/${name}`, namespace: 'shop', name, request };
    const step: Step & { kind: 'attach' } = {
      kind: 'attach',
      ifname,
      selection,
      ...(keepMac !== undefined && { keepMac }),
    };
    return performer.attach(sandboxed, step);
  };
  const detach = (
    ifname: string,
    { network = 'shop/blue', keepMac, links: own = [] }: { network?: string; keepMac?: string; links?: string[] } = {},
  ) => {
    const step = {
      kind: 'detach',
      ifname,
      network,
      why: 'unwanted',
      ...(keepMac !== undefined && { keepMac }),
    } as unknown as Step & { kind: 'detach' };
    const attachment: Attachment = { ifname, network, origin: 'birth', state: 'attached', links: own, isBroken: false };
    return performer.detach(sandboxed, step, attachment);
  };
  const recordOf = () => performer.recordOf(sandboxed);
  return {
    scratch,
    folder,
    caches,
    performer,
    records,
    sandboxed,
    asked,
    fails,
    world,
    states,
    attach,
    detach,
    recordOf,
  };
}

const input = (ifname: string) => ({ containerID: 'c', netns: '/old', ifname, args: [], capabilityArgs: {} });
const failed = (message: string, isUndone = true) => new RuntimeError(message, { isUndone });

t.test('attach', { skip: noNamespaces }, async (t) => {
  t.test('is ADD, recorded before and after', async (t) => {
    const { attach, asked, recordOf, world, scratch } = worldOf(t);
    world.result = { cniVersion: '1.0.0', a: 1 };
    await attach('net1', 'blue', { mac: '02:00:00:00:00:01' }, '02:00:00:00:00:01');
    t.strictSame(asked, ['ADD blue net1']);
    const { attachments, pod, netns, version } = recordOf();
    t.strictSame([version, pod, netns], [1, { namespace: 'shop', name: 'web', uid: 'u' }, scratch.path]);
    t.match(attachments, [
      {
        ...{ ifname: 'net1', network: 'shop/blue', state: 'attached', result: { a: 1 } },
        ...{ request: { mac: '02:00:00:00:00:01' }, keepMac: '02:00:00:00:00:01' },
        call: { input: { ifname: 'net1', containerID: 'c', netns: scratch.path } },
      },
    ]);
  });

  t.test('an interface of somebody else is left alone', async (t) => {
    const { attach, asked, states } = worldOf(t, { links: ['net1'] });
    await t.rejects(attach('net1'), { message: 'the pod has an interface net1 of somebody else' });
    t.strictSame([asked, states()], [[], []]);
  });

  t.test('what fails is forgotten, but not what could not be undone, or asks for a hardware address', async (t) => {
    const { attach, fails, states } = worldOf(t);
    fails['ADD blue net1'] = failed('no room');
    await t.rejects(attach('net1'), { message: 'no room' });
    t.strictSame(states(), []);
    await t.rejects(attach('net1', 'blue', {}, '02:00:00:00:00:01'), { message: 'no room' });
    t.strictSame(states(), ['net1 pending']);
    fails['ADD blue net1'] = failed('no room', false);
    await t.rejects(attach('net1'), { message: 'no room' });
    t.strictSame(states(), ['net1 unfinished']);
    fails['ADD blue net2'] = new TypeError('ours');
    await t.rejects(attach('net2'), { name: 'TypeError' });
    t.strictSame(states(), ['net1 unfinished', 'net2 unfinished']);
  });

  t.test('a default route that is asked for is set, and one that cannot be takes ADD back', async (t) => {
    const { attach, asked, fails, recordOf, states } = worldOf(t);
    await attach('net1', 'blue', { defaultRoute: ['10.0.0.1', 'fd00::1'] });
    t.strictSame(asked, ['ADD blue net1', 'set net1 10.0.0.1,fd00::1']);
    t.match(recordOf().attachments, [{ result: { isSet: true } }]);
    asked.length = 0;
    fails['set net2 10.0.0.1'] = failed('out of reach');
    await t.rejects(attach('net2', 'green', { defaultRoute: ['10.0.0.1'] }), {
      message: 'out of reach',
      isUndone: true,
    });
    t.strictSame(asked, ['ADD green net2', 'set net2 10.0.0.1', 'reset net2', 'DEL green net2 with a result']);
    fails['DEL green net2 with a result'] = failed('stuck');
    await t.rejects(attach('net2', 'green', { defaultRoute: ['10.0.0.1'] }), {
      message: 'out of reach; what ADD did is not undone: stuck',
      isUndone: false,
    });
    t.strictSame(states(), ['net1 attached', 'net2 unfinished']);
  });

  t.test('one that comes later yields the families that another was chosen for, if it made an interface', async (t) => {
    const { attach, asked, world, scratch, fails } = worldOf(t);
    await attach('net1', 'blue', { defaultRoute: ['10.0.0.1', 'fd00::1'] });
    asked.length = 0;
    await attach('net2', 'green');
    t.strictSame(asked, ['ADD green net2'], 'it has no link');
    world.result = { interfaces: [{ name: 'made', sandbox: '/n' }] };
    scratch.ip('link add made type bridge');
    asked.length = 0;
    await attach('net3', 'red');
    await attach('net4', 'grey', { defaultRoute: ['10.0.0.9'] });
    t.strictSame(asked, ['ADD red net3', 'yield net3 4,6', 'ADD grey net4', 'set net4 10.0.0.9', 'yield net4 6']);
    fails['yield net5 4,6'] = failed('no');
    await t.rejects(attach('net5', 'five'), { message: 'no' });
    t.strictSame(asked.slice(-2), ['reset net5', 'DEL five net5 with a result']);
  });

  t.test('so it does for what was chosen when the pod started', async (t) => {
    const { attach, asked, folder, world, scratch } = worldOf(t);
    const born = {
      ...begun('shop/born', listOf('born'), input('net1'), {
        isDefault: false,
        request: { defaultRoute: ['10.0.0.1'] },
      }),
    };
    writeBirthRecord(join(folder, 'cni'), 'c', [{ ...born, state: 'attached' }]);
    scratch.ip('link add made type bridge');
    world.result = { interfaces: [{ name: 'made', sandbox: '/n' }] };
    await attach('net2');
    t.strictSame(asked, ['ADD blue net2', 'yield net2 4']);
    writeBirthRecord(join(folder, 'cni'), 'c', [born]);
    await attach('net3');
    t.strictSame(asked.slice(2), ['ADD blue net3'], 'not if that did not come to an end');
  });

  t.test('a device is one that no other attachment uses', async (t) => {
    const { attach, asked, world, caches, scratch } = worldOf(t);
    Object.assign(world, { resource: 'vendor/vf', given: ['a', 'b', 'c'] });
    await attach('net1');
    t.strictSame(asked, ['ADD blue net1 a']);
    // Of others, those count whose links are there.
    const born = {
      ...listOf('born'),
      source: JSON.stringify({ name: 'born', plugins: [{ type: 'a', deviceID: 'b' }] }),
    };
    cacheResult(join(caches, '..'), born, input('net8'), { interfaces: [{ name: 'net8', sandbox: '/n' }] });
    await attach('net2');
    scratch.ip('link add net8 type bridge');
    await attach('net3');
    t.strictSame(asked.slice(1), ['ADD blue net2 b', 'ADD blue net3 c']);
    await t.rejects(attach('net4'), { message: /all 3 devices of vendor\/vf that the pod has: in use/ });
    await attach('net1', 'blue', { deviceID: 'a' });
    t.equal(asked.at(-1), 'ADD blue net1 a', 'its own is not in its way');
  });
});

t.test('detach', { skip: noNamespaces }, async (t) => {
  t.test('of what we attached is DEL with its result, and forgets it', async (t) => {
    const { attach, detach, asked, states } = worldOf(t);
    await attach('net1');
    await attach('net2');
    asked.length = 0;
    await detach('net1');
    t.strictSame(asked, ['reset net1', 'DEL blue net1 with a result']);
    t.strictSame(states(), ['net2 attached']);
  });

  t.test('for a swap keeps the hardware address', async (t) => {
    const { attach, detach, recordOf } = worldOf(t);
    await attach('net1');
    await detach('net1', { keepMac: '02:00:00:00:00:01' });
    t.match(recordOf().attachments, [
      { ifname: 'net1', state: 'pending', keepMac: '02:00:00:00:00:01', network: 'shop/blue' },
    ]);
    await detach('net1');
    t.strictSame(recordOf().attachments, [], 'what is pending needs no DEL');
  });

  t.test('on a full disk is begun only of what is recorded already', async (t) => {
    const { attach, detach, asked, states, folder } = worldOf(t);
    await attach('net1');
    await attach('net2');
    asked.length = 0;
    rmSync(join(folder, 'records'), { recursive: true });
    writeFileSync(join(folder, 'records'), '');
    await t.rejects(detach('net3'), { name: 'FileError' });
    t.strictSame(asked, []);
    await detach('net1');
    t.strictSame(asked, ['reset net1', 'DEL blue net1 with a result']);
    t.strictSame(states(), ['net2 attached']);
  });

  t.test('that fails, or leaves an interface, has to be done again', async (t) => {
    const { attach, detach, fails, states, scratch } = worldOf(t);
    await attach('net1');
    fails['DEL blue net1 with a result'] = failed('stuck');
    await t.rejects(detach('net1'), { message: 'stuck' });
    t.strictSame(states(), ['net1 unfinished']);
    delete fails['DEL blue net1 with a result'];
    scratch.ip('link add made type bridge');
    await t.rejects(detach('net1', { links: ['made'] }), {
      message: 'the plugins ended well, but interface net1 is still there',
    });
    await detach('net1', { links: ['gone'] });
    t.strictSame(states(), []);
  });

  t.test('of what others attached is by their cache, and its birth is forgotten', async (t) => {
    const { detach, asked, states, caches, folder, sandboxed } = worldOf(t);
    const list = listOf('born');
    cacheResult(join(caches, '..'), list, input('net1'), {});
    const about = { isDefault: false, request: {} };
    const record = ['net1', 'net2'].map((ifname) => begun('shop/born', list, input(ifname), about));
    writeBirthRecord(join(folder, 'cni'), 'c', record);
    await detach('net1', { network: 'shop/born' });
    t.strictSame(asked, ['reset net1', 'DEL born net1 with a result']);
    t.strictSame(states(), []);
    const left = readBirthRecord(join(folder, 'cni'), 'c', input('x'))?.map(({ ifname }) => ifname);
    t.strictSame(left, ['net2']);
    t.ok(sandboxed);
  });

  t.test('without a cache it is by the definition; without that it says so', async (t) => {
    const { detach, asked } = worldOf(t);
    await detach('net1');
    t.strictSame(asked, ['reset net1', 'DEL blue net1']);
    await t.rejects(detach('net1', { network: 'shop/absent' }), {
      message: 'there is neither a record, nor a cached result, nor the definition any more',
    });
    await t.rejects(detach('net1', { network: 'shop/silent' }), { name: 'ApiError', message: 'no answer' });
  });

  t.test('a status gives no more than a selection would', async (t) => {
    const isolated = worldOf(t, { globalNamespaces: ['default'] });
    await t.rejects(isolated.detach('net1', { network: 'far/blue' }), { message: /^namespace isolation: / });
    await isolated.detach('net1', { network: 'default/blue' });
    const { detach, caches } = worldOf(t, { allowedTypes: ['b'] });
    await t.rejects(detach('net1'), { message: /"?a"?/ });
    cacheResult(join(caches, '..'), listOf('born', 'c'), input('net2'), {});
    await t.rejects(detach('net2'), { message: /"?c"?/ });
  });
});

t.test('release', { skip: noNamespaces }, async (t) => {
  t.test('takes all away, the last first; without a namespace where that is gone', async (t) => {
    const { attach, performer, asked, records, recordOf, scratch } = worldOf(t);
    for (const ifname of ['net1', 'net2']) await attach(ifname);
    asked.length = 0;
    await performer.release(recordOf());
    t.strictSame(asked, ['reset net2', 'DEL blue net2 with a result', 'reset net1', 'DEL blue net1 with a result']);
    t.equal(records.get('c'), undefined);
    await attach('net1');
    const record = recordOf();
    scratch.remove();
    asked.length = 0;
    await performer.release(record);
    t.strictSame(asked, ['reset net1', 'DEL blue net1 without a namespace with a result']);
  });

  t.test('tries all, and what fails stays', async (t) => {
    const { attach, performer, fails, recordOf, states } = worldOf(t);
    for (const ifname of ['net1', 'net2', 'net3']) await attach(ifname);
    fails['DEL blue net3 with a result'] = failed('stuck');
    fails['DEL blue net1 with a result'] = failed('stuck too');
    await t.rejects(performer.release(recordOf()), { message: 'stuck\nstuck too' });
    t.strictSame(states(), ['net1 attached', 'net3 attached']);
  });

  t.test('of what was never called needs nothing; once the agent stops it is left to the next', async (t) => {
    const { attach, detach, performer, recordOf, asked, records } = worldOf(t);
    await attach('net1');
    await detach('net1', { keepMac: '02:00:00:00:00:01' });
    asked.length = 0;
    await performer.release(recordOf());
    t.strictSame([asked, records.get('c')], [[], undefined]);
    const stopping = worldOf(t, { isStopping: true });
    await stopping.attach('net1');
    await t.rejects(stopping.performer.release(stopping.recordOf()), {
      message: 'net1 is left to the next agent, since this one stops',
    });
    t.strictSame(stopping.states(), ['net1 attached']);
  });
});

t.test('the status of the pod’s default network is kept, unless it is too long', { skip: noNamespaces }, async (t) => {
  const entry = (more: object) => ({ name: 'cluster', interface: 'eth0', default: true, dns: {}, ...more });
  const kept = (...entries: object[]) => worldOf(t, { status: JSON.stringify(entries) }).recordOf().defaults;
  t.match(kept(entry({}), { name: 'shop/blue', interface: 'net1', dns: {} }), [{ name: 'cluster' }]);
  t.equal(kept(entry({})).length, 1);
  const { length } = JSON.stringify(kept(entry({ ips: [''] })));
  t.equal(kept(entry({ ips: ['x'.repeat(4096 - length)] })).length, 1);
  t.strictSame(kept(entry({ ips: ['x'.repeat(4097 - length)] })), []);
  t.strictSame(worldOf(t, { status: 'odd' }).recordOf().defaults, []);
});
