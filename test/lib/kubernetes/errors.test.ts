import t from 'tap';
import { ApiError } from '../../../lib/kubernetes/errors.ts';

// The codes of RFC 9110, and how Kubernetes uses them (API concepts, "HTTP status codes").
const STATUSES: [status: number | undefined, meaning: string][] = [
  [undefined, 'of the server'],
  [400, ''],
  [401, ''],
  [403, ''],
  [404, 'not found'],
  [409, 'conflict'],
  [410, 'gone'],
  [422, ''],
  [428, ''],
  [429, 'of the server'],
  [430, ''],
  [499, ''],
  [500, 'of the server'],
  [503, 'of the server'],
  [504, 'of the server'],
];

t.test('a status is a reason to ask again, to read again, or to give up', async (t) => {
  for (const [status, meaning] of STATUSES) {
    const error = new ApiError('text', status === undefined ? {} : { status });
    const is = [
      error.isOfServer && 'of the server',
      error.isNotFound && 'not found',
      error.isConflict && 'conflict',
      error.isGone && 'gone',
    ];
    t.equal(is.filter(Boolean).join(', '), meaning, `${status}`);
  }
});
