import { request } from 'node:http';

/** Who answers at a socket's path: we ourselves, somebody else, or nobody, with the reason. */
export type Presence = { readonly who: 'self' | 'another' | 'nobody' | 'unknown'; readonly why: string };

/** The page of the Unix socket that says which agent answers. */
export const INSTANCE_PAGE = '/instance';

const TIMEOUT_MS = 3000;

/** Nobody listens there, for sure: no such file or folder, or a file that nobody listens on. */
const NOBODY: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ECONNREFUSED', 'ENOTSOCK']);

/**
 * Who answers at `path`? Asked as a shim would: by connecting. Whatever else keeps an answer from coming, such as a full
 * queue of connections, is `unknown`.
 */
export function whoAnswers(path: string, instance: string): Promise<Presence> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException) => {
      const who = NOBODY.has(error.code ?? '') ? 'nobody' : 'unknown';
      resolve({ who, why: `nobody answers at ${path}: ${error.message}` });
    };
    const asked = request({ socketPath: path, path: INSTANCE_PAGE, timeout: TIMEOUT_MS, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('error', failed);
      response.on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => {
        if (body.trim() === instance) resolve({ who: 'self', why: '' });
        else resolve({ who: 'another', why: `another process listens at ${path}` });
      });
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer in time')));
    asked.on('error', failed);
    asked.end();
  });
}
