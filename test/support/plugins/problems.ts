/**
 * The problems that an error reports, one a line: those of its details; or, where there is a single one, what its message
 * says behind what it is about ("invalid network config: …").
 */
export function problemsIn(
  error: { msg?: string; message?: string; details?: string | undefined } | undefined,
): string[] {
  const text = error?.msg ?? error?.message ?? '';
  return error?.details?.split('\n') ?? [text.slice(text.indexOf(': ') + 2)];
}
