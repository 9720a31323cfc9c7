/** How far a word may be from a known one to count as a misspelling of it. */
const MISSPELLING_DISTANCE = 2;

/** Which of the known words does this one look like a misspelling of? undefined if of none. */
export function meantBy(word: string, known: readonly string[]): string | undefined {
  return known.find((other) => distance(word, other) <= MISSPELLING_DISTANCE);
}

/** The Levenshtein distance, upper and lower case being the same: how many edits lead from one to the other. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > MISSPELLING_DISTANCE) return MISSPELLING_DISTANCE + 1;
  const left = a.toLowerCase();
  const right = b.toLowerCase();
  let row = Array.from({ length: right.length + 1 }, (_, i) => i);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[right.length] ?? 0;
}
