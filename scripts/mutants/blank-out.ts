// Where code is, and where only text: comments, strings and regular expressions become blanks of the same length.

const CANNOT_END_A_VALUE = /(?:[=(,:;!&|?{}[+\-*%<>~^]|\b(?:return|typeof|case|in|of|void))\s*$/;

/** The source with blanks where there is no code; the places of what remains are the same. */
export function blankOut(source: string, language: 'typescript' | 'c'): string {
  let code = '';
  let at = 0;
  while (at < source.length) {
    const end = endOfText(source, at, code, language);
    if (end === at) {
      code += source[at];
      at += 1;
    } else {
      code += source.slice(at, end).replace(/[^\n]/g, ' ');
      at = end;
    }
  }
  return code;
}

// The end of the comment, string or regular expression that begins here; the same place if none does.
function endOfText(source: string, at: number, before: string, language: 'typescript' | 'c'): number {
  const rest = source.slice(at, at + 2);
  if (rest === '//') return orEnd(source, source.indexOf('\n', at));
  if (rest === '/*') return orEnd(source, source.indexOf('*/', at) + 2);
  if (rest[0] === "'" || rest[0] === '"') return endOfQuoted(source, at);
  if (language === 'c') return at;
  if (rest[0] === '`') return endOfTemplate(source, at);
  if (rest[0] === '/' && CANNOT_END_A_VALUE.test(before.slice(-80))) return endOfExpression(source, at);
  return at;
}

const orEnd = (source: string, end: number) => (end < 2 ? source.length : end);

function endOfQuoted(source: string, start: number): number {
  let at = start + 1;
  while (at < source.length && source[at] !== source[start]) at += source[at] === '\\' ? 2 : 1;
  return at + 1;
}

function endOfExpression(source: string, start: number): number {
  let at = start + 1;
  let inClass = false;
  for (; at < source.length && (source[at] !== '/' || inClass); at += 1) {
    if (source[at] === '\\') at += 1;
    else if (source[at] === '[') inClass = true;
    else if (source[at] === ']') inClass = false;
  }
  return at + 1;
}

// With all that is in its braces.
function endOfTemplate(source: string, start: number): number {
  let at = start + 1;
  while (at < source.length && source[at] !== '`') {
    if (source[at] === '\\') at += 2;
    else if (source.startsWith('${', at)) at = endOfBraces(source, at + 2);
    else at += 1;
  }
  return at + 1;
}

function endOfBraces(source: string, start: number): number {
  let at = start;
  for (let depth = 1; at < source.length; at += 1) {
    if (source[at] === '`') at = endOfTemplate(source, at) - 1;
    else if (source[at] === "'" || source[at] === '"') at = endOfQuoted(source, at) - 1;
    else if (source[at] === '{') depth += 1;
    else if (source[at] === '}') depth -= 1;
    if (depth === 0) return at + 1;
  }
  return at;
}
