import t from 'tap';
import { podOf } from '../../../lib/attachments/pod.ts';
import { publishStatus } from '../../../lib/attachments/publish.ts';
import { STATUS_ANNOTATION } from '../../../lib/attachments/status.ts';
import { ApiError } from '../../../lib/kubernetes/errors.ts';

// A stand-in for the client of the API: answers with what it is given.

const object = (resourceVersion: string, status?: string, uid = 'u1') => ({
  metadata: {
    ...{ name: 'web', namespace: 'shop', uid, resourceVersion },
    annotations: status === undefined ? {} : { [STATUS_ANNOTATION]: status },
  },
});

type Answer = 'ok' | number;

function client(answers: Answer[], now = object('2', '[{"name":"other"}]')) {
  const patches: { path: string; body: object }[] = [];
  return {
    patches,
    get: async () => now,
    mergePatch: async (path: string, body: object) => {
      patches.push({ path, body });
      const answer = answers.shift() ?? 'ok';
      if (answer !== 'ok') throw new ApiError(`${answer}`, { status: answer });
      return now;
    },
  };
}

const wanted = () => [{ name: 'shop/blue' }];

t.test('writes with the pod’s identity and version as a precondition, and only what is new', async (t) => {
  const api = client([]);
  t.ok(await publishStatus(api, podOf(object('1')), wanted));
  t.match(api.patches, [
    {
      path: '/api/v1/namespaces/shop/pods/web/status',
      body: { metadata: { uid: 'u1', resourceVersion: '1', annotations: { [STATUS_ANNOTATION]: /shop\/blue/ } } },
    },
  ]);
  t.notOk(
    await publishStatus(api, podOf(object('1', '[ {"name": "shop/blue"} ]')), wanted),
    'the same in another form',
  );
  t.notOk(await publishStatus(api, podOf(object('1')), () => []), 'nothing to say, and nothing said');
  t.equal(api.patches.length, 1);
});

t.test('reads a pod that somebody changed anew, and composes from what is there then', async (t) => {
  const api = client([409]);
  const seen: unknown[] = [];
  const compose = (before: readonly object[]) => {
    seen.push(before);
    return [...before, { name: 'shop/blue' }] as never;
  };
  t.ok(await publishStatus(api, podOf(object('1')), compose));
  t.strictSame(seen, [[], [{ name: 'other' }]]);
  t.match(api.patches[1], { body: { metadata: { resourceVersion: '2' } } });
});

t.test(
  'gives up after five conflicts, at once for any other refusal, and quietly for a pod that is gone',
  async (t) => {
    const stubborn = client(Array(9).fill(409));
    await t.rejects(publishStatus(stubborn, podOf(object('1')), wanted), { message: '409' });
    t.equal(stubborn.patches.length, 5);
    const refused = client([403]);
    await t.rejects(publishStatus(refused, podOf(object('1')), wanted), { message: '403' });
    t.equal(refused.patches.length, 1);
    t.notOk(await publishStatus(client([404]), podOf(object('1')), wanted));
    t.notOk(
      await publishStatus(client([409], object('2', '[]', 'another')), podOf(object('1')), wanted),
      'another pod',
    );
  },
);
