import t from 'tap';
import type { CniError } from '../../../lib/cni/errors.ts';
import { checkVariables, parseNetworkDocument, readRequest } from '../../../lib/cni/request.ts';

const read = parseNetworkDocument(Buffer.from('{"cniVersion":"1.0.0","name":"green"}'));
const argsOf = (text: string) => readRequest('ADD', { CNI_ARGS: text }, read).args;

t.test('CNI_ARGS are pairs, each split at its first equals sign', async (t) => {
  t.strictSame(argsOf(''), {});
  t.strictSame(argsOf('IgnoreUnknown=1;K8S_POD_NAME=web'), { IgnoreUnknown: '1', K8S_POD_NAME: 'web' });
  t.strictSame(argsOf('TOKEN=YWJj==;EMPTY='), { TOKEN: 'YWJj==', EMPTY: '' });
  t.strictSame(argsOf('no pair;=value;A=1;A=2'), { A: '2' }, 'what is no pair may be meant for another plugin');
});

t.test('a config of 8 MiB is read, and one of a byte more is refused', async (t) => {
  const text = '{"cniVersion":"1.0.0","name":"green"}';
  t.equal(parseNetworkDocument(Buffer.from(text.padEnd(8 * 1024 * 1024))).network, 'green');
  t.throws(() => parseNetworkDocument(Buffer.from(text.padEnd(8 * 1024 * 1024 + 1))), { code: 6 });
});

// The table of libcni (pkg/skel).
t.test('every variable that a verb needs is missed, and no other is looked at', async (t) => {
  const ofPod = ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'];
  const needed = {
    ADD: ofPod,
    CHECK: ofPod,
    DEL: ofPod.filter((name) => name !== 'CNI_NETNS'),
    GC: ['CNI_PATH'],
    STATUS: ['CNI_PATH'],
  };
  const wrong = { CNI_CONTAINERID: '-', CNI_IFNAME: 'a/b', CNI_PATH: '/bin', CNI_NETNS: '/a' };
  for (const [verb, names] of Object.entries(needed) as [keyof typeof needed, string[]][]) {
    const missing = names.map((name) => `${name} is missing`);
    t.throws(() => checkVariables(verb, {}), { code: 4 });
    try {
      checkVariables(verb, {});
    } catch (error) {
      const { message, details = message } = error as CniError;
      t.strictSame([...details.matchAll(/CNI_\w+ is missing/g)].map(String).sort(), [...missing].sort(), verb);
    }
    if (names.length > 1) t.throws(() => checkVariables(verb, wrong), { code: 4 }, verb);
    else checkVariables(verb, wrong);
  }
});
