import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSocket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { INSTANCE_PAGE, whoAnswers } from '../../agent/presence.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

async function serverAt(t: Test, answer: RequestListener): Promise<string> {
  const path = join(scratchFolder(t), 'agent.sock');
  const server = createServer(answer).listen(path);
  await once(server, 'listening');
  t.teardown(() => server.closeAllConnections());
  t.teardown(() => server.close());
  return path;
}

t.test('who answers says which one it is', async (t) => {
  const asked: unknown[] = [];
  const path = await serverAt(t, (request, response) => {
    asked.push(request.url);
    response.end(' one\n');
  });
  t.strictSame(await whoAnswers(path, 'one'), { who: 'self', why: '' });
  t.strictSame(await whoAnswers(path, 'two'), { who: 'another', why: `another process listens at ${path}` });
  t.strictSame(asked, [INSTANCE_PAGE, INSTANCE_PAGE]);
});

t.test('nobody is there if there is no socket, no folder, or nobody listens', async (t) => {
  const folder = scratchFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  for (const path of [join(folder, 'none'), join(file, 'none'), file])
    t.match(await whoAnswers(path, 'one'), { who: 'nobody', why: `nobody answers at ${path}: ` }, path);
});

t.test('what keeps an answer from coming says nothing about who is there', async (t) => {
  const broken = await serverAt(t, (_, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('one', () => response.destroy());
  });
  t.match(await whoAnswers(broken, 'one'), { who: 'unknown', why: /aborted/ });
  const path = join(scratchFolder(t), 'silent.sock');
  const silent = createSocket((socket) => t.teardown(() => socket.destroy())).listen(path);
  await once(silent, 'listening');
  t.teardown(() => silent.close());
  t.match(await whoAnswers(path, 'one'), { who: 'unknown', why: `nobody answers at ${path}: no answer in time` });
});
