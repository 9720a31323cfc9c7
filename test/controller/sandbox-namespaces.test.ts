import t from 'tap';
import { SandboxNamespaces } from '../../controller/sandbox-namespaces.ts';

t.test('each is asked for once, and what is not known yet again', async (t) => {
  const asked: string[] = [];
  const known = new Map([['a', '/run/netns/a']]);
  const namespaces = new SandboxNamespaces({
    networkNamespace: async (id) => {
      asked.push(id);
      if (id === 'broken') throw new Error('no answer');
      return known.get(id);
    },
  });
  for (const id of ['a', 'a', 'b']) t.equal(await namespaces.networkNamespace(id), known.get(id));
  known.set('b', '/run/netns/b');
  for (const id of ['b', 'b', 'a']) t.equal(await namespaces.networkNamespace(id), known.get(id));
  for (let time = 0; time < 2; time++) await t.rejects(namespaces.networkNamespace('broken'), /no answer/);
  t.strictSame(asked, ['a', 'b', 'b', 'broken', 'broken']);
});

t.test('does not remember more than a node can have', async (t) => {
  let asked = 0;
  const namespaces = new SandboxNamespaces({
    networkNamespace: async (id) => {
      asked++;
      return `/run/netns/${id}`;
    },
  });
  for (let id = 0; id < 3000; id++) await namespaces.networkNamespace(`${id}`);
  await namespaces.networkNamespace('2999');
  t.equal(asked, 3000, 'the last is known');
  t.equal(await namespaces.networkNamespace('0'), '/run/netns/0');
  t.equal(asked, 3001, 'the first is not');
});
