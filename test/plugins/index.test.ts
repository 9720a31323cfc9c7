import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PLUGIN_NAMES, PLUGINS } from '../../plugins/index.ts';

// The registry, and what each plugin in it has beside the code (CONTRIBUTING.md, "How to add a plugin").

const ROOT = join(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

t.test('the registry has every folder of plugins/, and each once', async (t) => {
  const folders = readdirSync(join(ROOT, 'plugins')).filter((name) =>
    statSync(join(ROOT, 'plugins', name)).isDirectory(),
  );
  t.strictSame(PLUGIN_NAMES.toSorted(), folders.sort());
});

for (const { name, definition } of PLUGINS) {
  t.test(`${name}: its folder holds its README, wiring, process, config and JSON Schema`, async (t) => {
    const files = new Set(readdirSync(join(ROOT, 'plugins', name)));
    const needed = ['README.md', 'main.ts', 'process.ts', 'config.ts', 'json-schema.ts'];
    t.strictSame(
      [...needed, ...(definition ? ['plan.ts'] : [])].filter((file) => !files.has(file)),
      [],
    );
    if (definition) t.equal(definition.name, name);
  });

  t.test(`${name}: there are examples of it, a JSON Schema, and a row in the README`, async (t) => {
    const lists = readdirSync(join(ROOT, 'conf')).filter((file) => file.endsWith('.conflist'));
    const types = lists.flatMap((file) =>
      JSON.parse(read(`conf/${file}`)).plugins.map(({ type }: { type: string }) => type),
    );
    t.ok(types.includes(name), 'a list in conf/');
    t.ok(
      existsSync(join(ROOT, 'manifests/networks', `${name}.yaml`)),
      'a NetworkAttachmentDefinition in manifests/networks/',
    );
    t.ok(existsSync(join(ROOT, 'conf/schema', `${name}.schema.json`)), 'npm run schema writes it');
    t.match(read('README.md'), `(plugins/${name}/README.md)`);
  });

  t.test(`${name}: the conformance suite knows it`, async (t) => {
    t.ok(existsSync(join(ROOT, 'test/plugins', name, 'conformance.ts')));
  });
}
