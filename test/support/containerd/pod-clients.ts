import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { SINGLE_FILE_AGENT } from '../agent/agent.ts';
import { callShim, type ShimAnswer } from '../agent/shim.ts';
import { noNamespaces } from '../namespaces/namespace.ts';
import { type Document, variables } from '../plugins/call.ts';
import type { ManyPods } from './many-pods.ts';

// What a runtime and a kubelet do with a pod, for a list of our three plugins that are called through the shims.

const ROOT = join(import.meta.dirname, '../../..');
const SHIMS = join(ROOT, 'dist/shim');
const [STANDALONE = ''] = SINGLE_FILE_AGENT;

/** Why these tests cannot run here, or false. */
export const noShims: string | false =
  noNamespaces || ([SHIMS, STANDALONE].every((path) => existsSync(path)) ? false : 'needs dist/shim and dist/bin');

/** How a pod's link gets its name: `mode` of consistent-ifname. */
export type Mode = 'rename' | 'altname';

const NAME = 'net9f27410725ab';
const HOST = ['10.0.32.2', 'fd00:32::2'];
const ROUTES = ['10.10.0.0/16', 'fd00:10::/48'];

/** Changes a pod of makePods with `ip` into what the list must make of it. */
export function configureByHand(pods: ManyPods, path: string, mode: Mode): void {
  const dev = mode === 'rename' ? NAME : 'eth0';
  const routes = [...HOST, ...ROUTES].map((dst) => {
    return `route add ${dst} via ${dst.includes(':') ? 'fd00:131::1' : '10.131.0.1'} dev ${dev} proto 87`;
  });
  const names =
    mode === 'rename'
      ? [`link set eth0 name ${NAME}`, `link property add dev ${NAME} altname eth0`]
      : [`link property add dev eth0 altname ${NAME}`];
  pods.ip(path, [...names, ...routes]);
}

/** What all clients of a test observed. */
export class Calls {
  /** By plugin and verb. */
  readonly made: { [call: string]: number } = {};
  /** Calls that ended in an error of the spec. */
  readonly errors: string[] = [];
  /** Calls whose answer the spec does not permit. */
  readonly lost: string[] = [];
  readonly milliseconds: number[] = [];
  /** How many calls of a verb have no answer yet. */
  readonly open: { [verb: string]: number } = {};

  get count(): number {
    return this.milliseconds.length;
  }

  /** Classifies an answer. Returns the document of a successful call, undefined for any other. */
  take(plugin: string, verb: string, { code, stdout, stderr, milliseconds }: ShimAnswer): Document | undefined {
    const name = `${plugin} ${verb}`;
    this.made[name] = (this.made[name] ?? 0) + 1;
    this.milliseconds.push(milliseconds);
    const document = documentIn(stdout.toString());
    if (code === 0 && (verb === 'ADD' ? document?.interfaces !== undefined : stdout.length === 0))
      return document ?? EMPTY;
    const isError = code === 1 && typeof document?.code === 'number' && typeof document.msg === 'string';
    (isError ? this.errors : this.lost).push(`${name}: ${code} ${stdout} ${stderr}`);
    return undefined;
  }

  /** The time that the slowest one percent of the calls took, at least. */
  get p99(): number {
    return Math.round(this.milliseconds.toSorted((a, b) => a - b)[Math.floor(this.count * 0.99)] ?? 0);
  }
}

const EMPTY: Document = { cniVersion: '' };

function documentIn(text: string): Document | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export type ClientOptions = {
  readonly netns: string;
  readonly containerID: string;
  readonly mode: Mode;
  /** Where the agent is expected. */
  readonly socket: string;
  readonly dataDir: string;
  readonly calls: Calls;
  /** The shims, if not those of this build. */
  readonly shims?: string;
};

/** One pod's runtime. */
export class PodClient {
  readonly #options: ClientOptions;
  #result: Document = EMPTY;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** ADD of the whole list. After an error it deletes what was added and starts again, as a kubelet does. */
  async add(): Promise<void> {
    for (;;) {
      if (await this.#addOnce()) return;
      await this.del();
      await sleep(100);
    }
  }

  /** CHECK of the whole list. False if a plugin reported a difference. */
  async check(): Promise<boolean> {
    for (const plugin of this.#plugins()) {
      if ((await this.#call(plugin, 'CHECK', this.#result)) === undefined) return false;
    }
    return true;
  }

  /** DEL of the whole list in reverse order, repeated until it succeeds. */
  async del(): Promise<void> {
    for (const plugin of this.#plugins().toReversed()) {
      while ((await this.#call(plugin, 'DEL', this.#result)) === undefined) await sleep(100);
    }
  }

  async #addOnce(): Promise<boolean> {
    this.#result = {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'eth0', mac: '02:00:00:00:00:10', sandbox: this.#options.netns }],
      ips: [
        { address: '10.131.0.5/23', gateway: '10.131.0.1', interface: 0 },
        { address: 'fd00:131::5/64', gateway: 'fd00:131::1', interface: 0 },
      ],
    };
    for (const plugin of this.#plugins()) {
      const result = await this.#call(plugin, 'ADD', this.#result);
      if (result === undefined) return false;
      this.#result = result;
    }
    return true;
  }

  #plugins(): { type: string; [key: string]: unknown }[] {
    return [
      { type: 'consistent-ifname', mode: this.#options.mode },
      { type: 'seamless-gateway', hostAddresses: HOST },
      { type: 'static-route', routes: ROUTES.map((dst) => ({ dst })) },
    ];
  }

  async #call(plugin: { type: string }, verb: string, prevResult: Document): Promise<Document | undefined> {
    const { netns, containerID, socket, dataDir, calls, shims = SHIMS } = this.#options;
    const env = variables(verb, netns, {
      CNI_CONTAINERID: containerID,
      WAYMARK_SOCKET: socket,
      WAYMARK_STANDALONE: STANDALONE,
    });
    const stdin = JSON.stringify({ ...plugin, cniVersion: '1.1.0', name: 'green', dataDir, prevResult });
    calls.open[verb] = (calls.open[verb] ?? 0) + 1;
    const answer = await callShim(join(shims, plugin.type), { env, stdin });
    calls.open[verb]--;
    return calls.take(plugin.type, verb, answer);
  }
}

/** A client for each of the pods, whose links are alternately renamed and given an altname. */
export function clientsOf(
  pods: ManyPods,
  options: Pick<ClientOptions, 'socket' | 'dataDir' | 'calls' | 'shims'>,
): (ClientOptions & { client: PodClient })[] {
  return pods.paths.map((netns, i) => {
    const own = {
      ...options,
      netns,
      containerID: `pod-${i}`,
      mode: i % 2 === 0 ? ('rename' as const) : ('altname' as const),
    };
    return { ...own, client: new PodClient(own) };
  });
}

/** What pods look like according to `ip`: untouched, and as the list must make them. */
export async function knownStates(
  t: Test,
  makePods: (t: Test, count: number) => Promise<ManyPods>,
): Promise<{ clean: string } & { [M in Mode]: string }> {
  const pods = await makePods(t, 3);
  const [clean = '', rename = '', altname = ''] = pods.paths;
  configureByHand(pods, rename, 'rename');
  configureByHand(pods, altname, 'altname');
  return { clean: pods.state(clean), rename: pods.state(rename), altname: pods.state(altname) };
}
