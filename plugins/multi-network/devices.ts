import { chooseDevice } from '../../lib/attachments/devices.ts';
import type { Pod } from '../../lib/attachments/pod.ts';

/** Chooses devices of device plugins for the networks of one pod, each device once. */
export class Devices {
  readonly #socket: string;
  /** Asked for by their names: others do not get them. */
  readonly #reserved: ReadonlySet<unknown>;
  readonly #used: Set<unknown>;
  readonly #given = new Map<string, Promise<string[]>>();

  /** `socket` is the kubelet's, as we reach it. */
  constructor(socket: string, { reserved, used }: { reserved: Iterable<unknown>; used: Iterable<unknown> }) {
    this.#socket = socket;
    this.#reserved = new Set(reserved);
    this.#used = new Set(used);
  }

  /** A device of a resource, or the one that is asked for. Throws NetworkError, and GrpcError if the kubelet does not answer. */
  async choose(pod: Pod, resource: string, asked: string | undefined): Promise<string> {
    const asking = this.#given.get(resource) ?? devicesOf(this.#socket, pod, resource);
    this.#given.set(resource, asking);
    const used = asked === undefined ? new Set([...this.#used, ...this.#reserved]) : this.#used;
    const device = chooseDevice({ resource, given: await asking, used, asked });
    this.#used.add(device);
    return device;
  }
}

// The client is loaded when it is used: it cannot be in the executables' start-up snapshot.
async function devicesOf(socket: string, pod: Pod, resource: string): Promise<string[]> {
  const { PodResources } = await import('../../lib/kubelet/pod-resources.ts');
  const kubelet = new PodResources(socket);
  try {
    return await kubelet.devicesOf(pod, resource);
  } finally {
    kubelet.close();
  }
}
