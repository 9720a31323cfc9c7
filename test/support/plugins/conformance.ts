/**
 * What the conformance suite needs to know of a plugin: configs by what it does with the pod of `scratchPod`. Each plugin's
 * are in `test/plugins/<name>/conformance.ts`.
 */
export type Conformance = {
  /** The fewest keys of its own that make a valid config. */
  readonly config: object;
  /** Keys with which it has nothing to do, so that it passes `prevResult` through. */
  readonly idle: object;
  /** Keys with which it adds routes, and those routes as a result of 0.3.0 and later shows them. */
  readonly adds?: { readonly config: object; readonly routes: readonly { dst: string; gw?: string }[] };
};
