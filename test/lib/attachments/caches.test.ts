import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type CachedCall, cachedCalls, deviceOf, linksOf, requestOf } from '../../../lib/attachments/caches.ts';
import { cacheResult } from '../../../lib/runtime/cache.ts';
import { parseNetwork } from '../../../lib/runtime/network.ts';

t.test('the links of a result are those that have a sandbox', async (t) => {
  const interfaces = [
    { name: 'br0' },
    { name: 'eth0', sandbox: '/n' },
    { name: 'x', sandbox: '' },
    { sandbox: '/n' },
    null,
  ];
  t.strictSame(linksOf({ interfaces }), ['eth0']);
  for (const result of [undefined, {}, { interfaces: {} }]) t.strictSame(linksOf(result), []);
});

const callOf = (capabilityArgs: object, config: object) =>
  ({ input: { capabilityArgs }, config }) as unknown as CachedCall;

t.test('what was asked for is in the arguments of capabilities, and in the first plugin’s args.cni', async (t) => {
  const given = {
    ...{ ips: ['10.0.0.5'], mac: '02:00:00:00:00:01', infinibandGUID: 'g', deviceID: 'd', other: 1 },
    ...{ portMappings: [{ hostPort: 80 }], bandwidth: { ingressRate: 1 } },
  };
  const { infinibandGUID: _, other: __, ...same } = given;
  const first = { args: { cni: { a: 1 } } };
  t.strictSame(requestOf(callOf(given, { plugins: [first, { args: { cni: { b: 1 } } }] })), {
    ...same,
    infinibandGuid: 'g',
    cniArgs: { a: 1 },
  });
  t.strictSame(requestOf(callOf({}, first)), { cniArgs: { a: 1 } });
  for (const config of [{}, { args: 'x' }, { plugins: [] }]) t.strictSame(requestOf(callOf({}, config)), {});
});

t.test('the device is that of the arguments, else of a plugin', async (t) => {
  t.equal(deviceOf(callOf({ deviceID: 'a' }, { deviceID: 'b' })), 'a');
  t.equal(deviceOf(callOf({}, { plugins: [{}, { deviceID: 'b' }] })), 'b');
  t.equal(deviceOf(callOf({}, { deviceID: 7 })), '7');
  t.equal(deviceOf(callOf({}, {})), undefined);
});

t.test('of a sandbox, what is cached with its config in any of the folders', async (t) => {
  const folder = t.testdir({ broken: 'a file in the place of a folder' });
  const list = parseNetwork({ cniVersion: '1.0.0', name: 'blue', plugins: [{ type: 'bridge' }] }, 'x');
  const input = { netns: '/n', ifname: 'net1', args: [], capabilityArgs: {} };
  for (const containerID of ['c', 'other'])
    cacheResult(join(folder, 'a'), list, { ...input, containerID }, { cniVersion: '1.0.0' });
  mkdirSync(join(folder, 'b/results'), { recursive: true });
  const bare = { kind: 'cniCacheV1', containerId: 'c', ifName: 'net2', networkName: 'old', result: {} };
  writeFileSync(join(folder, 'b/results/old-c-net2'), JSON.stringify(bare));
  const found = cachedCalls('c', ['/a/results', '/b/results', '/broken', '/none'], (path) => join(folder, path));
  t.match(found, [{ network: 'blue', input: { containerID: 'c', ifname: 'net1' }, config: { name: 'blue' } }]);
  t.equal(found.length, 1);
});
