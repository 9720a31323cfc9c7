import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { agentHere, shimOf } from '../support/agent/agent.ts';
import { testShimsAlone } from '../support/agent/bare-root.ts';
import { noMounts } from '../support/namespaces/enclosed.ts';

// A node with a root of nothing. With the agent in its image: test/image.test.ts.

const shim = shimOf('static-route');
const noShim = noMounts || (existsSync(shim) ? false : 'needs scripts/build.sh');

t.test('in a root with nothing else, the shims hand their calls to the agent', { skip: noShim }, async (t) => {
  const { socket } = await agentHere(t);
  await testShimsAlone(t, dirname(shim), socket);
});
