import { readlinkSync } from 'node:fs';
import { isBuildingSnapshot } from '../native/snapshot.ts';

let known: string | undefined;

/**
 * The PID namespace of this process, which is written into journals: whoever is in the same one sees every process that
 * can be in the pod. Empty if it cannot be read.
 */
export function writer(): string {
  // A start-up snapshot must not have the one that it is taken in.
  if (isBuildingSnapshot()) return '';
  known ??= readOwn();
  return known;
}

function readOwn(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}
