import t from 'tap';
import { isKubeObject, keyOf } from '../../../lib/kubernetes/object.ts';

const METADATA = { name: 'web', uid: 'u', resourceVersion: '7' };

t.test('an object has a name, a UID and a version, all of them texts', async (t) => {
  t.ok(isKubeObject({ metadata: METADATA }));
  for (const key of Object.keys(METADATA)) {
    t.notOk(isKubeObject({ metadata: { ...METADATA, [key]: undefined } }), `without ${key}`);
    t.notOk(isKubeObject({ metadata: { ...METADATA, [key]: 7 } }), `${key} is a number`);
  }
  for (const value of [undefined, null, 7, 'x', {}, { metadata: null }, { metadata: 'x' }])
    t.notOk(isKubeObject(value));
});

t.test('its key has the namespace, if it is in one', async (t) => {
  t.equal(keyOf({ metadata: METADATA }), 'web');
  t.equal(keyOf({ metadata: { ...METADATA, namespace: 'shop' } }), 'shop/web');
});
