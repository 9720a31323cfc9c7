import t from 'tap';
import { deriveConfig } from '../../../lib/runtime/derive.ts';
import { parseNetwork } from '../../../lib/runtime/network.ts';

const PLUGIN = { type: 'a', own: 1, capabilities: { mac: true, ips: true, bandwidth: false } };
const LIST = parseNetwork({ cniVersion: '1.0.0', name: 'blue', plugins: [PLUGIN] }, 'x');

t.test('a plugin gets its own keys, and the list’s name and version', async (t) => {
  t.strictSame(deriveConfig(LIST, { type: 'a', own: 1, name: 'other' }), {
    type: 'a',
    own: 1,
    name: 'blue',
    cniVersion: '1.0.0',
  });
});

t.test('of what the runtime gives for capabilities, a plugin gets what it asks for', async (t) => {
  const capabilityArgs = { mac: 'm', bandwidth: 'b', other: 'o' };
  const derived = deriveConfig(LIST, PLUGIN, { capabilityArgs });
  t.strictSame(derived.runtimeConfig, { mac: 'm' });
  t.notOk('capabilities' in derived);
  for (const none of [undefined, {}, { other: 'o' }])
    t.notOk('runtimeConfig' in deriveConfig(LIST, PLUGIN, { ...(none && { capabilityArgs: none }) }));
});

t.test('the previous result and further keys, if there are any', async (t) => {
  const extra = { 'cni.dev/valid-attachments': [] };
  t.match(deriveConfig(LIST, PLUGIN, { prevResult: { a: 1 }, extra }), { prevResult: { a: 1 }, ...extra });
  t.notOk('prevResult' in deriveConfig(LIST, PLUGIN));
});
