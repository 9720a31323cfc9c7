import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { removeLeftovers } from '../../agent/leftovers.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

t.test('what agents left that were killed while they started goes, and nothing else', async (t) => {
  const folder = scratchFolder(t);
  const ago = new Date(Date.now() - 90_000);
  for (const [name, isOld] of [
    ['rehearsal.11', true],
    ['rehearsal.12', false],
    ['static-route', true],
  ] as const) {
    mkdirSync(join(folder, name, 'static-route'), { recursive: true });
    writeFileSync(join(folder, name, 'static-route/rehearsal-eth0.json'), '');
    if (isOld) utimesSync(join(folder, name), ago, ago);
  }
  for (const [name, isOld] of [
    ['agent.sock', true],
    ['agent.sock.0123abcd', true],
    ['agent.sock.4567abcd', false],
    ['other.sock.0123abcd', true],
  ] as const) {
    writeFileSync(join(folder, name), '');
    if (isOld) utimesSync(join(folder, name), ago, ago);
  }

  removeLeftovers(join(folder, 'agent.sock'));
  t.strictSame(readdirSync(folder).sort(), [
    'agent.sock',
    'agent.sock.4567abcd',
    'other.sock.0123abcd',
    'rehearsal.12',
    'static-route',
  ]);
});
