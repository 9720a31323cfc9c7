import type { Facts } from './facts.ts';

/** How bad is it? A `problem` fails pods, or will; a `warning` makes them slow, or leaves something behind. */
export type Level = 'ok' | 'warning' | 'problem';

/** What a check found. What is not as it should be comes with what to do about it. */
export type Finding =
  | { readonly level: 'ok'; readonly text: string }
  | { readonly level: 'warning' | 'problem'; readonly text: string; readonly remedy: string };

export type Check = { readonly name: string; readonly findings: (facts: Facts) => readonly Finding[] };

export function ok(text: string): Finding {
  return { level: 'ok', text };
}

export function warning(text: string, remedy: string): Finding {
  return { level: 'warning', text, remedy };
}

export function problem(text: string, remedy: string): Finding {
  return { level: 'problem', text, remedy };
}

/** The findings that there are; else that all is well. */
export function orOk(findings: readonly (Finding | false | undefined)[], text: string): readonly Finding[] {
  const real = findings.filter((finding) => typeof finding === 'object');
  return real.length > 0 ? real : [ok(text)];
}

/** Some of many, in a line: `a, b and 37 more`. */
export function someOf(items: readonly string[], most = 3): string {
  const rest = items.length - most;
  return rest > 0 ? `${items.slice(0, most).join(', ')} and ${rest} more` : items.join(', ');
}
