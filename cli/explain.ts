import { CniError } from '../lib/cni/errors.ts';
import { parsePreviousResult } from '../lib/cni/previous-result.ts';
import { checkVariables, parseNetworkDocument, type Request, readRequest, type Variables } from '../lib/cni/request.ts';
import { openPodNamespace } from '../lib/cni/runner.ts';
import { isSupported } from '../lib/cni/version.ts';
import { RouteSocket } from '../lib/netlink/socket.ts';
import { Observation } from '../lib/observation/observation.ts';
import { observationOfResult } from '../lib/observation/result-observation.ts';
import { type Explanation, explainAdd, outlineAdd, type PodView } from '../lib/plugin/explain.ts';
import { lazyHost } from '../lib/plugin/pod.ts';
import { type AttachmentInput, deriveConfig } from '../lib/runtime/derive.ts';
import { type NetworkList, type PluginConfig, readNetworkFile, readObject } from '../lib/runtime/network.ts';
import { type FamilyPlugin, PLUGINS } from '../plugins/index.ts';
import { attachmentOf, type CniOptions } from './cni.ts';

export type ExplainOptions = Pick<CniOptions, 'ifname'> & { netns?: string; prevResult?: string; json?: boolean };

/** What `waymark explain` says of a list: a part for each plugin, in the list's order. */
export type ListExplanation = { network: string; cniVersion: string; notes: string[]; plugins: PluginExplanation[] };

/**
 * What it says of one plugin. `reached` is false where one before it would fail, so that it would not be called; its
 * config is looked at all the same. One of ours without an explanation or an error runs other plugins.
 */
export type PluginExplanation = { type: string; ours: boolean; reached: boolean } & Partial<Explanation> & {
    error?: { code: number; msg: string; details?: string };
  };

/**
 * What ADD of every plugin of ours in a list would do: to the pod of a namespace, to the one that a previous result
 * tells of, or to whatever pod. Reads only. Throws RuntimeError for a file that is no list, and CniError 3, 4 or 8 for a
 * namespace that is none; what a plugin would refuse stands in its part.
 */
export async function explainList(
  file: string,
  options: ExplainOptions,
  env: Variables,
  family: readonly FamilyPlugin[] = PLUGINS,
): Promise<ListExplanation> {
  const list = readNetworkFile(file);
  const prevResult = options.prevResult === undefined ? undefined : readObject(options.prevResult);
  const attachment = attachmentOf(options.netns ?? sandboxIn(prevResult) ?? NO_NAMESPACE, options, env);
  const { cniVersion, name: network } = list;
  const host = lazyHost();
  const view = openView(list, attachment, options.netns !== undefined, prevResult);
  try {
    const pod = view.observed === undefined ? undefined : { observed: view.observed, host: host.observe };
    const plugins = await explainPlugins(family, list, attachment, prevResult, pod);
    return { network, cniVersion, notes: notesOn(plugins, options), plugins };
  } finally {
    view.close();
    host.close();
  }
}

/** Would a plugin of the list fail? */
export function wouldFail({ plugins }: ListExplanation): boolean {
  return plugins.some(({ error }) => error !== undefined);
}

/** The explanation for people to read. */
export function explanationLines({ network, notes, plugins }: ListExplanation): string[] {
  return [
    `network ${network}`,
    ...notes,
    ...plugins.flatMap((plugin, place) => {
      const title = `plugins[${place}] ${plugin.type}:`;
      return plugin.ours ? [title, ...linesOf(plugin).map((line) => `  ${line}`)] : [`${title} not ours, passed over`];
    }),
  ];
}

function linesOf(plugin: PluginExplanation): string[] {
  const { reached, error, warnings = [], waits = [], would = [], there = [], kept = [] } = plugin;
  if (plugin.would === undefined && error === undefined) return ['runs other plugins, which are not explained'];
  const lines = [
    ...warnings.map((text) => `warning: ${text}`),
    ...waits.map((text) => `would wait ${text}`),
    ...there.map((text) => `there already: ${text}`),
    ...kept.map((text) => `another route is there, and stays: ${text}`),
    ...would.map((text) => `would ${text}`),
  ];
  if (!reached) lines.unshift('would not be called, since one before it fails');
  if (error === undefined) return waits.length + would.length > 0 ? lines : [...lines, 'nothing to do'];
  const details = error.details?.split('\n').map((line) => `  ${line}`) ?? [];
  return [...lines, `error ${error.code}: ${error.msg}`, ...details];
}

/** In the place of a namespace's path where there is none. */
const NO_NAMESPACE = '/nonexistent';

// Each plugin is given what the one before it would answer, and finds the pod as that would leave it.
async function explainPlugins(
  family: readonly FamilyPlugin[],
  list: NetworkList,
  attachment: AttachmentInput,
  given: object | undefined,
  pod: PodView | undefined,
): Promise<PluginExplanation[]> {
  let prevResult = given;
  let view = pod;
  let reached = true;
  const parts: PluginExplanation[] = [];
  for (const plugin of list.plugins) {
    const { type } = plugin;
    const ours = family.find(({ name }) => name === type);
    const definition = ours?.definition;
    if (definition === undefined) {
      parts.push({ type, ours: ours !== undefined, reached });
      continue;
    }
    try {
      const request = addRequest(list, plugin, attachment, prevResult);
      if (view === undefined || !reached) {
        parts.push({ type, ours: true, reached, ...(await outlineAdd(definition, request)) });
        continue;
      }
      const { explanation, result, observed } = await explainAdd(definition, request, view);
      parts.push({ type, ours: true, reached, ...explanation });
      prevResult = result;
      view = { ...view, observed };
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      const { code, message: msg, details } = error;
      parts.push({ type, ours: true, reached, error: { code, msg, ...(details !== undefined && { details }) } });
      // Without a pod it is the configs that are looked at, each by itself.
      reached = view === undefined;
    }
  }
  return parts;
}

/** The request that the runtime would make of a plugin. Throws the CniError that the plugin would answer it with. */
function addRequest(
  list: NetworkList,
  plugin: PluginConfig,
  { containerID, netns, ifname, args, capabilityArgs }: AttachmentInput,
  prevResult: object | undefined,
): Request {
  const env = {
    CNI_CONTAINERID: containerID,
    CNI_NETNS: netns,
    CNI_IFNAME: ifname,
    CNI_ARGS: args.map(([key, value]) => `${key}=${value}`).join(';'),
    CNI_PATH: '/opt/cni/bin',
  };
  checkVariables('ADD', env);
  const document = deriveConfig(list, plugin, { prevResult, capabilityArgs });
  return readRequest('ADD', env, parseNetworkDocument(Buffer.from(JSON.stringify(document))));
}

function openView(
  list: NetworkList,
  { netns, ifname }: AttachmentInput,
  isReal: boolean,
  prevResult: object | undefined,
): { observed: Observation | undefined; close: () => void } {
  if (!isReal) return { observed: prevResult && thoughtPod(prevResult, list, ifname), close: () => {} };
  const namespace = openPodNamespace({ verb: 'ADD', netns, allowOwnNamespace: false });
  try {
    const socket = namespace && RouteSocket.open(namespace);
    return { observed: socket && Observation.of(socket), close: () => socket?.close() };
  } finally {
    namespace?.close();
  }
}

// undefined where the result, or the version of the list, is wrong: each plugin says so then.
function thoughtPod(prevResult: object, { cniVersion }: NetworkList, ifname: string): Observation | undefined {
  if (!isSupported(cniVersion)) return undefined;
  try {
    return observationOfResult(parsePreviousResult(prevResult, cniVersion), ifname);
  } catch (error) {
    if (error instanceof CniError) return undefined;
    throw error;
  }
}

function sandboxIn(prevResult: object | undefined): string | undefined {
  const { interfaces } = (prevResult ?? {}) as { interfaces?: unknown };
  const sandboxes = Array.isArray(interfaces)
    ? interfaces.map((entry) => (entry as { sandbox?: unknown })?.sandbox)
    : [];
  return sandboxes.find((sandbox): sandbox is string => typeof sandbox === 'string' && sandbox !== '');
}

function notesOn(explained: readonly PluginExplanation[], { netns, prevResult }: ExplainOptions): string[] {
  if (netns === undefined && prevResult === undefined) {
    return ['no pod is looked at, only the configs: see --netns and --prev-result'];
  }
  const [first] = explained;
  if (prevResult !== undefined || first === undefined || first.ours) return [];
  return [`what ${first.type} would answer is not known, nor its gateways: see --prev-result`];
}
