import { CniCode, CniError } from '../../lib/cni/errors.ts';
import type { Call } from '../../lib/cni/runner.ts';
import { clip } from '../../lib/cni/text.ts';

/** Which pod a call is about, by CNI_ARGS. `uid` is the kubelet's; empty if the runtime does not tell it. */
export type PodName = { readonly namespace: string; readonly name: string; readonly uid: string };

/**
 * The pod of Kubernetes that the call is about; undefined if it is about none. Throws CniError 4 if CNI_ARGS are malformed:
 * a pod whose name is lost would start without the networks that it selects.
 */
export function podNameOf({ env, request: { args } }: Pick<Call, 'env' | 'request'>): PodName | undefined {
  const pairs = (env.CNI_ARGS ?? '').split(';').filter(Boolean);
  const wrong = pairs.find((pair) => !pair.includes('='));
  if (wrong !== undefined)
    throw new CniError(CniCode.invalidEnvironment, `CNI_ARGS has "${clip(wrong)}", which is not KEY=VALUE`);
  const { K8S_POD_NAMESPACE: namespace = '', K8S_POD_NAME: name = '', K8S_POD_UID: uid = '' } = args;
  return namespace === '' || name === '' ? undefined : { namespace, name, uid };
}
