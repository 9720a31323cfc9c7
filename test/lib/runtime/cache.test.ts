import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  cachedAttachment,
  cachedAttachments,
  cachedAttachmentsOf,
  cacheResult,
  forgetResult,
} from '../../../lib/runtime/cache.ts';
import { parseNetwork } from '../../../lib/runtime/network.ts';
import { scratchFolder } from '../../support/namespaces/namespace.ts';

// The cache is libcni's: test/chain shows that cnitool and `waymark cni` find each other's.

const list = parseNetwork({ cniVersion: '1.1.0', name: 'net', plugins: [{ type: 'one' }] }, 'test');
const INPUT = { containerID: 'c1', ifname: 'eth0', netns: '/run/netns/x', args: [], capabilityArgs: {} };
const RESULT = { cniVersion: '1.1.0', ips: [] };

t.test('a result is kept where libcni keeps it, in its format, for the owner only', async (t) => {
  const folder = join(scratchFolder(t), 'cni');
  cacheResult(folder, list, { ...INPUT, args: [['A', 'b']], capabilityArgs: { mac: 'x' } }, RESULT);
  const path = join(folder, 'results/net-c1-eth0');
  t.strictSame(JSON.parse(readFileSync(path, 'utf8')), {
    kind: 'cniCacheV1',
    containerId: 'c1',
    config: Buffer.from(list.source).toString('base64'),
    ifName: 'eth0',
    networkName: 'net',
    netns: '/run/netns/x',
    cniArgs: [['A', 'b']],
    capabilityArgs: { mac: 'x' },
    result: RESULT,
  });
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(join(folder, 'results')).mode & 0o777, 0o700);
  t.strictSame(readdirSync(join(folder, 'results')), ['net-c1-eth0'], 'nothing else is left there');
  t.match(cachedAttachment(folder, 'net', INPUT), { network: 'net', result: RESULT });
  forgetResult(folder, 'net', INPUT);
  t.strictSame(readdirSync(join(folder, 'results')), []);
  forgetResult(folder, 'net', INPUT);
});

t.test('a cache that others can write, or a link in its place, is refused', async (t) => {
  const folder = scratchFolder(t);
  mkdirSync(join(folder, 'results'));
  chmodSync(join(folder, 'results'), 0o777);
  const refused = { name: 'RuntimeError', message: /^the result cannot be cached: .*\/results: / };
  t.throws(() => cacheResult(folder, list, INPUT, RESULT), refused);
  const other = scratchFolder(t);
  symlinkSync(folder, join(other, 'results'));
  t.throws(() => cacheResult(other, list, INPUT, RESULT), refused);
});

t.test('a result is never written through a link, nor read through one', async (t) => {
  const folder = scratchFolder(t);
  const victim = join(folder, 'victim');
  writeFileSync(victim, 'before');
  mkdirSync(join(folder, 'results'));
  const path = join(folder, 'results/net-c1-eth0');
  symlinkSync(victim, path);
  t.equal(cachedAttachment(folder, 'net', INPUT), undefined);
  cacheResult(folder, list, INPUT, RESULT);
  t.equal(readFileSync(victim, 'utf8'), 'before');
  t.match(JSON.parse(readFileSync(path, 'utf8')), { result: RESULT });
});

t.test('what is not a cached result is passed over; a folder that cannot be read is an error', async (t) => {
  const folder = scratchFolder(t);
  t.strictSame(cachedAttachments(folder, 'net'), [], 'there is none yet');
  cacheResult(folder, list, INPUT, RESULT);
  for (const [name, text] of Object.entries({ a: '{', b: 'null', c: '{"kind":"x"}', '.net-c2-eth0.tmp': '{' })) {
    writeFileSync(join(folder, 'results', name), text);
  }
  mkdirSync(join(folder, 'results/folder'));
  t.strictSame(
    cachedAttachments(folder, 'net').map(({ input }) => input),
    [INPUT],
  );
  t.strictSame(cachedAttachments(folder, 'other'), []);
  writeFileSync(join(folder, 'file'), '');
  t.throws(() => cachedAttachments(join(folder, 'file'), 'net'), { message: /^the cache cannot be read: .*ENOTDIR/ });
});

t.test('the attachments of a sandbox are found whatever their network, with the config that undoes them', async (t) => {
  const folder = scratchFolder(t);
  const results = join(folder, 'results');
  t.strictSame(cachedAttachmentsOf(results, 'c1'), [], 'there is none yet');
  cacheResult(folder, list, INPUT, RESULT);
  cacheResult(folder, { ...list, name: 'other' }, { ...INPUT, ifname: 'net1' }, RESULT);
  cacheResult(folder, list, { ...INPUT, containerID: 'c2' }, RESULT);
  writeFileSync(join(results, 'other-c1-net2'), readFileSync(join(results, 'net-c2-eth0')));
  writeFileSync(join(results, 'copy'), readFileSync(join(results, 'net-c1-eth0')));
  t.match(cachedAttachmentsOf(results, 'c1'), [
    { network: 'net', input: INPUT, config: { name: 'net', plugins: [{ type: 'one' }] }, result: RESULT },
    { network: 'other', input: { ifname: 'net1' } },
  ]);
  t.equal(cachedAttachmentsOf(results, 'c1').length, 2, 'both the file and its name decide');
  const written = JSON.parse(readFileSync(join(results, 'net-c1-eth0'), 'utf8'));
  for (const config of ['!', Buffer.from('[]').toString('base64'), 7]) {
    writeFileSync(join(results, 'net-c1-eth0'), JSON.stringify({ ...written, config }));
    t.match(cachedAttachmentsOf(results, 'c1')[0], { config: undefined, result: RESULT });
  }
});

t.test('a cached result with a field of another type is passed over', async (t) => {
  const folder = scratchFolder(t);
  cacheResult(folder, list, INPUT, RESULT);
  const path = join(folder, 'results/net-c1-eth0');
  const written = JSON.parse(readFileSync(path, 'utf8'));
  const wrong = [{ containerId: 7 }, { ifName: '' }, { networkName: null }, { capabilityArgs: [] }, { result: 'x' }];
  for (const part of wrong) {
    writeFileSync(path, JSON.stringify({ ...written, ...part }));
    t.strictSame(cachedAttachmentsOf(join(folder, 'results'), 'c1'), [], JSON.stringify(part));
    t.equal(cachedAttachment(folder, 'net', INPUT), undefined);
  }
});
