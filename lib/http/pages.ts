import { createServer, type Server } from 'node:http';

/**
 * Answers a GET with a content type and a body. If it throws, the answer is 503 with the error's message. `rest` is what
 * follows in the path of a page whose own ends with a slash, as it came; else empty.
 */
export type Page = (rest: string) => Promise<{ type: string; body: string }>;

/** Serves a few pages by GET, and nothing else. A path that ends with a slash has all paths of one level and more below it. */
export function createPages(pages: { readonly [path: string]: Page }): Server {
  const server = createServer(
    { requestTimeout: 5000, headersTimeout: 5000, keepAliveTimeout: 1000 },
    async (request, response) => {
      const { url = '' } = request;
      const folder = `/${url.split('/')[1]}/`;
      const path = Object.hasOwn(pages, url) || !url.startsWith(folder) ? url : folder;
      const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
      const reply = (code: number, body: string, type = 'text/plain; charset=utf-8') => {
        response.writeHead(code, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
      };
      if (request.method !== 'GET' || page === undefined) return reply(404, 'not found\n');
      try {
        const { type, body } = await page(url.slice(path.length));
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
