import { join } from 'node:path';
import { CniCode, CniError } from '../cni/errors.ts';
import type { Call } from '../cni/runner.ts';
import { FileError } from '../files/files.ts';
import { probeFolder } from '../files/probe.ts';
import type { Definition } from './definition.ts';
import { dataDirProblem } from './errors.ts';
import { openOwn } from './pod.ts';

/** Can this node serve an ADD now? Throws CniError 50 with the reason if not. */
export async function status<C>(definition: Definition<C>, { request, place }: Call): Promise<undefined> {
  const { config } = await definition.parseConfig(request.document, place.pathOf);
  try {
    openOwn(place).close();
    probeFolder(join(place.pathOf(config.dataDir), definition.name));
  } catch (error) {
    const message = error instanceof FileError ? dataDirProblem(error) : (error as Error).message;
    throw new CniError(CniCode.notAvailable, `this node cannot serve an ADD: ${message}`, { cause: error });
  }
}
