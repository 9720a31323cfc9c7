import * as z from 'zod/mini';
import { AddressError, canonicalAddress } from '../address/address.ts';
import { formatPrefix, hasHostBits, networkOf, type Prefix, parsePrefix } from '../address/prefix.ts';
import { CniCode, CniError } from './errors.ts';
import { interfaceNameProblem } from './names.ts';
import { summarize } from './summary.ts';
import { clip, MAX_SHOWN } from './text.ts';

// The pieces that the schemas of configs and results are put together from. zod's small variant is used throughout:
// it loads in a tenth of the time, and its schemas give JSON Schema all the same.

/** An IPv4 or IPv6 address, as canonical text. */
export const address = textAs(canonicalAddress);

/** An address with a prefix length, which keeps its host bits. */
export const prefix = textAs(parsePrefix);

/** An address, or this word in its place. (A union of both would be tried for every one of many routes.) */
export function addressOr<W extends string>(word: W) {
  return textAs((text) => (text === word ? word : canonicalAddress(text)));
}

/** An address with a prefix length, or this word in its place. */
export function prefixOr<W extends string>(word: W) {
  return textAs((text) => (text === word ? word : parsePrefix(text)));
}

/** What is wrong with a destination that has bits set beyond its prefix length? undefined if it has none. */
export function hostBitsProblem(wanted: Prefix): string | undefined {
  if (!hasHostBits(wanted)) return undefined;
  return `has bits set beyond its prefix length; the network is ${formatPrefix(networkOf(wanted))}`;
}

/** The name of a link. */
export const interfaceName = z.string().check((context) => {
  const problem = interfaceNameProblem(context.value);
  if (problem !== undefined) context.issues.push({ code: 'custom', message: problem, input: context.value });
});

/** A whole number within bounds, both included. */
export function integer(lowest: number, highest: number) {
  const error = `a whole number from ${lowest} to ${highest} is needed`;
  return z.int({ error, abort: true }).check(z.minimum(lowest, { error }), z.maximum(highest, { error }));
}

/** An absolute path without `..`. */
export const absolutePath = z.string().check((context) => {
  const path = context.value;
  const problem = !path.startsWith('/')
    ? 'must be an absolute path'
    : path.split('/').includes('..') || path.includes('\0')
      ? 'must not contain ".." or NUL'
      : undefined;
  if (problem !== undefined) context.issues.push({ code: 'custom', message: problem, input: path });
});

/** One thing that is wrong with a document: where, as `routes[0].dst`, and what. */
export type Problem = { path: string; message: string };

/**
 * Reads a value by a schema, or says everything that is wrong with it. `base` is where the value stands in its
 * document.
 */
export function readBySchema<T extends z.ZodMiniType>(
  schema: T,
  value: unknown,
  base: PropertyKey[] = [],
): { value: z.output<T>; problems: [] } | { value: undefined; problems: Problem[] } {
  const parsed = compiled(schema).safeParse(value, { error: explain });
  if (parsed.success) return { value: parsed.data, problems: [] };
  return { value: undefined, problems: parsed.error.issues.flatMap((issue) => problemsOf(issue, base)) };
}

type Compile = (schema: z.ZodMiniType) => z.ZodMiniType;

let compile: Compile | undefined;

/** The schemas that were used, and what the compiler has made of those that were used again. */
const used = new WeakMap<z.ZodMiniType, z.ZodMiniType | undefined>();

/**
 * Has schemas compiled that are used again, by zod's compiler: reading by one takes a third of the time then. Compiling it
 * takes as long as a hundred uses, and the compiler is large, so a process that makes one call does without both, unless they
 * are in the snapshot that it starts from.
 */
export function compileSchemas(by: Compile): void {
  compile = by;
}

function compiled<T extends z.ZodMiniType>(schema: T): T {
  if (compile === undefined) return schema;
  if (!used.has(schema)) used.set(schema, undefined);
  else if (used.get(schema) === undefined) used.set(schema, compile(schema));
  // What is made of a schema has its type.
  return (used.get(schema) as T | undefined) ?? schema;
}

/** The error for a config or `prevResult` with problems, each with its path. */
export function configError(about: string, problems: readonly Problem[]): CniError {
  const lines = problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  const { message, details } = summarize(`${about}: `, lines);
  return new CniError(CniCode.invalidConfig, message, { details });
}

/** The path of an issue in the notation of JavaScript, cut where it becomes silly. */
export function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    const name = clip(String(key));
    return text === '' ? name : `${text}.${name}`;
  }, '');
}

type Issue = z.core.$ZodIssue;

function problemsOf(issue: Issue, base: PropertyKey[]): Problem[] {
  const path = [...base, ...issue.path];
  // If no branch of a union matches, report the problems of the last one, which is the most general.
  if (issue.code === 'invalid_union') return (issue.errors.at(-1) ?? []).flatMap((inner) => problemsOf(inner, path));
  if (issue.code !== 'unrecognized_keys') return [{ path: pathText(path), message: issue.message }];
  return issue.keys.map((key) => ({ path: pathText([...path, key]), message: 'is not a known key' }));
}

// What zod would say in its own words is said in ours; the messages of our own checks stay.
function explain(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type') {
    if (issue.input === undefined) return 'is missing';
    return `must be ${article(String(issue.expected))}, not ${article(kindOf(issue.input))}`;
  }
  if (issue.code === 'invalid_value')
    return `must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
  return undefined;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function article(kind: string): string {
  if (kind === 'null') return kind;
  return /^[aeiou]/.test(kind) ? `an ${kind}` : `a ${kind}`;
}

// A text that `read` turns into something, or throws AddressError for.
function textAs<T>(read: (text: string) => T) {
  return z.pipe(
    z.string(),
    z.transform((text, context) => {
      try {
        return read(text);
      } catch (error) {
        if (!(error instanceof AddressError)) throw error;
        context.issues.push({ code: 'custom', message: messageOf(error, text), input: text });
        return z.NEVER;
      }
    }),
  );
}

function messageOf(error: AddressError, text: string): string {
  return text.length > MAX_SHOWN ? `"${clip(text)}" is not valid` : error.message;
}
