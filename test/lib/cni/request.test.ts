import t from 'tap';
import { parseNetworkDocument, readRequest } from '../../../lib/cni/request.ts';

const read = parseNetworkDocument(Buffer.from('{"cniVersion":"1.0.0","name":"green"}'));
const argsOf = (text: string) => readRequest('ADD', { CNI_ARGS: text }, read).args;

t.test('CNI_ARGS are pairs, each split at its first equals sign', async (t) => {
  t.strictSame(argsOf(''), {});
  t.strictSame(argsOf('IgnoreUnknown=1;K8S_POD_NAME=web'), { IgnoreUnknown: '1', K8S_POD_NAME: 'web' });
  t.strictSame(argsOf('TOKEN=YWJj==;EMPTY='), { TOKEN: 'YWJj==', EMPTY: '' });
  t.strictSame(argsOf('no pair;=value;A=1;A=2'), { A: '2' }, 'what is no pair may be meant for another plugin');
});
