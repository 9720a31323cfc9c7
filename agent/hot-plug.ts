import { existsSync, readlinkSync } from 'node:fs';
import type { Logger } from 'pino';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { Controller, type ControllerStatus } from '../controller/controller.ts';
import { HEAL_OUTCOMES } from '../controller/heal-account.ts';
import { WaymarkFiles } from '../controller/waymark-files.ts';
import type { InterfaceNames } from '../lib/attachments/steps.ts';
import { HERE, type Place } from '../lib/cni/place.ts';
import type { Plugin } from '../lib/cni/runner.ts';
import type { Attachment } from '../lib/inventory/inventory.ts';
import { type ApiAccess, inClusterAccess, kubeconfigAccess } from '../lib/kubernetes/access.ts';
import { ApiClient, type RequestReport, VERBS } from '../lib/kubernetes/client.ts';
import type { Through } from '../lib/runtime/limited.ts';
import { VERSION } from '../lib/version.ts';
import { UPDATABLE } from '../plugins/index.ts';
import { multiNetworkWith } from '../plugins/multi-network/main.ts';
import { breathe } from './breathe.ts';
import { CachedCluster } from './cached-cluster.ts';
import { callerOf } from './caller.ts';
import { EXPLAIN_PAGE } from './explain-page.ts';
import type { AgentLimits } from './limits.ts';
import type { AgentPart } from './part.ts';

export type HotPlugOptions = {
  readonly node: string;
  /** Our own, which has the ConfigMap with files of the node; undefined: none is read. */
  readonly namespace: string | undefined;
  readonly kubeconfig?: string | undefined;
  /** The node's path; else the first of the usual ones that is there. */
  readonly criSocket?: string | undefined;
  readonly binDirs: readonly string[];
  readonly stateDir: string;
  readonly globalNamespaces: readonly string[] | undefined;
  readonly allowedTypes: readonly string[] | undefined;
  readonly interfaceNames: InterfaceNames;
  readonly limits: Pick<AgentLimits, 'dumpBytes' | 'annotationSeconds' | 'protectedPrefixes'>;
  readonly log: Logger;
  readonly env: { readonly [name: string]: string | undefined };
  /** Where the node's files are, and what runs its plugins there; else by the mounts of process 1. */
  readonly reached?: Reached;
};

type Reached = { readonly place: Place; readonly through?: Through };

/** What `waymark status` shows of it. */
export type HotPlugStatus = ControllerStatus & {
  /** Files of the ConfigMap that cannot be written, with the reasons. Absent in agents that write none. */
  readonly fileProblems?: readonly string[];
  /** Since when no request to the API server has had an answer; undefined if the last one had, and in agents that do not tell. */
  readonly silentSince?: string | undefined;
};

const CRI_SOCKETS = ['/run/containerd/containerd.sock', '/run/crio/crio.sock', '/run/k3s/containerd/containerd.sock'];

/** What a pod that starts waits for an API server that says nothing. */
const BIRTH_REQUEST_MS = 5000;

/** From what the fastest plugin takes to the deadline. */
const BUCKETS_SECONDS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120];

/**
 * Networks of running pods, as a part of the agent; undefined where the API server cannot be asked, since there is neither
 * a kubeconfig nor an account of a pod. Throws AccessError, FileError, and an Error if the node cannot be reached.
 */
export async function hotPlug(options: HotPlugOptions): Promise<AgentPart | undefined> {
  const { kubeconfig, env } = options;
  const access = kubeconfig === undefined ? inClusterAccess(env) : await kubeconfigAccess(kubeconfig);
  return access === undefined ? undefined : new HotPlug(options, access);
}

class HotPlug implements AgentPart {
  readonly name = 'hotPlug';
  readonly plugins: readonly Plugin[];
  readonly pages = { [EXPLAIN_PAGE]: (rest: string) => this.#explain(rest) };
  readonly #controller: Controller;
  readonly #client: ApiClient;
  /** Of its own, since a pod that starts cannot wait as long as hot-plug can. */
  readonly #birthClient: ApiClient;
  readonly #cluster: CachedCluster;
  readonly #files: WaymarkFiles | undefined;
  #silentSince: string | undefined;
  readonly #steps = new Histogram({
    name: 'waymark_hotplug_step_duration_seconds',
    help: 'Time to attach or detach one network of a running pod, or to update its routes',
    labelNames: ['kind', 'outcome'] as const,
    buckets: BUCKETS_SECONDS,
    registers: [],
  });
  readonly #requests = counter('waymark_api_requests_total', 'Requests to the API server', ['verb', 'code']);
  readonly #restarts = counter('waymark_watch_restarts_total', 'Watches that began again after an error', ['resource']);
  readonly #healed = counter('waymark_healed_total', 'Attachments that had lost routes or rules, by what came of it', [
    'outcome',
  ]);
  readonly #lost = counter('waymark_events_lost_total', 'Kubernetes events that could not be written', []);

  constructor(options: HotPlugOptions, access: ApiAccess) {
    const { log, node, binDirs, stateDir, globalNamespaces, allowedTypes, criSocket, interfaceNames } = options;
    // So that `increase()` sees the first requests that get no answer.
    for (const verb of VERBS) this.#requests.inc({ verb, code: '0' }, 0);
    const client = { access, userAgent: `waymark/${VERSION}`, report: (report: RequestReport) => this.#report(report) };
    this.#client = new ApiClient(client);
    this.#birthClient = new ApiClient({ ...client, timeoutMs: BIRTH_REQUEST_MS });
    const { place, through } = options.reached ?? nodeAsSeenFromHere();
    const { pathOf } = place;
    const { dumpBytes, annotationSeconds, protectedPrefixes } = options.limits;
    const socket = criSocket ?? CRI_SOCKETS.find((path) => existsSync(pathOf(path)));
    if (socket === undefined)
      throw new Error(`no container runtime listens at ${CRI_SOCKETS.join(' or ')}; see --cri-socket`);
    this.#controller = new Controller({
      client: this.#client,
      node,
      criSocket: pathOf(socket),
      binDirs,
      stateDir,
      pathOf,
      place,
      pacing: { breathe, betweenSteps: breathe, dumpBytes, annotationSeconds, protectedPrefixes },
      through,
      globalNamespaces: globalNamespaces && new Set(globalNamespaces),
      allowedTypes: allowedTypes && new Set(allowedTypes),
      interfaceNames,
      observer: {
        step: ({ kind, outcome, seconds }) => this.#steps.observe({ kind, outcome }, seconds),
        watchRestarted: (resource) => this.#restarts.inc({ resource }),
        healed: (outcome) => this.#healed.inc({ outcome }),
        eventLost: () => this.#lost.inc(),
        log: (level, message, fields) => log[level](fields, message),
      },
    });
    this.#cluster = new CachedCluster({
      client: this.#birthClient,
      node,
      pod: (namespace, name) => this.#controller.pod(namespace, name),
      globalNamespaces: globalNamespaces && new Set(globalNamespaces),
      lost: () => this.#lost.inc(),
      watchFailed: () => this.#restarts.inc({ resource: 'definitions' }),
    });
    const { namespace } = options;
    this.#files =
      namespace === undefined
        ? undefined
        : new WaymarkFiles({
            ...{ client: this.#client, namespace, pathOf },
            log: (level, message, fields) => log[level](fields, message),
            failed: () => this.#restarts.inc({ resource: 'configmaps' }),
          });
    const cluster = async () => this.#cluster;
    this.plugins = [multiNetworkWith({ cluster, through, slots: this.#controller.slots, mayPublishLater: true })];
  }

  status(): HotPlugStatus {
    const fileProblems = this.#files?.problems ?? [];
    return { ...this.#controller.status(), fileProblems, silentSince: this.#silentSince };
  }

  #report({ verb, code }: RequestReport): void {
    this.#requests.inc({ verb, code: String(code) });
    this.#silentSince = code === 0 ? (this.#silentSince ?? new Date().toISOString()) : undefined;
  }

  async #explain(rest: string) {
    return { type: 'application/json', body: JSON.stringify(await this.#controller.explain(decodeURIComponent(rest))) };
  }

  attached(plugin: string, pod: string): void {
    if (UPDATABLE.has(plugin)) this.#controller.attached(pod);
  }

  drifts({ pod, ifname, network }: Attachment, missing: readonly string[]): void {
    if (pod !== undefined) this.#controller.drifts(pod, ifname, network, missing);
  }

  register(registry: Registry): void {
    for (const outcome of HEAL_OUTCOMES) this.#healed.inc({ outcome }, 0);
    for (const metric of [this.#steps, this.#requests, this.#restarts, this.#healed, this.#lost])
      registry.registerMetric(metric as Counter);
    const controller = this.#controller;
    const gauge = (name: string, help: string, read: (status: ControllerStatus) => number) =>
      new Gauge({
        name,
        help,
        registers: [registry],
        collect() {
          this.set(read(controller.status()));
        },
      });
    gauge('waymark_hotplug_pending', 'Steps that failed and are tried again', ({ pending }) => pending.length);
    gauge('waymark_hotplug_pods_busy', 'Pods that the agent is working on', ({ busy }) => busy);
    gauge(
      'waymark_pods_watched',
      'Pods whose routes are put back when they are lost',
      (status) => status.podsWatched ?? 0,
    );
    gauge(
      'waymark_hotplug_plugins_waiting',
      'Plugins that wait for others to end',
      (status) => status.delegatesWaiting,
    );
  }

  start(): void {
    this.#controller.start();
    this.#files?.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#controller.stop(), this.#cluster.stop(), this.#files?.stop()]);
    this.#client.close();
    this.#birthClient.close();
  }
}

// In a container the node's files and plugins are those of process 1, which `hostPID` lets us see.
function nodeAsSeenFromHere(): Reached {
  if (isInMountsOfProcess1()) return { place: HERE };
  return { place: callerOf(1), through: '/proc/1/ns/mnt' };
}

function isInMountsOfProcess1(): boolean {
  try {
    return readlinkSync('/proc/1/ns/mnt') === readlinkSync('/proc/self/ns/mnt');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Error(`process 1 cannot be inspected (${code}): networks of running pods need hostPID and SYS_PTRACE`, {
      cause,
    });
  }
}

function counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
  return new Counter({ name, help, labelNames, registers: [] });
}
