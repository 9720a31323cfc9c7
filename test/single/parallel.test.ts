import { copyFileSync, linkSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  configOf,
  type Ended,
  installed,
  isWhole,
  noSingle,
  startInParallel,
  unpackedIn,
} from '../support/build/single.ts';
import { noNamespaces, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';

// Fifty calls of single-file executables at once, each test with links of its own.

const skip = noSingle || noNamespaces;

t.test('fifty calls at once, the first of a build', { skip, timeout: 900_000 }, async (t) => {
  const folder = installed(t);
  const pod = scratchPod(t);
  // Which is not there yet either.
  const dataDir = join(scratchFolder(t), 'a', 'b', 'data');
  const before = pod.routes();
  const ask = (verb: string) =>
    fifty((i) => {
      const config = configOf('static-route', dataDir, { routes: [{ dst: `10.9.${i}.0/24`, gw: '10.244.1.1' }] });
      const env = variables(verb, pod.path, { CNI_CONTAINERID: `container-${i}` });
      return startInParallel(join(folder, 'static-route'), env, config);
    });
  t.strictSame(failuresIn(await ask('ADD')), []);
  t.equal(pod.ipJson('route show proto 87').length, 50);
  t.ok(isWhole(unpackedIn(folder)), 'there is one file at the end, and it is whole');
  t.strictSame(failuresIn(await ask('DEL')), []);
  t.equal(pod.routes(), before);
});

t.test('an executable that is replaced while fifty calls run', { skip, timeout: 900_000 }, async (t) => {
  const folder = installed(t);
  const dataDir = join(scratchFolder(t), 'data');
  const file = join(folder, 'static-route');
  // Two different files in turn, so that those which run lose theirs.
  copyFileSync(file, join(folder, 'copy'));
  let replaced = 0;
  const timer = setInterval(() => {
    const next = join(folder, '.static-route.tmp');
    linkSync(join(folder, replaced % 2 === 0 ? 'copy' : 'waymark'), next);
    renameSync(next, file);
    replaced++;
  }, 5);
  t.teardown(() => clearInterval(timer));
  const ended = await fifty((i) =>
    startInParallel(file, variables('STATUS', '', { CNI_CONTAINERID: `c${i}` }), configOf('static-route', dataDir)),
  );
  clearInterval(timer);
  t.strictSame(failuresIn(ended), []);
  t.ok(replaced > 2, `${replaced} times`);
  t.ok(isWhole(unpackedIn(folder)));
});

function fifty<T>(work: (i: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: 50 }, (_, i) => work(i)));
}

function failuresIn(ended: Ended[]): Ended[] {
  return ended.filter(({ code }) => code !== 0);
}
