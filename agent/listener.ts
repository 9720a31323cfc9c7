import { randomBytes } from 'node:crypto';
import type { Server } from 'node:net';
import type { Logger } from 'pino';
import { type Presence, whoAnswers } from './presence.ts';
import { listenAt, listenOnDescriptor } from './socket-file.ts';

export type ListenerOptions = {
  /** Where shims connect. */
  readonly path: string;
  /** A descriptor that is listened on already, at that path: by systemd. */
  readonly descriptor?: number | undefined;
  /** Makes a server of the agent's. */
  readonly makeServer: () => Server;
  readonly log: Logger;
  /** How often it looks whether it can be found. */
  readonly checkMs: number;
  /** Called after each look that found it. */
  readonly found?: (() => void) | undefined;
};

/** So many attempts to listen again fail before the agent gives up, and whoever keeps it starts a new one. */
const MAX_FAILURES = 3;

/**
 * Listens at a path, and sees to it that shims find the agent there: somebody may remove the file, or replace it by a
 * socket that is gone later. While another process answers there, it is left alone.
 */
export class Listener {
  /** What this agent calls itself, for whoever asks at the path. */
  readonly instance = randomBytes(16).toString('hex');
  /** Rejects when the path is lost for good. */
  readonly lost: Promise<never>;
  readonly #options: ListenerOptions;
  #server: Server | undefined;
  #removeFile = () => {};
  #timer: NodeJS.Timeout | undefined;
  #giveUp: (why: Error) => void = () => {};
  #failures = 0;
  #said = '';
  #checking: Promise<Presence> | undefined;
  #stopped = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.lost = new Promise((_, reject) => {
      this.#giveUp = reject;
    });
    // Whoever does not wait for it must not be ended by it.
    this.lost.catch(() => {});
  }

  /** Did the last look find this agent at the path? */
  get isFound(): boolean {
    return this.#said === '';
  }

  /** Throws FileError, and errors of listen(2). */
  async start(): Promise<void> {
    const { descriptor, checkMs } = this.#options;
    if (descriptor === undefined) {
      await this.#listen();
    } else {
      this.#server = this.#options.makeServer();
      await listenOnDescriptor(this.#server, descriptor);
    }
    this.#timer = setInterval(() => void this.check(), checkMs);
  }

  /** Nobody new is served. */
  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#removeFile();
    this.#server?.close();
  }

  /** Who answers at the path? If nobody does, the agent listens there again. */
  check(): Promise<Presence> {
    // Two at once would replace each other's socket.
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  async #check(): Promise<Presence> {
    const { path, log, found } = this.#options;
    const presence = await whoAnswers(path, this.instance);
    if (this.#stopped) return presence;
    if (presence.who === 'self') {
      if (this.#said !== '') log.info({ socket: path }, 'shims find this agent again');
      this.#said = '';
      found?.();
      return presence;
    }
    if (this.#said !== presence.why) log.warn({ socket: path }, presence.why);
    this.#said = presence.why;
    if (presence.who === 'nobody') await this.#listenAgain();
    return presence;
  }

  async #listenAgain(): Promise<void> {
    const { path, log } = this.#options;
    try {
      await this.#listen();
      this.#failures = 0;
      this.#said = '';
      log.info({ socket: path }, 'listening again');
    } catch (error) {
      log.error({ socket: path, err: error }, 'cannot listen again');
      this.#failures++;
      if (this.#failures >= MAX_FAILURES) this.#giveUp(new Error(`shims cannot find the agent: ${this.#said}`));
    }
  }

  async #listen(): Promise<void> {
    const server = this.#options.makeServer();
    this.#removeFile = await listenAt(server, this.#options.path);
    // Nobody can reach the one before any more.
    this.#server?.close();
    this.#server = server;
    // It may have been stopped meanwhile.
    if (this.#stopped) this.stop();
  }
}
