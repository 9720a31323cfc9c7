import { CniCode } from '../lib/cni/errors.ts';
import type { ShimRequest } from './protocol.ts';

/** What a call came to, for the shim. */
export type CallResult = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** The same with what is worth telling of the call. */
export type CallReport = CallResult & {
  readonly plugin: string;
  readonly verb: string;
  readonly containerID: string;
  readonly ifname: string;
  /** `namespace/name`, where the runtime tells it. */
  readonly pod: string | undefined;
  /** The code and message of the error document, or 0 and nothing. */
  readonly cniCode: number;
  readonly message: string | undefined;
  /** Every problem on a line of its own, where there are several. */
  readonly details: string | undefined;
  /** The network's name, where the config could be read. */
  readonly network: string | undefined;
  readonly seconds: number;
};

/** Who asked for what. */
export function whoseCall({ plugin, env }: ShimRequest) {
  return {
    plugin,
    verb: env.CNI_COMMAND ?? '',
    containerID: env.CNI_CONTAINERID ?? '',
    ifname: env.CNI_IFNAME ?? '',
    pod: podOf(env.CNI_ARGS ?? ''),
  };
}

/** What is kept of the details of an error. */
const MAX_DETAILS = 4096;

/**
 * The report of a call that took so many seconds, to the network that its config named, if it could be read. Of the details,
 * the answer has only some.
 */
export function reportOf(
  request: ShimRequest,
  result: CallResult,
  { seconds, network, details }: { seconds: number; network?: string | undefined; details?: string | undefined },
): CallReport {
  const error = result.code === 0 ? undefined : errorIn(result.stdout);
  return {
    ...result,
    ...whoseCall(request),
    network,
    cniCode: error?.code ?? (result.code === 0 ? 0 : CniCode.internal),
    message: error?.msg,
    details: cut(details ?? error?.details),
    seconds,
  };
}

function cut(details: unknown): string | undefined {
  if (typeof details !== 'string') return undefined;
  return details.length > MAX_DETAILS ? `${details.slice(0, MAX_DETAILS)}…` : details;
}

function errorIn(stdout: string): { code?: number; msg?: string; details?: unknown } | undefined {
  try {
    return JSON.parse(stdout);
  } catch {
    return undefined;
  }
}

function podOf(args: string): string | undefined {
  const value = (key: string) => new RegExp(`(?:^|;)${key}=([^;]*)`).exec(args)?.[1];
  const [namespace, name] = [value('K8S_POD_NAMESPACE'), value('K8S_POD_NAME')];
  return name === undefined ? undefined : `${namespace ?? ''}/${name}`;
}
