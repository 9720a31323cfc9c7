import type { CommonConfig, ParsedConfig } from '../cni/config.ts';
import type { JsonObject } from '../cni/json.ts';
import type { PathOf } from '../cni/place.ts';
import { previousResultOf, type Request } from '../cni/request.ts';
import type { Call } from '../cni/runner.ts';
import type { RouteSocket } from '../netlink/socket.ts';
import type { Observation } from '../observation/observation.ts';
import type { Plan, PlanInput } from './plan.ts';
import type { Waiting } from './waiting.ts';

/** What makes a plugin: how it reads its config, and the pure function from that and the observation to a plan. */
export type Definition<C> = {
  readonly name: string;
  readonly version: string;
  /** Reads the config, and the files that it names, at the place of the caller. Throws CniError 7. */
  parseConfig(document: JsonObject, pathOf?: PathOf): ParsedConfig<C> | Promise<ParsedConfig<C>>;
  plan(input: PlanInput<C>): Plan;
  /** How many seconds ADD may wait for what the plan misses (NotYet), by `waitSeconds`; 0 unless it is given. */
  patience?(config: C): number;
  /** What ADD makes sure of before it changes anything. Throws CniError, and what `waiting` does. */
  verify?(input: PlanInput<C>, plan: Plan, socket: RouteSocket, waiting: Waiting): Promise<void>;
  /** What `verify` makes sure of, as lines: `make sure that …`. */
  describeVerify?(input: PlanInput<C>, plan: Plan): string[];
  /**
   * What the config says about an ADD, whichever the pod, as lines: `add route …`. Throws CniError 7 for what is wrong in it
   * for every pod, and shows only in the plan.
   */
  outline(config: C & CommonConfig, request: Request): string[];
  /** Keys that shape every change of the plugin, such as the interface that they are made on. */
  readonly shapedBy?: readonly string[];
  /**
   * An update can bring its changes to a running attachment (update.ts), as it cannot with a name that applications know.
   * These keys of `args.cni` concern nothing else.
   */
  readonly updatedBy?: readonly string[];
  /** Keys of the config that name files of the node, which say what is wanted too. */
  readonly fileKeys?: readonly string[];
  /**
   * What of the node's own namespace the plan with a config depends on, as a text; undefined if it depends on nothing there, or
   * on what is not there now.
   */
  readonly nodeState?: (document: JsonObject, host: Observation) => string | undefined;
  /** Keys of the config for a rehearsal (cli/rehearsal.ts): with them, ADD does what it usually does. */
  readonly rehearsal: object;
};

/** The config and the previous result of a call; warnings go to the log. Throws CniError 7. */
export async function readConfig<C>(definition: Definition<C>, call: Call) {
  return { config: await readOwnConfig(definition, call), previous: previousResultOf(call.request) };
}

/** The same without the previous result. */
export async function readOwnConfig<C>(definition: Definition<C>, { request, log, place }: Call) {
  const { config, warnings } = await definition.parseConfig(request.document, place.pathOf);
  for (const warning of warnings) log.warn(warning);
  return config;
}

/** The answer to a call with `--noop`: what it would have done. */
export function noopDocument<C>({ name }: Definition<C>, { verb, version }: Request, changes: string[]): object {
  return { cniVersion: version, plugin: name, command: verb, changes };
}
