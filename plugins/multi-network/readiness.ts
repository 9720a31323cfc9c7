import { existsSync } from 'node:fs';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import type { Call } from '../../lib/cni/runner.ts';
import { waitingOf } from '../../lib/plugin/waiting.ts';

/** As long as Multus waits. */
const READY_SECONDS = 45;

/** Waits until the cluster's network has written the file by which it says that it is ready. Throws CniError 11. */
export async function isReady(file: string | undefined, call: Call): Promise<void> {
  if (!file) return;
  const path = call.place.pathOf(file);
  const began = performance.now();
  while (!existsSync(path)) {
    if (performance.now() - began > READY_SECONDS * 1000) {
      const message = `readinessindicatorfile: ${file} does not exist; waited ${READY_SECONDS} s for the cluster's network`;
      throw new CniError(CniCode.tryAgainLater, message);
    }
    await waitingOf(call).pause(began);
  }
}
