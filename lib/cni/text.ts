/** What an error message shows of a value at most. */
export const MAX_SHOWN = 80;

/** A text as it stands between quotes in an error message: printable, on one line, cut if it is long. */
export function clip(text: string): string {
  return shorten(JSON.stringify(text).slice(1, -1));
}

/** A printable text, cut if it is long. */
export function shorten(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
