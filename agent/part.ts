import type { Registry } from 'prom-client';
import type { Plugin } from '../lib/cni/runner.ts';
import type { Page } from '../lib/http/pages.ts';
import type { Attachment } from '../lib/inventory/inventory.ts';

/** Something that the agent runs beside the calls of shims. */
export type AgentPart = {
  /** Its key in the status document. */
  readonly name: string;
  /** Plugins that run others, which it serves with what it has. */
  readonly plugins?: readonly Plugin[];
  /** What `waymark status` shows of it, as JSON. */
  status(): object;
  /** Why the node is not ready, as far as this part knows. */
  problem?(): string | undefined;
  /** A plugin has something in a running pod, `namespace/name`: an ADD was served, or a journal found. */
  attached?(plugin: string, pod: string): void;
  /** An attachment has begun to drift. */
  drifts?(attachment: Attachment, missing: readonly string[]): void;
  /** Its pages, for root alone, by path. */
  readonly pages?: { readonly [path: string]: Page };
  /** Adds its metrics. */
  register(registry: Registry): void;
  start(): void;
  /** Resolves when what it had begun has ended. */
  stop(): Promise<void>;
};
