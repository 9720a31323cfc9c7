// Multus' own unit tests, as they can be asked of an executable: what the entry's config and the cluster are, what the plugins
// answer, and which plugins are called with what. The titles are Multus'; `in` names the files of its tests that have one of
// that title. See test/golden/multus-tests.json for all of them.

type Json = { readonly [key: string]: unknown };

/** One call of the entry. */
export type Called = {
  readonly verb: string;
  /** `VERB interface plugin`, in their order. */
  readonly calls?: readonly string[];
  readonly fails?: RegExp;
  readonly code?: number;
  /** Not JSON. */
  readonly stdin?: string;
  readonly netns?: string;
  /** Done before it. */
  readonly first?: 'the pod is removed' | 'the record is removed';
};

export type Scenario = {
  readonly title: string;
  readonly in: readonly string[];
  /** Where we do something else: what, and why. */
  readonly differs?: string;
  /** Over `{ cniVersion, name, type, delegates: [weave1] }`. */
  readonly config?: Json;
  readonly pod?: { readonly annotations?: { readonly [name: string]: string }; readonly uid?: string };
  /** The pod does not exist, or nobody is asked. */
  readonly isAlone?: boolean;
  readonly isMissing?: boolean;
  readonly args?: string;
  readonly definitions?: { readonly [network: string]: string };
  /** Files of `confDir`. */
  readonly files?: { readonly [name: string]: string };
  /** What a plugin answers to a verb, in the place of an address of its own. */
  readonly answers?: { readonly [call: string]: Json };
  readonly run: readonly Called[];
  /** By plugin: what its last config had, and its last CNI_ARGS. */
  readonly configs?: { readonly [plugin: string]: Json };
  readonly cniArgs?: { readonly [plugin: string]: RegExp };
};

const FILES = { 20: '020', 40: '040', 100: '100' } as const;
export const inVersions = (...versions: (keyof typeof FILES)[]) =>
  versions.map((version) => `pkg/multus/multus_cni${FILES[version]}_test.go`);
export const CLIENT = ['pkg/k8sclient/k8sclient_test.go'];
export const TYPES = ['pkg/types/conf_test.go'];

export const networks = (text: string) => ({ annotations: { 'k8s.v1.cni.cncf.io/networks': text } });
export const override = (text: string) => ({ annotations: { 'v1.multus-cni.io/default-network': text } });
export const plugin = (name: string, type: string, more: Json = {}) => ({ name, type, ...more });
export const text = (name: string, type: string, more: Json = {}) => JSON.stringify(plugin(name, type, more));
export const NETS = {
  'test/net1': text('net1', 'mynet'),
  'test/net2': text('net2', 'mynet2'),
  'test/net3': text('net3', 'mynet3'),
};
export const CRDS = { 'kube-system/crd1': '{"type": "mynet"}', 'kube-system/crd2': '{"type": "mynet2"}' };
export const ports = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };

export const WEAVE = plugin('weave1', 'weave-net');
export const TWO = { delegates: [WEAVE, plugin('other1', 'other-plugin')] };
export const LISTS = {
  delegates: [
    { name: 'weave1', plugins: [{ type: 'weave-net' }] },
    { name: 'other1', plugins: [{ type: 'other-plugin' }] },
  ],
};
export const ADD_TWO = { verb: 'ADD', calls: ['ADD eth0 weave-net', 'ADD net1 other-plugin'] };
export const DEL_TWO = { verb: 'DEL', calls: ['DEL net1 other-plugin', 'DEL eth0 weave-net'] };
export const CHECK_TWO = { verb: 'CHECK', calls: ['CHECK eth0 weave-net', 'CHECK net1 other-plugin'] };
export const ADD_NET1 = { verb: 'ADD', calls: ['ADD eth0 weave-net', 'ADD net1 mynet'] };
export const DEL_NET1 = { verb: 'DEL', calls: ['DEL net1 mynet', 'DEL eth0 weave-net'] };
export const adds = (...calls: string[]) => [{ verb: 'ADD', calls: calls.map((call) => `ADD ${call}`) }];
export const refuses = (fails: RegExp) => [{ verb: 'ADD', calls: [], fails }];
