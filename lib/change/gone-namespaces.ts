import { RouteSocket } from '../netlink/socket.ts';
import { type Breathe, type Held, heldNamespaces } from '../netns/holders.ts';
import { type Namespace, NamespaceError, openNamespace } from '../netns/netns.ts';
import { markIn, marksOf } from './namespace-identity.ts';

/** Nothing is gone that one of so many looks has seen: what changes hands in the middle of one can be missed. */
const LOOKS = 2;

/**
 * Which of these identities no namespace has that a process, a thread, a mount or an open file holds. One in a form that
 * this build does not know is never among them. It takes a while, and others run meanwhile.
 *
 * It is for a process that sees all others of the node (docs/decisions/0015-journals-of-namespaces-that-are-gone.md). Throws NamespaceError if one of them may not
 * be inspected, or if a namespace that is held cannot be opened to see which it is; NetlinkError and AddonError.
 */
export async function goneOf(identities: Iterable<string>, breathe: Breathe): Promise<Set<string>> {
  const missing = Map.groupBy(identities, (identity) => markIn(identity) ?? '');
  missing.delete('');
  for (let look = 0; look < LOOKS && missing.size > 0; look++) await dropHeld(missing, breathe);
  return new Set([...missing.values()].flat());
}

async function dropHeld(missing: Map<string, string[]>, breathe: Breathe): Promise<void> {
  const known = new Set<string>();
  const hidden = new Map<string, Held>();
  for await (const held of heldNamespaces(breathe)) {
    if (known.has(held.name)) continue;
    const marks = marksIfThere(held);
    if (marks === undefined) {
      if (held.isMount) hidden.set(held.name, held);
      continue;
    }
    known.add(held.name);
    hidden.delete(held.name);
    for (const mark of marks) missing.delete(mark);
    if (missing.size === 0) return;
  }
  // It may be any of those that are missing.
  for (const { path } of hidden.values()) throw new NamespaceError(path, 'cannot be opened');
}

// Undefined if it does not lead there: the holder has ended or changed, or another mount covers this one.
function marksIfThere({ name, path }: Held): string[] | undefined {
  let namespace: Namespace;
  try {
    namespace = openNamespace(path);
  } catch (error) {
    if (error instanceof NamespaceError && error.problem !== 'cannot be opened') return undefined;
    throw error;
  }
  try {
    if (name !== `net:[${namespace.inode}]`) return undefined;
    const socket = RouteSocket.open(namespace);
    try {
      return marksOf(namespace, socket);
    } finally {
      socket.close();
    }
  } finally {
    namespace.close();
  }
}
