import fc from 'fast-check';
import t from 'tap';
import * as z from 'zod/mini';
import { absolutePath, address, compileSchemas, integer, prefixOr, readBySchema } from '../../../lib/cni/schema.ts';

/** A schema of its own, which has not been used before. */
function make() {
  const hop = z.strictObject({ gw: z.optional(address), weight: z.optional(integer(1, 256)) });
  return z.object({
    dst: prefixOr('default'),
    hops: z._default(z.array(hop).check(z.minLength(1, 'must not be empty')), [{}]),
    file: z.optional(absolutePath),
    kind: z._default(z.enum(['a', 'b']), 'a'),
  });
}

const text = fc.constantFrom('10.0.0.0/8', '10.0.0.1/33', 'fd00::/64', '', '/a/../b', '/a', '10.0.0.1', '__proto__');
const scalar = fc.oneof(text, fc.integer({ min: -1, max: 300 }), fc.constant(null), fc.boolean(), fc.double());
const hop = fc.dictionary(fc.constantFrom('gw', 'weight', 'other', '__proto__'), scalar);
const value = fc.oneof(scalar, fc.array(fc.oneof(hop, scalar), { maxLength: 3 }));
const document = fc.oneof(fc.dictionary(fc.constantFrom('dst', 'hops', 'file', 'kind', 'constructor'), value), value);
const validDocument = fc.record(
  {
    dst: fc.constantFrom('default', '10.0.0.0/8', 'FD00::/64'),
    hops: fc.array(fc.record({ gw: fc.constantFrom('10.0.0.1', 'FE80::1'), weight: fc.constantFrom(1, 256) }), {
      minLength: 1,
    }),
    file: fc.constant('/a'),
    kind: fc.constantFrom('a', 'b'),
    unknown: scalar,
  },
  { requiredKeys: ['dst'] },
);

t.test('a schema that is used again, and is compiled by then, reads and refuses what it did at first', async (t) => {
  compileSchemas(z.compile);
  const known = make();
  readBySchema(known, {});
  readBySchema(known, {});
  const agree = (input: unknown) => {
    const first = readBySchema(make(), input, ['base']);
    t.strictSame(readBySchema(known, input, ['base']), first);
    return first;
  };
  fc.assert(fc.property(document, (input) => void agree(input)));
  fc.assert(fc.property(validDocument, (input) => agree(input).value !== undefined));
});
