import { CniCode, CniError } from './errors.ts';
import { isDeeperThan, isJsonObject, type JsonObject } from './json.ts';
import { nameProblem } from './names.ts';
import { parsePreviousResult } from './previous-result.ts';
import type { Result } from './result.ts';
import { summarize } from './summary.ts';
import { clip } from './text.ts';
import { VARIABLES, VERBS, type Verb } from './verbs.ts';
import { type CniVersion, IMPLIED_VERSION, isAtLeast, isSupported, SUPPORTED_VERSIONS } from './version.ts';

export type Variables = { readonly [name: string]: string | undefined };

/** A call as the runtime made it, read and checked, but for the keys of the plugin's own config. */
export type Request = {
  readonly verb: Verb;
  readonly containerID: string;
  /** The path of the pod's namespace; empty if there is none (any more). */
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS, as `K8S_POD_NAMESPACE` and others. */
  readonly args: { readonly [key: string]: string };
  /** The network config from stdin, as JSON. */
  readonly document: JsonObject;
  readonly network: string;
  readonly version: CniVersion;
  /** May the namespace be the host's own (CNI_NETNS_OVERRIDE)? */
  readonly allowOwnNamespace: boolean;
};

/** The config from stdin, as far as the spec defines it. */
type NetworkDocument = { document: JsonObject; network: string; version: CniVersion };

/** A config beyond this is a mistake or an attack; 10,000 routes with all their keys are a quarter of it. */
export const MAX_CONFIG_BYTES = 8 << 20;

/** No config of a CNI plugin is nested this deep; the recursion of every JSON library has its limits. */
const MAX_DEPTH = 64;

/** Throws CniError 4 that names every variable which is missing or malformed. */
export function checkVariables(verb: Verb, env: Variables): void {
  const problems = VARIABLES.flatMap(({ name, requiredBy, problem }) => {
    if (!requiredBy.includes(verb)) return [];
    const value = env[name];
    if (!value) return [`${name} is missing`];
    const what = problem?.(value);
    return what === undefined ? [] : [`${name}="${clip(value)}" ${what}`];
  });
  if (problems.length === 0) return;
  const { message, details } = summarize('', problems);
  throw new CniError(CniCode.invalidEnvironment, message, { details });
}

/** Reads stdin. Throws CniError 6 if it is no JSON object, 7 without a valid network name, 1 for a wrong version. */
export function parseNetworkDocument(stdin: Uint8Array): NetworkDocument {
  return readNetworkDocument(parseObject(stdin));
}

/** Reads a config that is an object already. Throws CniError 7 and 1. */
export function readNetworkDocument(document: JsonObject): NetworkDocument {
  const network = networkNameOf(document);
  const version = versionOf(document);
  return { document, network, version };
}

/** Throws CniError 1 if the version of the spec does not have the verb. */
export function checkVerb(verb: Verb, version: CniVersion): void {
  const { since } = VERBS[verb];
  if (isAtLeast(version, since)) return;
  const msg = `${verb} is not part of CNI ${version}, but of ${since} and later`;
  throw new CniError(CniCode.incompatibleVersion, msg);
}

/** The whole request, of variables that were checked and a document that was read. */
export function readRequest(verb: Verb, env: Variables, read: NetworkDocument): Request {
  const override = env.CNI_NETNS_OVERRIDE ?? '';
  return {
    verb,
    containerID: env.CNI_CONTAINERID ?? '',
    netns: env.CNI_NETNS ?? '',
    ifname: env.CNI_IFNAME ?? '',
    args: argsOf(env.CNI_ARGS ?? ''),
    ...read,
    allowOwnNamespace: override === '1' || override.toUpperCase() === 'TRUE',
  };
}

// `KEY=VALUE;KEY=VALUE`; a value may have further equals signs. What is not of this form is not ours to complain about:
// it may be meant for another plugin.
function argsOf(text: string): { readonly [key: string]: string } {
  const pairs = text.split(';').map((pair) => [pair, pair.indexOf('=')] as const);
  return Object.fromEntries(
    pairs.filter(([, at]) => at > 0).map(([pair, at]) => [pair.slice(0, at), pair.slice(at + 1)]),
  );
}

/** The result of the plugins before, or undefined if there is none. Throws CniError 7. */
export function previousResultOf(request: Request): Result | undefined {
  const document = request.document.prevResult;
  if (document === undefined || document === null) return undefined;
  return parsePreviousResult(document, request.version);
}

function parseObject(stdin: Uint8Array): JsonObject {
  if (stdin.length === 0) throw undecodable('stdin is empty; it must hold the network config');
  if (stdin.length > MAX_CONFIG_BYTES) throw undecodable(`the network config is larger than ${MAX_CONFIG_BYTES} bytes`);
  const value = parseJson(decodeText(stdin));
  if (!isJsonObject(value)) throw undecodable('the network config must be a JSON object');
  if (isDeeperThan(value, MAX_DEPTH)) {
    throw undecodable(`the network config is nested more than ${MAX_DEPTH} levels deep`);
  }
  return value;
}

function decodeText(bytes: Uint8Array): string {
  try {
    // A byte order mark is not JSON (RFC 8259, 8.1), so it is not skipped.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw undecodable('the network config is not valid UTF-8', cause);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw undecodable(`the network config is not valid JSON${reasonIn((cause as Error).message)}`, cause);
  }
}

// The parser quotes the text around an error, which may be a secret: what it says before that is repeated, with the one
// character that it did not expect.
function reasonIn(message: string): string {
  const reason = message.split(/, (?:\.\.\.)?"/, 1)[0] ?? '';
  return reason.includes('"') ? '' : `: ${reason}`;
}

function networkNameOf(document: JsonObject): string {
  const { name } = document;
  if (typeof name !== 'string' || name === '') {
    throw new CniError(CniCode.invalidConfig, 'name: the network config must have a name');
  }
  const problem = nameProblem(name);
  if (problem !== undefined) throw new CniError(CniCode.invalidConfig, `name: "${clip(name)}" ${problem}`);
  return name;
}

function versionOf(document: JsonObject): CniVersion {
  const version =
    document.cniVersion === undefined || document.cniVersion === '' ? IMPLIED_VERSION : document.cniVersion;
  if (typeof version !== 'string') throw undecodable('cniVersion: must be a string');
  if (isSupported(version)) return version;
  const which = `config is "${clip(version)}", plugin supports ${SUPPORTED_VERSIONS.join(', ')}`;
  throw new CniError(CniCode.incompatibleVersion, `incompatible CNI versions: ${which}`);
}

function undecodable(message: string, cause?: unknown): CniError {
  return new CniError(CniCode.decodingFailure, message, { cause });
}
