import type { Variables } from '../lib/cni/request.ts';

/** Where the agent listens by default, and where the shim connects (native/shim.c). */
export const DEFAULT_SOCKET = '/run/waymark/agent.sock';

/** The path of the agent's socket: the option of the command, else WAYMARK_SOCKET, else the default. */
export function socketPath(option: string | undefined, env: Variables): string {
  return option ?? env.WAYMARK_SOCKET ?? DEFAULT_SOCKET;
}
