import t from 'tap';
import type { CniError } from '../../../lib/cni/errors.ts';
import type { JsonObject } from '../../../lib/cni/json.ts';
import {
  checkVariables,
  checkVerb,
  parseNetworkDocument,
  previousResultOf,
  readRequest,
} from '../../../lib/cni/request.ts';

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

/** The error of a config as stdin has it. */
function refusal(stdin: string | Uint8Array): { code: number; message: string } {
  try {
    parseNetworkDocument(Buffer.from(stdin as string));
  } catch (error) {
    const { code, message } = error as CniError;
    return { code, message };
  }
  return { code: 0, message: '' };
}

const nested = (levels: number) =>
  `{"cniVersion":"1.0.0","name":"green","x":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;

const REFUSED: [stdin: string | Uint8Array, code: number, message: RegExp][] = [
  ['', 6, /^stdin is empty/],
  ['[]', 6, /must be a JSON object$/],
  ['null', 6, /must be a JSON object$/],
  ['\ufeff{"name":"green"}', 6, /not valid JSON/],
  [Uint8Array.of(0x22, 0xff, 0x22), 6, /not valid UTF-8$/],
  ['{"token":"secret" 7}', 6, /^the network config is not valid JSON(?!.*secret)/],
  ['{"name":', 6, /not valid JSON: Unexpected end of JSON input$/],
  [nested(65), 6, /nested more than 64 levels deep$/],
  ['{}', 7, /^name: the network config must have a name$/],
  ['{"name":""}', 7, /^name: the network config must have a name$/],
  ['{"name":7}', 7, /^name: the network config must have a name$/],
  ['{"name":"a/b"}', 7, /^name: "a\/b" may hold/],
  ['{"name":"green","cniVersion":1}', 6, /^cniVersion: must be a string$/],
  ['{"name":"green","cniVersion":"9.0.0"}', 1, /config is "9\.0\.0", plugin supports 0\.1\.0, /],
];

t.test('a config that is none is refused with the code of the spec, and without what it may keep secret', async (t) => {
  for (const [stdin, code, message] of REFUSED) t.match(refusal(stdin), { code, message }, String(stdin).slice(0, 40));
  t.match(refusal(nested(64)), { code: 0 });
});

t.test('a config without a version is of the first, and a verb is of its version and later', async (t) => {
  for (const text of ['{"name":"green"}', '{"name":"green","cniVersion":""}'])
    t.equal(parseNetworkDocument(Buffer.from(text)).version, '0.1.0');
  checkVerb('CHECK', '0.4.0');
  checkVerb('GC', '1.1.0');
  t.throws(() => checkVerb('CHECK', '0.3.1'), {
    code: 1,
    message: 'CHECK is not part of CNI 0.3.1, but of 0.4.0 and later',
  });
  t.throws(() => checkVerb('STATUS', '1.0.0'), { code: 1 });
});

t.test('what is not given is empty, and the node’s own namespace is allowed by one variable only', async (t) => {
  t.match(readRequest('GC', {}, read), {
    verb: 'GC',
    containerID: '',
    netns: '',
    ifname: '',
    args: {},
    network: 'green',
  });
  const allows = (value?: string) => readRequest('ADD', { CNI_NETNS_OVERRIDE: value }, read).allowOwnNamespace;
  t.strictSame(['1', 'true', 'TRUE', 'True'].map(allows), [true, true, true, true]);
  t.strictSame(['', '0', 'yes', undefined].map(allows), [false, false, false, false]);
});

t.test('the result of the plugins before is the document’s, and there may be none', async (t) => {
  const previous = (prevResult?: unknown) =>
    previousResultOf({ ...readRequest('ADD', {}, read), document: { ...read.document, prevResult } as JsonObject });
  for (const none of [undefined, null]) t.equal(previous(none), undefined);
  t.match(previous({ ips: [{ address: '10.0.0.5/24' }] }), { ips: [{ address: '10.0.0.5/24' }] });
  t.throws(() => previous(7), { code: 7 });
});

t.test('a variable that is wrong is shown, as far as it is short', async (t) => {
  const env = { CNI_CONTAINERID: 'x', CNI_PATH: '/bin', CNI_IFNAME: 'a/b' };
  t.throws(() => checkVariables('DEL', env), { code: 4, message: /^CNI_IFNAME="a\/b" contains/ });
});
