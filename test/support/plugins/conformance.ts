/**
 * What the conformance suite needs to know of a plugin: configs by what it does with the pod of `scratchPod`. Each plugin's
 * are in `test/plugins/<name>/conformance.ts`.
 */
export type Conformance = {
  /** The smallest set of its own keys that makes a valid config. */
  readonly config: object;
  /** Keys with which it has nothing to do and passes `prevResult` through. */
  readonly idle: object;
  /** Keys with which it adds routes, and those routes in the form of results from 0.3.0 on. */
  readonly adds?: { readonly config: object; readonly routes: readonly { dst: string; gw?: string }[] };
};
