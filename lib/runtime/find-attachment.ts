import { isNamespaceAt, NamespaceError, openNamespace } from '../netns/netns.ts';
import { type CachedAttachment, cachedAttachments, DEFAULT_CACHE_DIR } from './cache.ts';
import { RuntimeError } from './errors.ts';

/** Where attachments are cached: by libcni in a runtime, cnitool or ourselves; and by Multus for what it attaches. */
export const CACHE_DIRS: readonly string[] = [DEFAULT_CACHE_DIR, `${DEFAULT_CACHE_DIR}/multus`];

/**
 * The attachments of a network to the namespace at a path, whoever made them. libcni wrote the path of the namespace only
 * since 1.2; before, the result has it for a sandbox. Caches that cannot be read have none.
 */
export function attachmentsIn(netns: string, network: string, caches = CACHE_DIRS): CachedAttachment[] {
  return caches.flatMap((folder) => readable(folder, network)).filter((cached) => isIn(cached, netns));
}

function readable(folder: string, network: string): CachedAttachment[] {
  try {
    return cachedAttachments(folder, network);
  } catch (error) {
    if (error instanceof RuntimeError) return [];
    throw error;
  }
}

function isIn({ input, result }: CachedAttachment, netns: string): boolean {
  const interfaces = Array.isArray(result.interfaces) ? result.interfaces : [];
  const sandboxes = interfaces.map((entry: { sandbox?: unknown } | null) => entry?.sandbox);
  const paths = [input.netns, ...sandboxes].filter((path): path is string => typeof path === 'string' && path !== '');
  return [...new Set(paths)].some((path) => path === netns || isSame(path, netns));
}

function isSame(a: string, b: string): boolean {
  try {
    const left = openNamespace(a);
    try {
      return isNamespaceAt(b, left);
    } finally {
      left.close();
    }
  } catch (error) {
    if (error instanceof NamespaceError) return false;
    throw error;
  }
}
