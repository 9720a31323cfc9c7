/** Container ids and network names: one rule for both (libcni, pkg/utils). They become parts of file names. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** A file name has at most 255 bytes; ours is the container id, the interface name and what stands around them. */
const MAX_NAME_BYTES = 220;

/** IFNAMSIZ without the final NUL (linux/if.h). */
const MAX_INTERFACE_BYTES = 15;

/** The characters that Unicode calls White_Space, as Go's unicode.IsSpace; compiling the property takes a third of a millisecond. */
const SPACE = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const FORBIDDEN = new RegExp(`[/:${SPACE}\\0]`);

/** What is wrong with this container id or network name? undefined if nothing is. */
export function nameProblem(name: string): string | undefined {
  if (!NAME.test(name)) return 'may hold letters, digits, "_", "." and "-" only, and starts with a letter or digit';
  if (name.length > MAX_NAME_BYTES) return `is longer than ${MAX_NAME_BYTES} characters`;
  return undefined;
}

/** What is wrong with this interface name? undefined if nothing is. The rules are the kernel's (dev_valid_name). */
export function interfaceNameProblem(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (Buffer.byteLength(name) > MAX_INTERFACE_BYTES) return `is longer than ${MAX_INTERFACE_BYTES} bytes`;
  if (name === '.' || name === '..') return 'is "." or ".."';
  if (FORBIDDEN.test(name)) return 'contains "/", ":", white space or NUL';
  return undefined;
}
