import { isNamespaceAt, type Namespace, OWN_NAMESPACE } from '../netns/netns.ts';

/** How the paths of a call, and the node's network namespace, are reached from the process that serves it. */
export type Place = {
  readonly pathOf: PathOf;
  /** The reverse for a text: the paths of ours in it become those that the caller sees. */
  readonly asCallerSees: (text: string) => string;
  readonly ownNamespace: string;
  /** Is it `ownNamespace`? Where that is open already, it need not be opened again. Throws NamespaceError. */
  readonly isOwn: (namespace: Namespace) => boolean;
};

/** The path by which we reach what the caller calls by this path. Throws an Error with the code ELOOP. */
export type PathOf = (path: string) => string;

/** The caller is the process itself, or sees the same files and network. */
export const HERE: Place = {
  pathOf: (path) => path,
  asCallerSees: (text) => text,
  ownNamespace: OWN_NAMESPACE,
  isOwn: (namespace) => isNamespaceAt(OWN_NAMESPACE, namespace),
};
