import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { agentHere, shimOf } from '../support/agent/agent.ts';
import { testShimsAlone } from '../support/agent/bare-root.ts';
import { noMounts } from '../support/namespaces/enclosed.ts';
import { run, scratchFolder, works } from '../support/namespaces/namespace.ts';

// A node with a root of nothing. With the agent in its image: test/image.test.ts.

const shim = shimOf('static-route');
const noShim = noMounts || (existsSync(shim) ? false : 'needs scripts/build.sh');

t.test('in a root with nothing else, the shims hand their calls to the agent', { skip: noShim }, async (t) => {
  const { socket } = await agentHere(t);
  await testShimsAlone(t, dirname(shim), socket);
});

const LOADER = '/lib/ld-musl-x86_64.so.1';
const noMusl =
  noShim || (existsSync(LOADER) && works('musl-gcc', ['--version']) ? false : 'needs musl-tools on x86-64');

t.test('where musl is the libc, a runtime that is linked with it starts the shims', { skip: noMusl }, async (t) => {
  const runtime = join(scratchFolder(t), 'runtime');
  run('musl-gcc', ['-O1', '-Wall', '-Werror', join(import.meta.dirname, 'runtime.c'), '-o', runtime]);
  const { socket } = await agentHere(t);
  const files = { [LOADER]: LOADER, '/bin/runtime': runtime };
  await testShimsAlone(t, dirname(shim), socket, { runtime: { files, start: '/bin/runtime' } });
});
