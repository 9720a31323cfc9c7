import { OWN_NAMESPACE } from '../netns/netns.ts';

/** How the paths of a call, and the node's network namespace, are reached from the process that serves it. */
export type Place = { readonly pathOf: PathOf; readonly ownNamespace: string };

/** The path by which we reach what the caller calls by this path. */
export type PathOf = (path: string) => string;

/** The caller is the process itself, or sees the same files and network. */
export const HERE: Place = { pathOf: (path) => path, ownNamespace: OWN_NAMESPACE };
