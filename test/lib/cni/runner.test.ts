import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { HERE } from '../../../lib/cni/place.ts';
import { openPodNamespace } from '../../../lib/cni/runner.ts';
import type { Verb } from '../../../lib/cni/verbs.ts';
import { isNamespaceAt } from '../../../lib/netns/netns.ts';
import { noNamespaces, scratchFolder, scratchNamespace } from '../../support/namespaces/namespace.ts';

const descriptors = () => readdirSync('/proc/self/fd').length;

t.test('leaks no descriptor, whichever call fails', { skip: noNamespaces }, async (t) => {
  const { path } = scratchNamespace(t);
  const request = { netns: path, verb: 'ADD', allowOwnNamespace: false } as const;
  const before = descriptors();
  t.throws(() => openPodNamespace(request, { ...HERE, isOwn: (own) => isNamespaceAt('/nonexistent', own) }), {
    name: 'NamespaceError',
  });
  t.throws(() => openPodNamespace(request, { ...HERE, isOwn: (own) => isNamespaceAt(path, own) }), { code: 8 });
  openPodNamespace(request)?.close();
  t.equal(descriptors(), before);
});

t.test('a namespace that cannot be opened is refused with the errno', async (t) => {
  const loop = join(scratchFolder(t), 'loop');
  symlinkSync(loop, loop);
  for (const verb of ['ADD', 'DEL'] as const) {
    t.throws(() => openPodNamespace({ netns: loop, verb, allowOwnNamespace: false }), {
      code: 4,
      message: `CNI_NETNS="${loop}" cannot be opened: ELOOP: too many symbolic links encountered`,
    });
  }
  const failing = () => {
    throw Object.assign(new Error('/a/b: too many symbolic links'), { code: 'ELOOP' });
  };
  t.throws(
    () => openPodNamespace({ netns: '/a/b', verb: 'ADD', allowOwnNamespace: false }, { ...HERE, pathOf: failing }),
    { code: 4, message: 'CNI_NETNS="/a/b" cannot be opened: /a/b: too many symbolic links' },
  );
});

// https://www.cni.dev/docs/spec/#cni-operations and #errors.
t.test('ADD and CHECK need the namespace, DEL does without it, and GC and STATUS do not look for it', async (t) => {
  const folder = scratchFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const open = (netns: string, verb: Verb) => openPodNamespace({ netns, verb, allowOwnNamespace: false });
  for (const verb of ['ADD', 'CHECK'] as const) {
    t.throws(() => open(join(folder, 'gone'), verb), { code: 3 }, verb);
    t.throws(() => open(file, verb), { code: 4 }, verb);
  }
  for (const verb of ['DEL', 'GC', 'STATUS'] as const) {
    for (const netns of ['', join(folder, 'gone'), file]) t.equal(open(netns, verb), undefined, `${verb} ${netns}`);
  }
  for (const verb of ['GC', 'STATUS'] as const) t.equal(open('/proc/self/ns/net', verb), undefined, verb);
});
