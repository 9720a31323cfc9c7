import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { field } from '../../../lib/cri/protobuf.ts';

// A stand-in for a container runtime: sandboxes that a test makes up, over namespaces that exist. The real one is asked in
// test/pod/cri.test.ts and in test/cluster.

export type FakeSandbox = {
  id: string;
  uid: string;
  name: string;
  namespace: string;
  attempt: number;
  ready: boolean;
  netns: string;
};

/** See the top of this file. */
export class CriStandIn {
  readonly sandboxes: FakeSandbox[] = [];
  calls = 0;
  readonly #server: Http2Server = createServer();
  readonly #sessions = new Set<{ destroy(): void }>();

  async start(socket: string): Promise<void> {
    this.#server.on('session', (session) => this.#sessions.add(session));
    this.#server.on('stream', (stream: ServerHttp2Stream, headers) => this.#serve(stream, String(headers[':path'])));
    await new Promise<void>((resolve) => this.#server.listen(socket, resolve));
  }

  stop(): void {
    for (const session of this.#sessions) session.destroy();
    this.#server.close();
  }

  #serve(stream: ServerHttp2Stream, path: string): void {
    const pieces: Buffer[] = [];
    stream.on('error', () => undefined);
    stream.on('data', (piece: Buffer) => pieces.push(piece));
    stream.on('end', () => {
      this.calls++;
      const asked = Buffer.concat(pieces).subarray(5).toString('latin1');
      const answer = path.endsWith('/ListPodSandbox') ? this.#list(asked) : this.#status(asked);
      if (answer === undefined) {
        stream.respond({ ':status': 200, 'grpc-status': '5', 'grpc-message': 'not found' }, { endStream: true });
        return;
      }
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(answer.length, 1);
      stream.end(Buffer.concat([prefix, answer]));
    });
  }

  #list(asked: string): Buffer {
    const meant = this.sandboxes.filter(({ uid }) => asked === '' || asked.includes(uid));
    return Buffer.concat(
      meant.map(({ id, uid, name, namespace, attempt, ready }) => {
        const about = Buffer.concat([field(1, name), field(2, uid), field(3, namespace), field(4, attempt)]);
        return field(1, Buffer.concat([field(1, id), field(2, about), field(3, ready ? 0 : 1)]));
      }),
    );
  }

  #status(asked: string): Buffer | undefined {
    const sandbox = this.sandboxes.find(({ id }) => asked.includes(field(1, id).toString('latin1')));
    if (sandbox === undefined) return undefined;
    const namespaces = [{ type: 'network', path: sandbox.netns }];
    const info = JSON.stringify({ runtimeSpec: { linux: { namespaces } } });
    return field(2, Buffer.concat([field(1, 'info'), field(2, info)]));
  }
}
