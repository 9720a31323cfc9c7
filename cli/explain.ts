import { CniError, UnreadableFile } from '../lib/cni/errors.ts';
import { checkVariables, parseNetworkDocument, type Request, readRequest, type Variables } from '../lib/cni/request.ts';
import { meantBy } from '../lib/cni/spelling.ts';
import { type Explanation, explainAdd, outlineAdd, type PodView } from '../lib/plugin/explain.ts';
import { lazyHost } from '../lib/plugin/pod.ts';
import { type AttachmentInput, deriveConfig } from '../lib/runtime/derive.ts';
import { type NetworkList, type PluginConfig, readNetworkFile } from '../lib/runtime/network.ts';
import { type FamilyPlugin, PLUGINS } from '../plugins/index.ts';
import { openExplainedPod, type PodOptions } from './explained-pod.ts';

/** `isElsewhere` says that the list is for another machine: files that a config names are not looked for on this one. */
export type ExplainOptions = PodOptions & { json?: boolean; isElsewhere?: boolean };

/** What `waymark explain` says of a list: a part for each plugin, in the list's order. */
export type ListExplanation = { network: string; cniVersion: string; notes: string[]; plugins: PluginExplanation[] };

/**
 * What it says of one plugin. `reached` is false where one before it would fail, so that it would not be called; its
 * config is looked at all the same. `meant` is the plugin of ours whose name was misspelt. One of ours without an
 * explanation or an error runs other plugins.
 */
export type PluginExplanation = {
  type: string;
  ours: boolean;
  reached: boolean;
  meant?: string;
} & Partial<Explanation> & {
    error?: PluginError;
  };

type PluginError = { code: number; msg: string; details?: string };

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
  const { cniVersion, name: network } = list;
  const host = lazyHost();
  const pod = openExplainedPod(list, options, env, (type) => family.some(({ name }) => name === type));
  const { attachment, prevResult, observed, notes } = pod;
  const isElsewhere = options.isElsewhere === true;
  try {
    const view = observed && { observed, host: host.observe };
    const plugins = await explainPlugins({ family, list, attachment, isElsewhere }, prevResult, view);
    return { network, cniVersion, notes, plugins };
  } finally {
    pod.close();
    host.close();
  }
}

/**
 * What is wrong with the configs of a list for every pod, a line for each plugin that would fail. Files that a config
 * names are not looked for: they are on another machine, or come later. Throws RuntimeError for a file that is no list.
 */
export async function listProblems(file: string): Promise<string[]> {
  const { plugins } = await explainList(file, { isElsewhere: true }, {});
  return plugins.flatMap(({ type, error }, place) => {
    if (error === undefined) return [];
    return [`plugins[${place}] ${type}: error ${error.code}: ${error.msg}`];
  });
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
      if (plugin.ours) return [title, ...linesOf(plugin).map((line) => `  ${line}`)];
      const hint = plugin.meant === undefined ? '' : `; did you mean "${plugin.meant}"?`;
      return [`${title} not ours, passed over${hint}`];
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

type Explained = {
  readonly family: readonly FamilyPlugin[];
  readonly list: NetworkList;
  readonly attachment: AttachmentInput;
  readonly isElsewhere: boolean;
};

// Each plugin is given what the one before it would answer, and finds the pod as that would leave it.
async function explainPlugins(
  { family, list, attachment, isElsewhere }: Explained,
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
      const meant =
        ours === undefined
          ? meantBy(
              type,
              family.map(({ name }) => name),
            )
          : undefined;
      parts.push({ type, ours: ours !== undefined, reached, ...(meant !== undefined && { meant }) });
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
      if (isElsewhere && error instanceof UnreadableFile) {
        parts.push({ type, ours: true, reached });
        continue;
      }
      parts.push({ type, ours: true, reached, error: errorOf(error) });
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

function errorOf(error: CniError): PluginError {
  const { code, message: msg, details } = error;
  return { code, msg, ...(details !== undefined && { details }) };
}
