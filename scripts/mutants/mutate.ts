import { blankOut } from './blank-out.ts';

// Small faults that a programmer could make, as replacements in a source's text.

/** One fault: `length` characters at `offset` become `text`. */
export type Mutant = {
  readonly offset: number;
  readonly length: number;
  readonly text: string;
};

type Operator = { readonly of: RegExp; readonly by: (match: RegExpExecArray) => string };

/** An operator of comparison or logic has a space on both sides (Biome, clang-format); what is in a type has not. */
const swapped = (from: string, to: string): Operator => ({
  of: new RegExp(`(?<= )${from.replace(/[|*+]/g, '\\$&')}(?= |$)`, 'gm'),
  by: () => to,
});

const COMMON: readonly Operator[] = [
  swapped('&&', '||'),
  swapped('||', '&&'),
  swapped('<', '<='),
  swapped('<=', '<'),
  swapped('>', '>='),
  swapped('>=', '>'),
  swapped('+', '-'),
  swapped('-', '+'),
  swapped('*', '/'),
  { of: /(?<=\bif )\((?=.*\) (?:[a-z{]))/g, by: () => '(false && ' },
  { of: /(?<=\bif )\((?=.*\) (?:[a-z{]))/g, by: () => '(true || ' },
  // Not what stands for an element that is always there: the compiler does not know that it is. Nor what a comparison
  // for sort() returns, or a function of C that has failed, of which the sign counts. Nor a wait of 20 ms or more, which
  // no test that looks at no clock can tell from one that is a millisecond longer.
  {
    of: /(?<![\w.]|\] \?\? |\? -?|\breturn -|_MS = (?=[2-9]\d|\d{3}))\d+(?![\w.])/g,
    by: ([number]) => String(Number(number) + 1),
  },
  { of: /(?<=[ (])!(?=[\w(])/g, by: () => '' },
  { of: /(?<=^ +)(?:await |\(void\))?[a-zA-Z][\w.?]*\([^\n]*\);$/gm, by: () => ';' },
  { of: /\bbreak;/g, by: () => 'continue;' },
  { of: /\bcontinue;/g, by: () => ';' },
];

const TYPESCRIPT: readonly Operator[] = [
  ...COMMON,
  swapped('===', '!=='),
  swapped('!==', '==='),
  { of: /(?<=[ (!])true\b/g, by: () => 'false' },
  { of: /(?<=[ (!])false\b/g, by: () => 'true' },
  { of: /(?<=^ +)throw [^\n]*;$/gm, by: () => ';' },
  { of: /\.some\(/g, by: () => '.every(' },
  { of: /\.every\(/g, by: () => '.some(' },
  { of: /\.filter\(/g, by: () => '.slice().filter((x) => true || x, ' },
];

const C: readonly Operator[] = [...COMMON, swapped('==', '!='), swapped('!=', '==')];

/** All mutants of a source, in the order of their places. */
export function mutantsOf(file: string, source: string): Mutant[] {
  const code = blankOut(source, file.endsWith('.c') ? 'c' : 'typescript');
  const operators = file.endsWith('.c') ? C : TYPESCRIPT;
  return operators
    .flatMap(({ of, by }) =>
      [...code.matchAll(of)].map((match) => ({ offset: match.index, length: match[0].length, text: by(match) })),
    )
    .filter(({ offset }) => !isDeclaration(lineAt(code, offset)))
    .sort((a, b) => a.offset - b.offset);
}

/** The source with the fault in it. */
export function withMutant(source: string, { offset, length, text }: Mutant): string {
  return source.slice(0, offset) + text + source.slice(offset + length);
}

function lineAt(text: string, offset: number): string {
  const end = text.indexOf('\n', offset);
  return text.slice(text.lastIndexOf('\n', offset - 1) + 1, end === -1 ? undefined : end);
}

// What the compiler alone looks at, and what is a name and no behaviour. The numbers in a #define are waits, as above, or those
// of system calls and options for headers that lack them, which the machine's own have.
function isDeclaration(line: string): boolean {
  return /^\s*(?:import|export \*|export type|type|interface|#include|#define|#error|_Static_assert)\b/.test(line);
}
