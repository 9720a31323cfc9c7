import t from 'tap';
import type { Call } from '../../../lib/cni/runner.ts';
import { podNameOf } from '../../../plugins/multi-network/pod-name.ts';

const POD = { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web', K8S_POD_UID: 'u' };
const nameOf = (args: { [key: string]: string | undefined }, text?: string) =>
  podNameOf({ env: { CNI_ARGS: text }, request: { args } } as unknown as Call);

t.test('the pod is the one of CNI_ARGS, with its UID if that is told', async (t) => {
  t.strictSame(nameOf(POD, 'IgnoreUnknown=1;K8S_POD_NAME=web;'), { namespace: 'shop', name: 'web', uid: 'u' });
  t.strictSame(nameOf({ ...POD, K8S_POD_UID: undefined }), { namespace: 'shop', name: 'web', uid: '' });
});

t.test('without a name or a namespace it is about no pod', async (t) => {
  t.equal(nameOf({}), undefined);
  t.equal(nameOf({ ...POD, K8S_POD_NAME: undefined }), undefined);
  t.equal(nameOf({ ...POD, K8S_POD_NAMESPACE: '' }), undefined);
});

t.test('arguments that are malformed are refused with 4', async (t) => {
  t.throws(() => nameOf({}, 'A=1;shop/web'), { code: 4, message: 'CNI_ARGS has "shop/web", which is not KEY=VALUE' });
});
