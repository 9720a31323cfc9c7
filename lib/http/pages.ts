import { createServer, type Server } from 'node:http';

/** Answers a GET with a content type and a body. If it throws, the answer is 503 with the error's message. */
export type Page = () => Promise<{ type: string; body: string }>;

/** Serves a few pages by GET, and nothing else. */
export function createPages(pages: { readonly [path: string]: Page }): Server {
  const server = createServer(
    { requestTimeout: 5000, headersTimeout: 5000, keepAliveTimeout: 1000 },
    async (request, response) => {
      const page = Object.hasOwn(pages, request.url ?? '') ? pages[request.url ?? ''] : undefined;
      const reply = (code: number, body: string, type = 'text/plain; charset=utf-8') => {
        response.writeHead(code, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
      };
      if (request.method !== 'GET' || page === undefined) return reply(404, 'not found\n');
      try {
        const { type, body } = await page();
        reply(200, body, type);
      } catch (error) {
        reply(503, `${(error as Error).message}\n`);
      }
    },
  );
  // Only a listening server enforces the timeouts above; this one also applies to sockets that are handed over.
  return server.setTimeout(5000);
}

/** A page of plain text. */
export function text(body: string): { type: string; body: string } {
  return { type: 'text/plain; charset=utf-8', body: `${body}\n` };
}
