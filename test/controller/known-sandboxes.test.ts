import t from 'tap';
import { KnownSandboxes } from '../../controller/known-sandboxes.ts';
import type { Sandbox } from '../../lib/cri/runtime-service.ts';
import { noNamespaces, scratchNamespace } from '../support/namespaces/namespace.ts';

const sandbox = (id: string, uid = 'u', isReady = true): Sandbox => ({
  ...{ id, uid, isReady },
  ...{ name: 'web', namespace: 'shop', attempt: 0 },
});

/** A runtime with these sandboxes, whose namespaces are at these paths; `asked` tells what it was asked since the last time. */
function over(listed: Sandbox[], paths: Map<string, string | undefined>) {
  const questions: string[] = [];
  const cri = {
    sandboxes: async (uid?: string) => {
      questions.push(`list ${uid}`);
      return listed.filter((each) => each.uid === uid);
    },
    networkNamespace: async (id: string) => {
      questions.push(`namespace ${id}`);
      if (id === 'broken') throw new Error('no answer');
      return paths.get(id);
    },
  };
  return { known: new KnownSandboxes(cri, (path) => path.replace('node:', '')), asked: () => questions.splice(0) };
}

t.test('a sandbox is asked for once, as long as its namespace is there', { skip: noNamespaces }, async (t) => {
  const [first, second] = [scratchNamespace(t), scratchNamespace(t)];
  const [stopped, old, next] = [sandbox('stopped', 'u', false), sandbox('old'), sandbox('next')];
  const listed = [stopped, old];
  const { known, asked } = over(
    listed,
    new Map([
      ['old', `node:${first.path}`],
      ['next', `node:${second.path}`],
    ]),
  );
  t.strictSame(await known.running('u'), [stopped, old]);
  t.strictSame(await known.running('u'), [stopped, old]);
  t.strictSame(asked(), ['list u', 'list u'], 'nothing is known of it without its namespace');
  for (let look = 0; look < 2; look++) t.equal(await known.networkNamespace(old), `node:${first.path}`);
  t.strictSame(asked(), ['namespace old']);
  t.strictSame(await known.running('u'), [old], 'the one that is ready');
  t.strictSame(asked(), []);
  t.strictSame(await known.all('u'), [stopped, old]);
  t.strictSame(await known.running('another'), []);
  t.strictSame(asked(), ['list u', 'list another']);
  first.remove();
  listed.splice(0, 2, next);
  t.strictSame(await known.running('u'), [next]);
  t.equal(await known.networkNamespace(next), `node:${second.path}`);
  t.strictSame(await known.running('u'), [next]);
  t.strictSame(asked(), ['list u', 'namespace next']);
});

t.test('what the runtime does not have any more is forgotten', { skip: noNamespaces }, async (t) => {
  const { path } = scratchNamespace(t);
  const [a, b, c] = [sandbox('a', 'u-a'), sandbox('b', 'u-b'), sandbox('c', 'u-c')];
  const { known, asked } = over([a, b, c], new Map(['a', 'b', 'c'].map((id) => [id, path])));
  for (const each of [a, b, c]) await known.networkNamespace(each);
  asked();
  known.retain([a, { ...b, isReady: false }]);
  for (const { uid } of [a, b, c]) await known.running(uid);
  t.strictSame(asked(), ['list u-b', 'list u-c']);
});

t.test('what the runtime does not say, or says by the number of a process, is not kept', async (t) => {
  const ofProcess = `/proc/${process.pid}/ns/net`;
  const { known, asked } = over([sandbox('p'), sandbox('none')], new Map([['p', ofProcess]]));
  for (let look = 0; look < 2; look++) {
    t.equal(await known.networkNamespace(sandbox('p')), ofProcess);
    t.equal(await known.networkNamespace(sandbox('none')), undefined);
    await t.rejects(known.networkNamespace(sandbox('broken')), /no answer/);
    t.equal((await known.running('u')).length, 2);
    t.strictSame(asked(), ['namespace p', 'namespace none', 'namespace broken', 'list u']);
  }
});

t.test('does not remember more than a node can have', { skip: noNamespaces }, async (t) => {
  const { path } = scratchNamespace(t);
  const all = Array.from({ length: 3000 }, (_, index) => sandbox(`${index}`, `u${index}`));
  const { known, asked } = over(all, new Map(all.map(({ id }) => [id, path])));
  for (const each of all) await known.networkNamespace(each);
  asked();
  await known.running('u2999');
  t.strictSame(asked(), [], 'the last is known');
  await known.running('u0');
  t.strictSame(asked(), ['list u0'], 'the first is not');
});
