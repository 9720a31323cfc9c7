import { readdirSync } from 'node:fs';
import t from 'tap';
import { hasInterface } from '../../../lib/runtime/interfaces.ts';
import { noNamespaces, scratchPod } from '../../support/namespaces/namespace.ts';

t.test('a namespace has an interface by its name, and by an altname', { skip: noNamespaces }, async (t) => {
  const { path, ip } = scratchPod(t);
  ip('link property add dev eth0 altname blue');
  const before = readdirSync('/proc/self/fd').length;
  t.ok(hasInterface(path, 'eth0'));
  t.ok(hasInterface(path, 'blue'));
  t.notOk(hasInterface(path, 'net1'));
  t.equal(readdirSync('/proc/self/fd').length, before, 'nothing stays open');
  t.notOk(hasInterface('/nonexistent', 'eth0'));
});
