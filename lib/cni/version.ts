/** The versions of the CNI spec that every plugin speaks, oldest first. */
export const SUPPORTED_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];

/** The version that answers have when none was asked for, and that our own structures follow. */
export const CURRENT_VERSION = '1.1.0' satisfies CniVersion;

/** A config without a version means this one (libcni, pkg/version). */
export const IMPLIED_VERSION = '0.1.0' satisfies CniVersion;

export function isSupported(version: string): version is CniVersion {
  return (SUPPORTED_VERSIONS as readonly string[]).includes(version);
}

/** Is `version` the same as `lowest` or later? */
export function isAtLeast(version: CniVersion, lowest: CniVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(lowest);
}

/**
 * Numeric comparison of any two versions, those that we do not support included: below, at or above 0. A part that is
 * missing counts as 0. undefined if one of them is not a version.
 */
export function compareVersions(a: string, b: string): number | undefined {
  const left = partsOf(a);
  const right = partsOf(b);
  if (left === undefined || right === undefined) return undefined;
  const difference = [0, 1, 2].map((i) => (left[i] ?? 0) - (right[i] ?? 0)).find((part) => part !== 0);
  return difference ?? 0;
}

function partsOf(version: string): number[] | undefined {
  return /^[0-9]{1,9}(\.[0-9]{1,9}){0,2}$/.test(version) ? version.split('.').map(Number) : undefined;
}
