import type { JsonObject } from '../../../lib/cni/json.ts';
import type { Request } from '../../../lib/cni/request.ts';

/** An ADD with this config, for the tests of plans. */
export function planRequest(document: JsonObject & { name: string }, netns: string, ifname: string): Request {
  return {
    verb: 'ADD',
    containerID: 'c',
    netns,
    ifname,
    args: {},
    document,
    network: document.name,
    version: '1.1.0',
    allowOwnNamespace: false,
  };
}
