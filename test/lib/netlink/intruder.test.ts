import t from 'tap';
import { listLinks } from '../../../lib/netlink/link.ts';
import { listRoutes } from '../../../lib/netlink/routes.ts';
import { compileIntruder, flood, intrudeOnce } from '../../support/agent/intruder.ts';
import { noCompiler } from '../../support/agent/shim.ts';
import { noNamespaces, scratchPod } from '../../support/namespaces/namespace.ts';
import { socketIn } from '../../support/namespaces/transport.ts';

// A process in the pod with CAP_NET_ADMIN there may send to any netlink socket of its namespace (netlink(7)).

t.test('a socket takes answers from the kernel only', { skip: noNamespaces || noCompiler }, async (t) => {
  const pod = scratchPod(t);
  const intruder = compileIntruder(t);

  t.test('a forged answer is refused to its sender, and the kernel’s is read', async (t) => {
    const socket = socketIn(t, pod);
    const attempts = intrudeOnce(intruder, pod);
    t.equal(attempts.length, 1, 'the socket is found');
    t.match(attempts[0], /^\d+ ECONNREFUSED$/);
    t.ok(listLinks(socket).some(({ name }) => name === 'eth0'));
  });

  t.test('under a flood every dump is as without one', async (t) => {
    const quiet = listRoutes(socketIn(t, pod), 4);
    await flood(t, intruder, pod);
    for (let i = 0; i < 200; i++) {
      const socket = socketIn(t, pod);
      for (let j = 0; j < 10; j++) t.strictSame(listRoutes(socket, 4), quiet);
    }
  });
});
