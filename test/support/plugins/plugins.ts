import type { Plugin } from '../../../lib/cni/runner.ts';
import { PLUGINS as FAMILY } from '../../../plugins/index.ts';
import { FOREIGN } from './call.ts';
import type { Conformance } from './conformance.ts';

export type PluginUnderTest = Conformance & { readonly name: string; readonly plugin: Plugin };

/** Every plugin of the family, unless a test that starts this one has named those that are to be tested. */
export const PLUGINS: readonly PluginUnderTest[] = await Promise.all(
  FAMILY.filter(({ name }) => FOREIGN?.plugins.includes(name) ?? true).map(async (plugin) => ({
    name: plugin.name,
    plugin,
    ...(await conformanceOf(plugin.name)),
  })),
);

async function conformanceOf(name: string): Promise<Conformance> {
  const module: { conformance: Conformance } = await import(`../../plugins/${name}/conformance.ts`);
  return module.conformance;
}
