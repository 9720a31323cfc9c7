import { dataDirOf } from '../../lib/cni/config.ts';
import type { Call, Plugin } from '../../lib/cni/runner.ts';
import { readBySchema } from '../../lib/cni/schema.ts';
import { locked } from '../../lib/plugin/lock.ts';
import { VERSION } from '../../lib/version.ts';
import { add } from './add.ts';
import type { Work } from './attach.ts';
import { cniDirOf, multiNetworkKeys, parseMultiNetworkConfig } from './config.ts';
import { del } from './del.ts';
import { Delegation } from './delegation.ts';
import { translated } from './errors.ts';
import { ALONE, type Services } from './services.ts';
import { check, collectGarbage, status } from './upkeep.ts';

const NAME = 'multi-network';

/** Gives a pod all of its networks, by running other plugins. See README.md beside this file. */
export function multiNetworkWith(
  services: Services,
): Plugin & { readonly parseConfig: typeof parseMultiNetworkConfig } {
  const alone = <T>(call: Call, work: (hasLock: boolean) => Promise<T>) =>
    locked(NAME, call.place.pathOf(dataDirOf(call.request.document)), call, work);
  return {
    name: NAME,
    version: VERSION,
    runsOthers: true,
    parseConfig: parseMultiNetworkConfig,
    handlers: {
      ADD: (call) =>
        translated(async () => {
          // A config that is wrong must not leave a folder for its lock.
          const work = workOf(call, services);
          return alone(call, () => add(work));
        }),
      DEL: (call) =>
        translated(() =>
          alone(call, (hasLock) => del({ call, services, delegation: delegationOf(call, services) }, hasLock)),
        ),
      CHECK: (call) => translated(() => checkUnlessSkipped(call, services)),
      GC: (call) => translated(() => collectGarbage(workOf(call, services))),
      STATUS: (call) => translated(() => status(workOf(call, services))),
    },
  };
}

/** The plugin in a process of its own. */
export const multiNetwork: ReturnType<typeof multiNetworkWith> = multiNetworkWith(ALONE);

async function checkUnlessSkipped(call: Call, services: Services): Promise<undefined> {
  const work = workOf(call, services);
  if (!work.config.skipcheck) await check(work);
}

function workOf(call: Call, services: Services): Work & { config: { skipcheck: boolean } } {
  const { config, warnings } = parseMultiNetworkConfig(call.request.document);
  for (const warning of warnings) call.log.warn(warning);
  return { call, config, services, delegation: new Delegation(call, config, services) };
}

// DEL cleans up after a config that is wrong, too.
function delegationOf(call: Call, services: Services): Delegation {
  const { document } = call.request;
  const binDir = readBySchema(multiNetworkKeys.binDir, document.binDir).value ?? '/opt/cni/bin';
  return new Delegation(call, { binDir, cniDir: cniDirOf(document) }, services);
}
