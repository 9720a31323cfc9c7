import { NetworkError } from './network.ts';

/** What is known when a device is chosen: those that the kubelet has given the pod, and those that are not to be had. */
export type DeviceChoice = {
  readonly resource: string;
  readonly given: readonly string[];
  readonly used: ReadonlySet<unknown>;
  /** The one that the selection asks for. */
  readonly asked?: string | undefined;
};

/** The device of a resource for one attachment. Throws NetworkError if there is none. */
export function chooseDevice({ resource, given, used, asked }: DeviceChoice): string {
  if (given.length === 0) throw new NetworkError(`the kubelet has given the pod no device of ${resource}`);
  if (asked !== undefined && !given.includes(asked)) {
    throw new NetworkError(`device ${asked} is not one of ${resource} that the kubelet has given the pod`);
  }
  const free = given.find((id) => !used.has(id) && (asked ?? id) === id);
  if (free !== undefined) return free;
  const what = asked === undefined ? `all ${given.length} devices` : `device ${asked}`;
  throw new NetworkError(`${what} of ${resource} that the pod has: in use by other attachments`);
}
