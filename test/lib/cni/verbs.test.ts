import t from 'tap';
import { isVerb, VERBS } from '../../../lib/cni/verbs.ts';

t.test('each verb is as the spec has it', async (t) => {
  // https://www.cni.dev/docs/spec/#cni-operations, and the changes of each version there.
  t.strictSame(VERBS, {
    ADD: { since: '0.1.0', needsNamespace: true, ofPod: true },
    DEL: { since: '0.1.0', needsNamespace: false, ofPod: true },
    CHECK: { since: '0.4.0', needsNamespace: true, ofPod: true },
    GC: { since: '1.1.0', needsNamespace: false, ofPod: false },
    STATUS: { since: '1.1.0', needsNamespace: false, ofPod: false },
  });
});

t.test('only these are verbs, VERSION and what every object has are none', async (t) => {
  t.ok(['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'].every(isVerb));
  t.notOk(['VERSION', 'add', '', 'toString', 'constructor', '__proto__'].some(isVerb));
});
