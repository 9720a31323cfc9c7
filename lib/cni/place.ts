import { OWN_NAMESPACE } from '../netns/netns.ts';

/** How the paths of a call, and the node's network namespace, are reached from the process that serves it. */
export type Place = {
  readonly pathOf: PathOf;
  /** The other way round: a text with paths of ours in it, as the caller would say it. */
  readonly told: (text: string) => string;
  readonly ownNamespace: string;
};

/** The path by which we reach what the caller calls by this path. Throws an Error with the code ELOOP. */
export type PathOf = (path: string) => string;

/** The caller is the process itself, or sees the same files and network. */
export const HERE: Place = { pathOf: (path) => path, told: (text) => text, ownNamespace: OWN_NAMESPACE };
