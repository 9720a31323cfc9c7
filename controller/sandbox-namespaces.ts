import type { RuntimeService } from '../lib/cri/runtime-service.ts';

/** More sandboxes than a node has. */
const MAX_KNOWN = 1000;

/**
 * The network namespaces of sandboxes. Each is asked for once, since a sandbox keeps its namespace: the answer is the longest
 * that the container runtime gives, and every look at a pod would wait for it.
 */
export class SandboxNamespaces {
  readonly #cri: Pick<RuntimeService, 'networkNamespace'>;
  readonly #known = new Map<string, string>();

  constructor(cri: Pick<RuntimeService, 'networkNamespace'>) {
    this.#cri = cri;
  }

  /** The path of the namespace of a sandbox that the runtime lists; see RuntimeService. Throws GrpcError. */
  async networkNamespace(id: string): Promise<string | undefined> {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const found = await this.#cri.networkNamespace(id);
    if (found === undefined) return undefined;
    this.#known.set(id, found);
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value ?? '');
    return found;
  }
}
