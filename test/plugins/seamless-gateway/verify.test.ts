import t from 'tap';
import { NotServed } from '../../../agent/queue.ts';
import { RouteSocket, type SocketLimits } from '../../../lib/netlink/socket.ts';
import { describeVerifyGateways, verifyGateways } from '../../../plugins/seamless-gateway/verify.ts';
import {
  acknowledgement,
  attribute,
  done,
  fakeTransport,
  message,
  type Sent,
} from '../../support/namespaces/transport.ts';

// How the wait for a gateway ends where no gateway answers. What real kernels do is in seamless-gateway.test.ts.

// linux/rtnetlink.h
const NEWNEIGH = 28;
const DELNEIGH = 29;
const GETNEIGH = 30;
const NDA_DST = 1;

const ENODEV = 19;
const EPERM = 1;

type Refuses = { readonly deletion: number; readonly question?: number };

// linux/neighbour.h
const INCOMPLETE = 0x01;
const REACHABLE = 0x02;
const FAILED = 0x20;

/** A kernel that has the gateway in these states, one after another: undefined is no entry. */
function kernelWith(states: (number | undefined)[]) {
  const transport = fakeTransport((sent) =>
    sent.flatMap((request) => {
      if (request.type !== GETNEIGH) return [acknowledgement(request, 0)];
      const state = states.shift();
      if (state === undefined) return [done(request)];
      // struct ndmsg: AF_INET, the link, the state.
      const entry = Buffer.from([2, 0, 0, 0, 7, 0, 0, 0, state, 0, 0, 1]);
      const address = attribute(NDA_DST, Buffer.from([10, 131, 0, 1]));
      return [message({ type: NEWNEIGH, seq: request.seq }, entry, address), done(request)];
    }),
  );
  const changes = () => transport.writes.flat().flatMap(({ type }) => (type === GETNEIGH ? [] : [type]));
  return { socket: new RouteSocket(transport), changes };
}

/** A kernel whose neighbour table is empty, and which refuses to ask, or to delete from it. */
function kernel({ deletion, question = 0 }: Refuses, limits: SocketLimits = {}) {
  const transport = fakeTransport((sent) =>
    sent.flatMap((request) => {
      if (request.type === GETNEIGH)
        return [message({ type: NEWNEIGH, seq: request.seq }, Buffer.alloc(12)), done(request)];
      return [acknowledgement(request, request.type === DELNEIGH ? deletion : question)];
    }),
  );
  const requests = () => transport.writes.flat().map(({ type }: Sent) => type);
  return { socket: new RouteSocket(transport, 0n, limits), requests };
}

type Input = Parameters<typeof verifyGateways>[0];
type Plan = Parameters<typeof verifyGateways>[1];

const input = { config: { verifyGateway: { timeoutSeconds: 1 } } } as unknown as Input;
const route = { dst: '10.0.32.2/32', family: 'ipv4', hops: [{ gw: '10.131.0.1', oif: 7 }] };
const plan = { changes: [{ change: { op: 'add-route', route } }] } as unknown as Plan;

function verify(socket: RouteSocket, pause: () => Promise<void>): Promise<void> {
  return verifyGateways(input, plan, socket, { pause, seconds: () => 0.01 });
}

const soon = () => new Promise<void>((resolve) => setTimeout(resolve, 5));

t.test('a gateway that does not answer is forgotten, also when its link has gone', async (t) => {
  for (const deletion of [0, ENODEV]) {
    const { socket, requests } = kernel({ deletion });
    await t.rejects(verify(socket, soon), { code: 107, message: /^gateway 10\.131\.0\.1 did not answer/ });
    t.equal(requests().at(-1), DELNEIGH);
  }
});

t.test('the kernel is left alone while it asks, and told to ask again once it has failed', async (t) => {
  const { socket, changes } = kernelWith([undefined, INCOMPLETE, INCOMPLETE, FAILED, INCOMPLETE, REACHABLE]);
  await verifyGateways(input, plan, socket, { pause: soon, seconds: () => 60 });
  t.strictSame(changes(), [NEWNEIGH, DELNEIGH, NEWNEIGH]);
});

t.test('a question that the kernel refuses ends the wait', async (t) => {
  const never = () => Promise.reject(new Error('it waits'));
  const { socket } = kernel({ deletion: 0, question: EPERM });
  await t.rejects(verify(socket, never), { code: 'EPERM', operation: 'resolve 10.131.0.1' });
});

t.test('that the entry cannot be forgotten is an error where nothing else is', async (t) => {
  await t.rejects(verify(kernel({ deletion: EPERM }).socket, soon), { code: 'EPERM', operation: 'forget 10.131.0.1' });
});

t.test('what ends the wait is thrown, even if the entry cannot be removed', async (t) => {
  for (const deletion of [0, ENODEV, EPERM]) {
    const { socket, requests } = kernel({ deletion });
    const gone = new NotServed('caller gone');
    await t.rejects(
      verify(socket, () => Promise.reject(gone)),
      gone,
    );
    t.equal(requests().at(-1), DELNEIGH);
  }
});

t.test('after a table that is too large nothing more is asked of the socket', async (t) => {
  const { socket, requests } = kernel({ deletion: 0 }, { dumpBytes: 8 });
  await t.rejects(verify(socket, soon), { name: 'DumpTooLarge' });
  t.strictSame(requests(), [GETNEIGH]);
});

t.test('says which gateways it makes sure of, where it is asked to', async (t) => {
  t.strictSame(describeVerifyGateways(input, plan), ['make sure that gateway 10.131.0.1 answers within 1 s']);
  t.strictSame(describeVerifyGateways({ ...input, config: {} as Input['config'] }, plan), []);
});
