/** An error message beyond this is not read; an event of Kubernetes holds 1,024 bytes. */
export const MAX_MESSAGE = 300;

/** A document of nonsense is not answered with another one as long. */
const MAX_LINES = 50;

/** `msg` and `details` of an error. */
export type Summary = { readonly message: string; readonly details: string | undefined };

/**
 * Sums up problems for people: `message` is one line with as many of them as fit, the first in any case, and the number
 * of the others, which the log has. `details` has every problem on a line of its own (of more than 50 the first 50, and the number of the
 * others); a single problem needs none, since the message says it.
 */
export function summarize(about: string, problems: readonly string[]): Summary {
  if (problems.length === 1) return { message: about + problems[0], details: undefined };
  const rest = (shown: number) => (shown < problems.length ? `; and ${problems.length - shown} more, see the log` : '');
  let shown = 1;
  let message = about + problems[0];
  for (const problem of problems.slice(1)) {
    const longer = `${message}; ${problem}`;
    if (longer.length + rest(shown + 1).length > MAX_MESSAGE) break;
    message = longer;
    shown++;
  }
  const lines = problems.slice(0, MAX_LINES);
  if (problems.length > MAX_LINES) lines.push(`and ${problems.length - MAX_LINES} more`);
  return { message: message + rest(shown), details: lines.join('\n') };
}
