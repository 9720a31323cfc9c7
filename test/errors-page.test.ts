import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CniCode } from '../lib/cni/errors.ts';
import { noNamespaces } from './support/namespaces/namespace.ts';
import { provoke } from './support/plugins/provoked.ts';

const page = readFileSync(join(import.meta.dirname, '../docs/errors.md'), 'utf8');

/** Never answered by our plugins. */
const RESERVED: readonly number[] = [CniCode.unsupportedField];

/** What is another at every run: whose process it is, and how long the test waits. */
const alike = (text: string) =>
  text.replace(/process \d+ \([^)]+\)/, 'process P').replace(/waited [\d.]+ s/, 'waited N s');

t.test('the example of every code in docs/errors.md is the event of a real call', { skip: noNamespaces }, async (t) => {
  for (const code of Object.values(CniCode).filter((code) => !RESERVED.includes(code))) {
    const [, example = 'no example'] = new RegExp(`^## ${code} [\\s\\S]*?\`\`\`text\n(.*)\n`, 'm').exec(page) ?? [];
    const answer = await provoke(t, code);
    t.equal(answer.code, code);
    t.equal(alike(answer.event), alike(example));
    t.ok(answer.event.length <= 300, answer.event);
    t.notMatch(answer.event, '\n');
  }
});
