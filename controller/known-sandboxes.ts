import type { PathOf } from '../lib/cni/place.ts';
import type { RuntimeService, Sandbox } from '../lib/cri/runtime-service.ts';
import { isNamespace } from '../lib/netns/netns.ts';

/** More sandboxes than a node has. */
const MAX_KNOWN = 1000;

type Known = { readonly sandbox: Sandbox; readonly netns: string };

/**
 * The sandboxes of pods. The container runtime is asked once about a pod that runs, since every look at the pod would wait for
 * the answer: a sandbox whose namespace is still there still runs. A runtime that stops a sandbox takes its namespace away,
 * and the next sandbox gets another.
 */
export class KnownSandboxes {
  readonly #cri: Pick<RuntimeService, 'sandboxes' | 'networkNamespace'>;
  readonly #pathOf: PathOf;
  /** By the kubelet's UID of the pod. */
  readonly #known = new Map<string, Known>();

  constructor(cri: Pick<RuntimeService, 'sandboxes' | 'networkNamespace'>, pathOf: PathOf) {
    this.#cri = cri;
    this.#pathOf = pathOf;
  }

  /**
   * The sandboxes of a pod that runs, by the kubelet's UID: the one that is known to be ready, else all that the runtime has.
   * Throws GrpcError.
   */
  async running(uid: string): Promise<readonly Sandbox[]> {
    const known = this.#known.get(uid);
    if (known !== undefined && isNamespace(this.#pathOf(known.netns))) return [known.sandbox];
    this.#known.delete(uid);
    return this.#cri.sandboxes(uid);
  }

  /** All sandboxes of a pod that the runtime has now. Throws GrpcError. */
  async all(uid: string): Promise<readonly Sandbox[]> {
    return this.#cri.sandboxes(uid);
  }

  /** The path of the namespace of a sandbox that is ready; see RuntimeService. Throws GrpcError. */
  async networkNamespace(sandbox: Sandbox): Promise<string | undefined> {
    const { uid, id } = sandbox;
    const known = this.#known.get(uid);
    if (known?.sandbox.id === id) return known.netns;
    const netns = await this.#cri.networkNamespace(id);
    // The process may end, and its number be given to another.
    if (netns === undefined || netns.startsWith('/proc/')) return netns;
    this.#known.set(uid, { sandbox, netns });
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value ?? '');
    return netns;
  }

  /** Given all that the runtime has now, forgets the sandboxes that are not among them, or not ready any more. */
  retain(sandboxes: readonly Sandbox[]): void {
    const ready = new Set(sandboxes.flatMap(({ id, isReady }) => (isReady ? [id] : [])));
    for (const [uid, { sandbox }] of this.#known) if (!ready.has(sandbox.id)) this.#known.delete(uid);
  }
}
