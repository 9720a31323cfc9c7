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

/** The report of a call that took so many seconds. */
export function reportOf(request: ShimRequest, result: CallResult, seconds: number): CallReport {
  const error = result.code === 0 ? undefined : errorIn(result.stdout);
  return {
    ...result,
    ...whoseCall(request),
    cniCode: error?.code ?? (result.code === 0 ? 0 : CniCode.internal),
    message: error?.msg,
    seconds,
  };
}

function errorIn(stdout: string): { code?: number; msg?: string } | undefined {
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
