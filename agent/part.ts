import type { Registry } from 'prom-client';

/** Something that the agent runs beside the calls of shims. */
export type AgentPart = {
  /** Its key in the status document. */
  readonly name: string;
  /** What `waymark status` shows of it, as JSON. */
  status(): object;
  /** Adds its metrics. */
  register(registry: Registry): void;
  start(): void;
  /** Resolves when what it had begun has ended. */
  stop(): Promise<void>;
};
