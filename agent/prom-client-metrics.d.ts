declare module 'prom-client/lib/metrics/*.js' {
  import type { Registry } from 'prom-client';

  /** Registers one metric, or a few, of the process. */
  function register(registry: Registry, config?: object): void;
  export = register;
}
