import { Controller } from '../../../controller/controller.ts';
import { Records } from '../../../controller/records.ts';
import { Delegates } from '../../../lib/attachments/delegates.ts';
import { HERE } from '../../../lib/cni/place.ts';
import { DefaultRoutes } from '../../../lib/default-route/default-route.ts';
import { Journal } from '../../../lib/journal/journal.ts';
import { ApiClient } from '../../../lib/kubernetes/client.ts';

// A controller in a process of its own, which is killed at a boundary between two effects: dying-controller.ts OPTIONS,
// with OPTIONS as JSON. Effects are what outlives the process: records, calls of plugins, journals and routes of the default
// route, and writes to the API.

const { at, server, ...options } = JSON.parse(process.argv[2] ?? '{}');
let boundaries = 0;

function boundary(): void {
  if (++boundaries === at) process.kill(process.pid, 'SIGKILL');
}

function dyingAround(prototype: object, method: string): void {
  const methods = prototype as { [name: string]: (...args: unknown[]) => unknown };
  const real = methods[method];
  methods[method] = function (this: unknown, ...args: unknown[]) {
    boundary();
    const result = real?.apply(this, args);
    if (result instanceof Promise) return result.finally(boundary);
    boundary();
    return result;
  };
}

dyingAround(Records.prototype, 'put');
dyingAround(Delegates.prototype, 'add');
dyingAround(Delegates.prototype, 'del');
dyingAround(DefaultRoutes.prototype, 'set');
dyingAround(DefaultRoutes.prototype, 'yield');
dyingAround(DefaultRoutes.prototype, 'reset');
dyingAround(Journal.prototype, 'write');
dyingAround(Journal.prototype, 'forget');
dyingAround(ApiClient.prototype, 'mergePatch');

const client = new ApiClient({ access: { server, credentials: () => ({}) }, userAgent: 'test' });
const controller = new Controller({ client, pathOf: HERE.pathOf, ...options });
controller.start();
process.on('message', () => process.send?.(controller.status().busy > 0));
