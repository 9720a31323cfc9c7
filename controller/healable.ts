import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { dataDirOf } from '../lib/cni/config.ts';
import type { PathOf } from '../lib/cni/place.ts';
import { DEFAULT_ROUTE } from '../lib/default-route/default-route.ts';
import type { HealedAttachment } from '../lib/plugin/heal.ts';
import type { OnConflict } from '../lib/plugin/reconcile.ts';
import { type Updatable, updatableTypes } from '../lib/plugin/update-list.ts';
import type { NetworkList } from '../lib/runtime/network.ts';
import { type Followed, keyOf } from './followed.ts';
import type { Looked } from './look.ts';

/** What is put back of an attachment when the pod loses it; `of` is its network's definition, if it has one. */
export type Healable = HealedAttachment & { readonly of: string | undefined };

/** The plugins of an attachment that are healed: those that do not say `off` in the list as it is wanted now. */
export function healableOf(
  { ifname, network: of }: Followed,
  list: NetworkList,
  updatable: Updatable,
  pathOf: PathOf,
): Healable[] {
  return updatableTypes(list, updatable).flatMap((type): Healable | [] => {
    const [first, ...others] = list.plugins.filter((plugin) => plugin.type === type);
    if (first === undefined || [first, ...others].some((plugin) => keyOf(plugin, 'reconcile') === 'off')) return [];
    const conflict = keyOf(first, 'onConflict');
    const isAgreed = others.every((other) => keyOf(other, 'onConflict') === conflict);
    const onConflict: OnConflict = isAgreed && (conflict === 'replace' || conflict === 'keep') ? conflict : 'fail';
    return { plugin: type, dataDir: pathOf(dataDirOf(first)), ifname, network: list.name, onConflict, of };
  });
}

/** The default routes that selections have asked for, in a pod. */
export function defaultRoutesOf({ containerID, observed }: Looked, dataDir: string): Healable[] {
  return observed.attachments.flatMap(({ ifname, network: of }): Healable | [] => {
    const isThere = existsSync(join(dataDir, DEFAULT_ROUTE, `${containerID}-${ifname}.json`));
    return isThere ? { plugin: DEFAULT_ROUTE, dataDir, ifname, network: undefined, onConflict: 'fail', of } : [];
  });
}
