import { dirname } from 'node:path';

// A sample that is spread over the folders, and the same for the same seed.

/** Numbers in [0, 1) that follow from the seed (mulberry32, public domain). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The items in a random order in which the folders take turns. */
export function inTurns<T extends { readonly file: string }>(items: readonly T[], random: () => number): T[] {
  const folders = [...Map.groupBy(items, ({ file }) => dirname(file)).values()].map((folder) =>
    shuffled(folder, random),
  );
  const rounds = Math.max(0, ...folders.map(({ length }) => length));
  const order = shuffled(folders, random);
  return Array.from({ length: rounds }, (_, round) => order.flatMap((folder) => folder.slice(round, round + 1))).flat();
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}
