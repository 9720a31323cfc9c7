import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { noNamespaces, scratchFolder } from '../support/namespaces/namespace.ts';
import { variables } from '../support/plugins/call.ts';
import { refused, setUp, succeeded } from '../support/plugins/conformance-call.ts';
import { PLUGINS, type PluginUnderTest } from '../support/plugins/plugins.ts';

// Every plugin: the namespace of a call.

for (const entry of PLUGINS) {
  t.test(entry.name, { skip: noNamespaces }, async (t) => {
    testNamespaces(t, entry);
  });
}

function testNamespaces(t: Test, entry: PluginUnderTest): void {
  for (const verb of ['ADD', 'CHECK', 'DEL'] as const) {
    t.test(`${verb} refuses the host's own namespace by any path, unless CNI_NETNS_OVERRIDE is set`, async (t) => {
      const { ask } = setUp(t, entry);
      // An interface that the host does not have, so that nothing can happen there if this test fails.
      const config = { ...entry.config, interface: 'wm-none0' };
      for (const path of pathsToOwnNamespace(t)) {
        refused(t, await ask(variables(verb, path), config, '1.1.0'), 8, path);
        for (const no of ['', '0', 'false', 'yes']) {
          refused(t, await ask(variables(verb, path, { CNI_NETNS_OVERRIDE: no }), config, '1.1.0'), 8, `${path} ${no}`);
        }
        for (const yes of ['1', 'true', 'TRUE', 'True']) {
          const answer = await ask(variables(verb, path, { CNI_NETNS_OVERRIDE: yes }), config, '1.1.0');
          if (verb === 'DEL') succeeded(t, answer, `${path} ${yes}`);
          else refused(t, answer, 100, `${path} ${yes}`);
        }
      }
    });
  }

  const absent = ['/run/netns/wm-no-such-namespace', '/nowhere/at/all', '/etc/passwd/net', '/proc/4194305/ns/net'];

  for (const verb of ['ADD', 'CHECK'] as const) {
    t.test(`${verb} without its namespace is refused with 3, with something else in its place with 4`, async (t) => {
      const { ask } = setUp(t, entry);
      for (const path of absent) refused(t, await ask(variables(verb, path), entry.config, '1.1.0'), 3, path);
      for (const path of noNamespacePaths(t)) {
        refused(t, await ask(variables(verb, path), entry.config, '1.1.0'), 4, path);
      }
    });
  }

  t.test('DEL succeeds where the namespace is gone, or was never one, or is not named', async (t) => {
    const { ask } = setUp(t, entry);
    for (const path of [...absent, ...noNamespacePaths(t), '']) {
      succeeded(t, await ask(variables('DEL', path), entry.config, '1.1.0'), path);
    }
  });
}

function pathsToOwnNamespace(t: Test): string[] {
  const folder = scratchFolder(t);
  const [mounted, linked] = [join(folder, 'mounted'), join(folder, 'linked')];
  writeFileSync(mounted, '');
  execFileSync('mount', ['--bind', '/proc/self/ns/net', mounted]);
  t.teardown(() => execFileSync('umount', [mounted]));
  symlinkSync(`/proc/${process.pid}/ns/net`, linked);
  return ['/proc/self/ns/net', '/proc/thread-self/ns/net', `/proc/${process.pid}/ns/net`, mounted, linked];
}

function noNamespacePaths(t: Test): string[] {
  const folder = scratchFolder(t);
  const path = (name: string) => join(folder, name);
  writeFileSync(path('file'), '');
  mkdirSync(path('folder'));
  execFileSync('mkfifo', [path('fifo')]);
  return [path('file'), path('folder'), path('fifo'), '/dev/null', '/proc/self/ns/mnt', '/proc/self/ns/uts'];
}
