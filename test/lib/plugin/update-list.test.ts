import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../../lib/cni/json.ts';
import type { Definition } from '../../../lib/plugin/definition.ts';
import { explainUpdate, type ListUpdate, updatableTypes, updateList } from '../../../lib/plugin/update-list.ts';
import { parseNetwork } from '../../../lib/runtime/network.ts';
import { staticRoute } from '../../../plugins/static-route/main.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../../support/namespaces/namespace.ts';
import { call, success, variables } from '../../support/plugins/call.ts';

const own = staticRoute.definition as unknown as Definition<unknown>;
const UPDATABLE = new Map([['static-route', own]]);
const listOf = (...plugins: object[]) =>
  parseNetwork({ cniVersion: '1.0.0', name: 'net', plugins: plugins as JsonObject[] }, 'x');

t.test('the types of a list that can be updated, each once', async (t) => {
  const list = listOf({ type: 'bridge' }, { type: 'static-route' }, { type: 'tuning' }, { type: 'static-route' });
  t.strictSame(updatableTypes(list, UPDATABLE), ['static-route']);
  t.strictSame(updatableTypes(list, new Map([...UPDATABLE, ['bridge', own]])), ['bridge', 'static-route']);
});

const routes = (...destinations: string[]) => ({ routes: destinations.map((dst) => ({ dst, gw: '10.244.1.1' })) });

/** A pod that has what a list with these keys says, and the update to other keys. */
async function attached(t: Test, ...before: object[]) {
  const pod = scratchPod(t);
  const dataDir = join(scratchFolder(t), 'data');
  const plugin = (keys: object) => ({ type: 'static-route', dataDir, ...keys });
  const prevResult = { cniVersion: '1.0.0', interfaces: [{ name: 'eth0', sandbox: pod.path }], ips: [] };
  let result: object = prevResult;
  for (const keys of before) {
    const config = { cniVersion: '1.0.0', name: 'net', ...plugin(keys), prevResult: result };
    result = success(await call(staticRoute, variables('ADD', pod.path), config));
  }
  const logs: string[] = [];
  const input = {
    containerID: 'container-1',
    netns: pod.path,
    ifname: 'eth0',
    args: [['K8S_POD_NAME', 'web']],
    capabilityArgs: {},
  } as const;
  const update = (after: object[], more: Partial<ListUpdate> = {}): ListUpdate => ({
    ...{ updatable: UPDATABLE, types: ['static-route'], input },
    before: listOf(...before.map(plugin)),
    after: listOf(...after.map(plugin)),
    result: result as JsonObject,
    outside: { env: { CNI_PATH: '/opt/cni/bin' }, log: (text) => logs.push(text) },
    ...more,
  });
  const ours = () => pod.ipJson('route show proto 87').map(({ dst }) => dst);
  return { pod, update, ours, logs };
}

const dstOf = (result: JsonObject) => (result.routes as { dst: string }[] | undefined)?.map(({ dst }) => dst);

t.test('an update', { skip: noNamespaces }, async (t) => {
  t.test('brings what differs, and returns the result with the routes that there are now', async (t) => {
    const { update, ours, logs } = await attached(t, routes('10.1.0.0/16', '10.2.0.0/16'));
    const result = await updateList(update([routes('10.2.0.0/16', '10.3.0.0/16')]));
    t.strictSame(ours(), ['10.2.0.0/16', '10.3.0.0/16']);
    t.strictSame(dstOf(result), ['10.2.0.0/16', '10.3.0.0/16']);
    t.equal(result.cniVersion, '1.0.0');
    t.match(logs.join(''), /"msg":"updated"/, 'what the plugins write is passed on');
  });

  t.test('of several entries of one plugin is one', async (t) => {
    const { update, ours } = await attached(t, routes('10.1.0.0/16'), routes('10.2.0.0/16'));
    await updateList(update([routes('10.1.0.0/16'), routes('10.3.0.0/16')]));
    t.strictSame(ours(), ['10.1.0.0/16', '10.3.0.0/16']);
  });

  t.test('is explained by lines, and then nothing is changed', async (t) => {
    const { update, ours } = await attached(t, routes('10.1.0.0/16'));
    t.strictSame(await explainUpdate(update([routes('10.2.0.0/16')])), [
      'delete route 10.1.0.0/16 via 10.244.1.1 dev eth0',
      'add route 10.2.0.0/16 via 10.244.1.1 dev eth0',
    ]);
    t.strictSame(ours(), ['10.1.0.0/16']);
    t.strictSame(await explainUpdate(update([routes('10.1.0.0/16')])), []);
    await t.rejects(explainUpdate(update([{}], { types: ['other'] })), { message: 'other cannot be updated' });
  });

  t.test('that the kernel refuses says so with the code, and all is as before', async (t) => {
    const { update, ours } = await attached(t, routes('10.1.0.0/16'));
    const wrong = { routes: [{ dst: '10.2.0.0/16', gw: '10.99.0.1' }] };
    await t.rejects(updateList(update([wrong])), {
      name: 'RuntimeError',
      message: /^plugin type="static-route" failed \(update, error 104\): routes\[0\]: /,
    });
    t.strictSame(ours(), ['10.1.0.0/16']);
    await t.rejects(updateList(update([{ ...routes('10.2.0.0/16'), interface: 'eth9' }])), {
      message: /error 100\): interface: the pod has no interface "eth9"$/,
      details: /^the pod has lo, /,
    });
  });

  t.test('of which a later plugin fails is given back, and if that fails too, both are told', async (t) => {
    const { update, ours, pod } = await attached(t, routes('10.1.0.0/16'));
    const types = ['static-route', 'other'];
    await t.rejects(updateList(update([routes('10.2.0.0/16')], { types })), { message: 'other cannot be updated' });
    t.strictSame(ours(), ['10.1.0.0/16']);
    const broken = new Map(UPDATABLE).set('other', {
      ...own,
      parseConfig: () => {
        pod.ip('link del eth0');
        throw new Error('odd');
      },
    });
    const [first, other] = update([routes('10.2.0.0/16'), {}]).after.plugins;
    const after = listOf({ ...first }, { ...other, type: 'other' });
    await t.rejects(updateList(update([{}], { types, updatable: broken, after })), {
      message: /^plugin type="other" failed \(update, error 999\): .*\nundoing it: plugin type="static-route" failed /s,
    });
  });

  t.test('takes a result of another version of the spec in the list’s', async (t) => {
    const { update } = await attached(t, routes('10.1.0.0/16'));
    const { result } = update([{}]);
    const old = { ...result, cniVersion: '0.3.1' };
    t.equal((await updateList(update([routes('10.1.0.0/16')], { result: old }))).cniVersion, '1.0.0');
    const unknown = update([routes('10.1.0.0/16')], { result: { ...result, cniVersion: '9.0.0' } });
    await t.rejects(updateList(unknown), { message: /prevResult\.cniVersion/ });
    t.equal(await updateList(update([{}], { types: [], result })), result, 'the same needs nothing');
  });
});
