import { constants, readFileSync } from 'node:fs';
import * as z from 'zod/mini';

import { familyOf } from '../../lib/address/address.ts';
import type { Prefix } from '../../lib/address/prefix.ts';
import { UnreadableFile } from '../../lib/cni/errors.ts';
import { HERE, type PathOf } from '../../lib/cni/place.ts';
import { address, configError, hostBitsProblem, prefix, readBySchema } from '../../lib/cni/schema.ts';
import { reasonOf } from '../../lib/files/reason.ts';

/**
 * A map of subnets and their gateways, by vrf, as ddsnet4u has it: `vrf.<name>.subnets.<cidr>.gw`. Keys that it does not
 * know are left alone: the file is its own.
 */
const document = z.looseObject({
  vrf: z.record(z.string(), z.looseObject({ subnets: z.record(z.string(), z.looseObject({ gw: address })) })),
});

/** One subnet of a vrf, and the gateway that leads from it to the others. */
export type Subnet = Prefix & { readonly vrf: string; readonly gw: string };

/** Every subnet of every vrf, in the order of the map. */
export type Topology = readonly Subnet[];

/** The key of a config that holds a map. */
export const topologyKey = z.pipe(
  document,
  z.transform((map, context): Topology => {
    const { subnets, problems } = readMap(map);
    for (const { path, message } of problems) context.issues.push({ code: 'custom', message, path, input: map });
    return subnets;
  }),
);

/**
 * Reads a map from a file, YAML (with comments and all) or JSON. `path` is where the config names it, for errors. Throws
 * CniError 7 that names the file and every problem.
 */
export async function readTopologyFile(file: string, pathOf: PathOf = HERE.pathOf): Promise<Topology> {
  const text = readText(file, pathOf);
  if (last?.file === file && last.text === text) return last.topology;
  const read = readBySchema(topologyKey, await parseFile(file, text));
  if (read.value === undefined) throw configError(`invalid topology in ${file}`, read.problems);
  last = { file, text, topology: read.value };
  return read.value;
}

// An edit of a large map reaches every pod of a node, and it takes a second to parse.
let last: { readonly file: string; readonly text: string; readonly topology: Topology } | undefined;

async function parseFile(file: string, text: string): Promise<unknown> {
  try {
    if (file.endsWith('.json')) return JSON.parse(text);
    return await parseYaml(text);
  } catch (error) {
    // The parsers quote the file in their messages; the first line says what is wrong and where.
    const message = (error as Error).message.split('\n', 1)[0] ?? '';
    throw configError('the topology cannot be read', [{ path: file, message }]);
  }
}

async function parseYaml(text: string): Promise<unknown> {
  // Loaded only for those who have such a file: it takes as long as the rest of a call.
  const { isScalar, LineCounter, parseDocument, visit } = await import('yaml');
  const lineCounter = new LineCounter();
  // The parser compares each key with all of those before it, which for 10,000 subnets takes longer than all the rest.
  const parsed = parseDocument(text, { uniqueKeys: false, lineCounter });
  const [problem] = parsed.errors;
  if (problem !== undefined) throw problem;
  visit(parsed, {
    Map: (_, { items }) => {
      const keys = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (keys.has(key.value)) {
          const { line, col } = lineCounter.linePos(key.range?.[0] ?? 0);
          throw new Error(`Map keys must be unique at line ${line}, column ${col}`);
        }
        keys.add(key.value);
      }
    },
  });
  return parsed.toJS();
}

function readText(file: string, pathOf: PathOf): string {
  try {
    // Not blocking, so that a FIFO in the place of a file is an error instead of waited for.
    const flag = constants.O_RDONLY | constants.O_NONBLOCK;
    return readFileSync(pathOf(file), { flag: flag as unknown as string }).toString();
  } catch (error) {
    throw new UnreadableFile(`the topology cannot be read: ${file}: ${reasonOf(error)}`, error);
  }
}

type MapProblem = { path: string[]; message: string };

function readMap({ vrf }: z.output<typeof document>): { subnets: Subnet[]; problems: MapProblem[] } {
  const problems: MapProblem[] = [];
  const subnets = Object.entries(vrf).flatMap(([name, { subnets: map }]) =>
    Object.entries(map).flatMap(([cidr, { gw }]) => {
      const path = ['vrf', name, 'subnets', cidr];
      const read = readBySchema(prefix, cidr);
      if (read.value === undefined) {
        problems.push(...read.problems.map(({ message }) => ({ path, message })));
        return [];
      }
      const problem = subnetProblem(read.value, gw);
      if (problem !== undefined) problems.push({ path, message: problem });
      return [{ ...read.value, vrf: name, gw }];
    }),
  );
  return { subnets, problems };
}

function subnetProblem(subnet: Prefix, gw: string): string | undefined {
  const isOfFamily = familyOf(gw) === subnet.family;
  return hostBitsProblem(subnet) ?? (isOfFamily ? undefined : `its gateway ${gw} is of another family`);
}
