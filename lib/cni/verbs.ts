import { interfaceNameProblem, nameProblem } from './names.ts';
import type { CniVersion } from './version.ts';

/** The verbs that a plugin has work for. VERSION is answered by the runner. */
export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS';

/** What must be true before a verb's handler is called (https://www.cni.dev/docs/spec/#cni-operations). */
export type VerbRule = {
  /** The earliest version of the spec that has the verb. */
  readonly since: CniVersion;
  /** CNI_NETNS must lead to a namespace; DEL does without one, for it may be gone. */
  readonly needsNamespace: boolean;
  /** The verb is about one attachment of one pod; the others do not look at CNI_NETNS. */
  readonly ofPod: boolean;
};

export const VERBS: { readonly [V in Verb]: VerbRule } = {
  ADD: { since: '0.1.0', needsNamespace: true, ofPod: true },
  DEL: { since: '0.1.0', needsNamespace: false, ofPod: true },
  CHECK: { since: '0.4.0', needsNamespace: true, ofPod: true },
  GC: { since: '1.1.0', needsNamespace: false, ofPod: false },
  STATUS: { since: '1.1.0', needsNamespace: false, ofPod: false },
};

export function isVerb(command: string): command is Verb {
  return Object.hasOwn(VERBS, command);
}

/** One variable of the call: which verbs need it, and what is wrong with a value (undefined if nothing is). */
export type VariableRule = {
  readonly name: string;
  readonly requiredBy: readonly Verb[];
  readonly problem?: (value: string) => string | undefined;
};

/** The variables by the table of the reference implementation (libcni, pkg/skel). */
export const VARIABLES: readonly VariableRule[] = [
  { name: 'CNI_CONTAINERID', requiredBy: ['ADD', 'DEL', 'CHECK'], problem: nameProblem },
  { name: 'CNI_NETNS', requiredBy: ['ADD', 'CHECK'] },
  { name: 'CNI_IFNAME', requiredBy: ['ADD', 'DEL', 'CHECK'], problem: interfaceNameProblem },
  { name: 'CNI_PATH', requiredBy: ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'] },
];
