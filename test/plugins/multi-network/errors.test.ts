import t from 'tap';
import { NetworkError } from '../../../lib/attachments/network.ts';
import { SlotsClosed } from '../../../lib/attachments/slots.ts';
import { CniError } from '../../../lib/cni/errors.ts';
import { GrpcError } from '../../../lib/cri/errors.ts';
import { FileError } from '../../../lib/files/files.ts';
import { AccessError, ApiError } from '../../../lib/kubernetes/errors.ts';
import { RuntimeError } from '../../../lib/runtime/errors.ts';
import { networkFailed } from '../../../plugins/multi-network/delegation.ts';
import { translated } from '../../../plugins/multi-network/errors.ts';
import { DefinitionMissing } from '../../../plugins/multi-network/networks.ts';

// docs/errors.md: 11 is "try again later", 7 a config that is wrong, 5 a file.
const CASES: [error: unknown, expected: { code?: number; name?: string; message: string | RegExp }][] = [
  [new DefinitionMissing('no blue'), { code: 11, message: 'no blue' }],
  [new SlotsClosed('it stops'), { code: 11, message: 'it stops' }],
  [new GrpcError('no answer'), { code: 11, message: 'the kubelet: no answer' }],
  [new ApiError('no answer'), { code: 11, message: 'the API server: no answer' }],
  [new NetworkError('odd'), { code: 7, message: 'odd' }],
  [new AccessError('odd'), { code: 7, message: 'odd' }],
  [new RuntimeError('odd'), { code: 7, message: 'odd' }],
  [new RuntimeError('busy', { code: 11 }), { code: 11, message: 'busy' }],
  [new FileError('/x', 'is odd'), { code: 5, message: /\/x/ }],
  [new CniError(106, 'missing'), { code: 106, message: 'missing' }],
  [new TypeError('ours'), { name: 'TypeError', message: 'ours' }],
];

for (const [error, expected] of CASES) {
  t.test(`${(error as Error).name} ${JSON.stringify(expected)}`, async (t) => {
    const work = async () => {
      throw error;
    };
    await t.rejects(translated(work), { ...expected });
  });
}

t.test('what is no error is passed on, and so is what succeeds', async (t) => {
  t.equal(await translated(async () => 7), 7);
  const thrown = await translated(async () => {
    throw 'a text';
  }).catch((error: unknown) => error);
  t.equal(thrown, 'a text');
});

t.test('the error of a network’s plugin names the network, and has the plugin’s code', async (t) => {
  const refused = networkFailed('ADD', 'blue', new RuntimeError('no room', { code: 104, details: 'eth0' }));
  t.match(refused, { code: 104, message: 'ADD of network blue: no room', details: 'eth0' });
  t.match(networkFailed('DEL', 'blue', new RuntimeError('odd')), { code: 999, message: 'DEL of network blue: odd' });
  t.match(networkFailed('DEL', 'blue', new Error('odd')), { code: 999, details: undefined });
});
