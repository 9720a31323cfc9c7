import { METHODS } from 'node:http';
import t from 'tap';
import { createPages, text } from '../../../lib/http/pages.ts';
import { agentHere, noRoot, page, parseMetrics } from '../../support/agent/agent.ts';
import { connection, received } from '../../support/agent/agent-client.ts';
import { run, works } from '../../support/namespaces/namespace.ts';

/** Sends lines and shows all that comes back until the line is closed. */
async function raw(socket: string, lines: string): Promise<string> {
  const client = await connection(socket);
  const answer = received(client);
  client.write(lines);
  return String(await answer);
}

t.test('the socket has all pages, the port those that are for everyone', { skip: noRoot }, async (t) => {
  const { socket, agent } = await agentHere(t, { listen: { host: '127.0.0.1', port: 0 } });
  const port = await portOf(process.pid);
  for (const where of [{ socketPath: socket }, { port }]) {
    t.match(await page(where, '/healthz'), { status: 200, type: /^text\/plain/, body: 'ok\n' });
    t.match(await page(where, '/readyz'), { status: 200, type: /^text\/plain/, body: 'ready\n' });
    const metrics = await page(where, '/metrics');
    t.match(metrics, { status: 200, type: /^text\/plain; version=0\.0\.4/ });
    t.ok(parseMetrics(metrics.body).size > 20);
  }
  const status = await page({ socketPath: socket }, '/status');
  t.match(status, { status: 200, type: 'application/json' });
  t.match(JSON.parse(status.body), { pid: process.pid });
  t.match(await page({ port }, '/status'), { status: 404 }, 'which pods failed is for root to know');
  await agent.stop();
});

t.test(
  'the metrics are what Prometheus’ own tool takes',
  { skip: works('promtool', ['--version']) ? false : 'needs promtool' },
  async (t) => {
    const { socket } = await agentHere(t);
    const { body } = await page({ socketPath: socket }, '/metrics');
    t.doesNotThrow(() => run('promtool', ['check', 'metrics'], body));
  },
);

t.test('any other path is not found', { skip: noRoot }, async (t) => {
  const { socket } = await agentHere(t);
  const paths = [
    '/',
    '//metrics',
    '/metrics/',
    '/metrics?x=1',
    '/%6detrics',
    '/../metrics',
    '/healthz/../status',
    '/__proto__',
    '/constructor',
    '/toString',
    `/${'x'.repeat(8000)}`,
    '*',
    'http://x/metrics',
  ];
  for (const path of paths) {
    const answer = await raw(socket, `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    t.match(answer, /^HTTP\/1\.1 40[04] /, path.slice(0, 40));
  }
  for (const method of METHODS.filter((name) => !['GET', 'HEAD', 'CONNECT'].includes(name))) {
    t.match(await page({ socketPath: socket }, '/metrics', method), { status: 404 }, method);
  }
  t.match(await raw(socket, 'HEAD /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'), /^HTTP\/1\.1 404 /);
  t.equal(await raw(socket, 'CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n'), '');
  t.match(
    await raw(socket, `GET /healthz HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`),
    /^HTTP\/1\.1 431 /,
  );
  t.match(await raw(socket, 'GET\r\n\r\n'), /^HTTP\/1\.1 400 /);
  t.match(
    await raw(socket, 'POST /status HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello'),
    /^HTTP\/1\.1 404 /,
  );
  t.match(await page({ socketPath: socket }, '/healthz'), { status: 200 });
});

t.test('one connection may ask again and again, also without waiting for answers', { skip: noRoot }, async (t) => {
  const { socket } = await agentHere(t);
  const question = 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n';
  const answer = await raw(
    socket,
    `${question}${question}${question.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n')}`,
  );
  t.equal(answer.split('ok\n').length - 1, 3);
});

t.test('a path that ends with a slash has the pages below it, as they are asked for', async (t) => {
  const pages = createPages({ '/pods/': async (rest) => text(rest) });
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
  t.teardown(() => pages.close());
  const { port } = pages.address() as { port: number };
  for (const rest of ['a', 'a/b', '', '%2e%2e/x?y']) {
    t.match(await page({ port }, `/pods/${rest}`), { status: 200, body: `${rest}\n` });
  }
  for (const path of ['/pods', '//pods/a', '/x/pods/a']) t.match(await page({ port }, path), { status: 404 }, path);
});

t.test('whoever is slow is not waited for, and a connection that nobody uses is closed', async (t) => {
  const [seconds, timeouts] = [5000, createPages({})];
  t.match(timeouts, { requestTimeout: seconds, headersTimeout: seconds, timeout: seconds, keepAliveTimeout: 1000 });
});

t.test('a page that fails is 503 with the reason', async (t) => {
  const pages = createPages({
    '/good': async () => text('good'),
    '/bad': async () => {
      throw new Error('not now');
    },
  });
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
  t.teardown(() => pages.close());
  const { port } = pages.address() as { port: number };
  t.match(await page({ port }, '/bad'), { status: 503, body: 'not now\n' });
  t.match(await page({ port }, '/good'), { status: 200, body: 'good\n' });
});

/** The port that a process listens on at 127.0.0.1, by /proc/net/tcp. */
async function portOf(pid: number): Promise<number> {
  const { readdirSync, readFileSync, readlinkSync } = await import('node:fs');
  const own = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }),
  );
  const lines = readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1);
  const found = lines
    .map((line) => line.trim().split(/\s+/))
    .find(([, , , state, , , , , , inode = '']) => state === '0A' && own.has(inode));
  return Number.parseInt(found?.[1]?.split(':')[1] ?? '', 16);
}
