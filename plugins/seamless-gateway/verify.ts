import { CniCode, CniError } from '../../lib/cni/errors.ts';
import { DumpTooLarge } from '../../lib/netlink/errors.ts';
import {
  deleteNeighbourRequest,
  listNeighbours,
  type Neighbour,
  resolveNeighbourRequest,
} from '../../lib/netlink/neighbour.ts';
import type { RouteSocket } from '../../lib/netlink/socket.ts';
import type { Plan, PlanInput } from '../../lib/plugin/plan.ts';
import type { Waiting } from '../../lib/plugin/waiting.ts';
import type { SeamlessGatewayConfig } from './config.ts';
import { gatewaysOf } from './plan.ts';

/** `link` is an index. */
type Gateway = { link: number; address: string };

/** `began` is a performance.now(). */
type Time = { began: number; seconds: number };

/**
 * Does every gateway of the plan answer? The kernel is asked to resolve it, and its neighbour table tells; no packet of
 * ours is needed. Throws CniError 107, and then the entries that were made for it are gone.
 */
export async function verifyGateways(
  { config }: PlanInput<SeamlessGatewayConfig>,
  plan: Plan,
  socket: RouteSocket,
  waiting: Waiting,
): Promise<void> {
  const asked = config.verifyGateway?.timeoutSeconds;
  if (asked === undefined) return;
  const seconds = waiting.seconds('verifyGateway', asked);
  const time = { began: performance.now(), seconds };
  for (const gateway of gatewaysOf(plan)) {
    if (await answersOrIsForgotten(socket, gateway, time, waiting)) continue;
    throw new CniError(CniCode.timeout, `gateway ${gateway.address} did not answer within ${seconds} s`);
  }
}

/** What `verifyGateways` makes sure of, as lines. */
export function describeVerifyGateways({ config }: PlanInput<SeamlessGatewayConfig>, plan: Plan): string[] {
  const seconds = config.verifyGateway?.timeoutSeconds;
  if (seconds === undefined) return [];
  return gatewaysOf(plan).map(({ address }) => `make sure that gateway ${address} answers within ${seconds} s`);
}

async function answersOrIsForgotten(...question: Parameters<typeof answers>): Promise<boolean> {
  const [socket, gateway] = question;
  try {
    if (await answers(...question)) return true;
  } catch (error) {
    // Its socket can only be closed.
    if (error instanceof DumpTooLarge) throw error;
    // Why the call ends counts: it may be served elsewhere. The kernel forgets an entry that nobody uses by itself.
    await forget(socket, gateway).catch(() => {});
    throw error;
  }
  await forget(socket, gateway);
  return false;
}

// Asks again after a failure, which the kernel declares after three questions within as many seconds. An entry from long
// ago is forgotten first: the kernel would take five seconds before it began to doubt it.
async function answers(socket: RouteSocket, gateway: Gateway, time: Time, waiting: Waiting): Promise<boolean> {
  for (;;) {
    const state = stateOf(socket, gateway);
    if (state !== undefined && ANSWERED.has(state)) return true;
    if (performance.now() >= time.began + time.seconds * 1000) return false;
    if (state !== undefined && state !== 'INCOMPLETE') await forget(socket, gateway);
    if (state !== 'INCOMPLETE') {
      const { refusals } = await socket.change([resolveNeighbourRequest(gateway)], () => `resolve ${gateway.address}`);
      if (refusals[0] !== undefined) throw refusals[0].error;
    }
    await waiting.pause(time.began);
  }
}

const ANSWERED: ReadonlySet<Neighbour['state']> = new Set(['REACHABLE', 'PERMANENT', 'NOARP']);

// That it is gone already is as good: alone (ENOENT), or with its link (ENODEV).
async function forget(socket: RouteSocket, gateway: Gateway): Promise<void> {
  const { refusals } = await socket.change([deleteNeighbourRequest(gateway)], () => `forget ${gateway.address}`);
  const refusal = refusals.find(({ error }) => !GONE.has(error.code));
  if (refusal !== undefined) throw refusal.error;
}

const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ENODEV']);

function stateOf(socket: RouteSocket, { link, address }: Gateway): Neighbour['state'] | undefined {
  return listNeighbours(socket, link).find((neighbour) => neighbour.address === address)?.state;
}
