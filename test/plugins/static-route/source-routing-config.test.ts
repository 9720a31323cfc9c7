import t from 'tap';
import { CniError } from '../../../lib/cni/errors.ts';
import { parseStaticRouteConfig } from '../../../plugins/static-route/config.ts';
import { problemsIn } from '../../support/plugins/problems.ts';

const read = (sourceRouting: unknown) =>
  parseStaticRouteConfig({ cniVersion: '1.1.0', name: 'net', sourceRouting }).config.sourceRouting;

function problems(sourceRouting: unknown): string[] {
  try {
    read(sourceRouting);
    return [];
  } catch (error) {
    if (error instanceof CniError && error.code === 7) return problemsIn(error);
    throw error;
  }
}

t.test('it is on with defaults, with a table or a priority of its own, or off', async (t) => {
  t.strictSame(read(true), { table: undefined, priority: 30_000 });
  t.strictSame(read({}), { table: undefined, priority: 30_000 });
  t.strictSame(read({ table: 100, priority: 1 }), { table: 100, priority: 1 });
  t.equal(read(false), undefined);
});

t.test('not a table of the kernel’s, and numbers within their bounds', async (t) => {
  for (const [table, name] of [
    [253, 'default'],
    [254, 'main'],
    [255, 'local'],
  ] as const)
    t.strictSame(problems({ table }), [
      `sourceRouting.table: is the kernel's table "${name}"; a table of its own is needed`,
    ]);
  for (const table of [1, 252, 256, 4_294_967_295]) t.strictSame(problems({ table }), []);
  for (const priority of [1, 4_294_967_295]) t.strictSame(problems({ priority }), []);
  const needed = 'a whole number from 1 to 4294967295 is needed';
  for (const value of [0, 4_294_967_296]) {
    t.strictSame(problems({ table: value }), [`sourceRouting.table: ${needed}`]);
    t.strictSame(problems({ priority: value }), [`sourceRouting.priority: ${needed}`]);
  }
  t.strictSame(problems({ gateway: 1 }), ['sourceRouting.gateway: is not a known key']);
});
