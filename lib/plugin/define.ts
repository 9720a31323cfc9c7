import type { Plugin } from '../cni/runner.ts';
import { add } from './add.ts';
import { check } from './check.ts';
import type { Definition } from './definition.ts';
import { del } from './del.ts';
import { translated } from './errors.ts';
import { collectGarbage } from './gc.ts';
import { withPod } from './pod.ts';
import { status } from './status.ts';

/** The plugin with every verb, each a walk over plan, journal and transaction. */
export function definePlugin<C>(definition: Definition<C>): Plugin & { readonly definition: Definition<C> } {
  return {
    name: definition.name,
    version: definition.version,
    definition,
    handlers: {
      ADD: (call) => translated(() => withPod(call, (pod) => add(definition, call, pod))),
      CHECK: (call) => translated(() => withPod(call, (pod) => check(definition, call, pod))),
      DEL: (call) => translated(() => del(definition, call)),
      GC: (call) => translated(() => collectGarbage(definition, call)),
      STATUS: (call) => translated(() => status(definition, call)),
    },
  };
}
