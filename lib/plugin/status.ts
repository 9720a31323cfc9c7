import { join } from 'node:path';
import { CniCode, CniError } from '../cni/errors.ts';
import type { Call } from '../cni/runner.ts';
import { probeFolder } from '../files/probe.ts';
import type { Definition } from './definition.ts';
import { openOwn } from './pod.ts';

/** Can this node serve an ADD now? Throws CniError 50 with the reason if not. */
export async function status<C>(definition: Definition<C>, { request, place }: Call): Promise<undefined> {
  const { config } = await definition.parseConfig(request.document, place.pathOf);
  try {
    openOwn(place).close();
    probeFolder(join(place.pathOf(config.dataDir), definition.name));
  } catch (error) {
    const { message } = error as Error;
    throw new CniError(CniCode.notAvailable, `this node cannot serve an ADD: ${message}`, { cause: error });
  }
}
