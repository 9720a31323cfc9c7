import t from 'tap';
import { chooseDevice } from '../../../lib/attachments/devices.ts';

const choose = (given: string[], used: string[], asked?: string) =>
  chooseDevice({ resource: 'vendor/vf', given, used: new Set(used), asked });

t.test('the first device that is free, or the one that is asked for', async (t) => {
  t.equal(choose(['a', 'b', 'c'], []), 'a');
  t.equal(choose(['a', 'b', 'c'], ['a', 'x']), 'b');
  t.equal(choose(['a', 'b', 'c'], ['a'], 'c'), 'c');
});

t.test('says why there is none', async (t) => {
  const cases: [given: string[], used: string[], asked: string | undefined, message: string][] = [
    [[], [], undefined, 'the kubelet has given the pod no device of vendor/vf'],
    [[], [], 'a', 'the kubelet has given the pod no device of vendor/vf'],
    [['a'], [], 'b', 'device b is not one of vendor/vf that the kubelet has given the pod'],
    [['a', 'b'], ['a', 'b'], undefined, 'all 2 devices of vendor/vf that the pod has: in use by other attachments'],
    [['a', 'b'], ['a'], 'a', 'device a of vendor/vf that the pod has: in use by other attachments'],
  ];
  for (const [given, used, asked, message] of cases) t.throws(() => choose(given, used, asked), { message });
});
