import fc from 'fast-check';
import t from 'tap';
import * as z from 'zod/mini';
import { parsePrefix } from '../../../lib/address/prefix.ts';
import {
  absolutePath,
  address,
  addressOr,
  compileSchemas,
  configError,
  hostBitsProblem,
  integer,
  interfaceName,
  pathText,
  prefix,
  prefixOr,
  readBySchema,
} from '../../../lib/cni/schema.ts';

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

const WRONG: [schema: z.ZodMiniType, value: unknown, message: string][] = [
  [z.string(), undefined, 'is missing'],
  [z.string(), null, 'must be a string, not null'],
  [z.string(), 7, 'must be a string, not a number'],
  [z.string(), [], 'must be a string, not an array'],
  [z.object({}), 'x', 'must be an object, not a string'],
  [z.array(z.string()), {}, 'must be an array, not an object'],
  [z.boolean(), 'x', 'must be a boolean, not a string'],
  [z.enum(['a', 'b']), 'c', 'must be "a" or "b"'],
  [integer(1, 5), 0, 'a whole number from 1 to 5 is needed'],
  [integer(1, 5), 6, 'a whole number from 1 to 5 is needed'],
  [integer(1, 5), 1.5, 'a whole number from 1 to 5 is needed'],
  [z.union([z.boolean(), z.string()]), 7, 'must be a string, not a number'],
  [absolutePath, 'a', 'must be an absolute path'],
  [absolutePath, '/a/../b', 'must not contain ".." or NUL'],
  [absolutePath, '/a\0', 'must not contain ".." or NUL'],
];

t.test('what is wrong is said in our words', async (t) => {
  for (const [schema, value, message] of WRONG)
    t.strictSame(readBySchema(schema, value, ['a', 0, 'b']).problems, [{ path: 'a[0].b', message }]);
  const unknown = readBySchema(z.strictObject({}), { x: 1, y: 2 }).problems;
  t.strictSame(unknown, [
    { path: 'x', message: 'is not a known key' },
    { path: 'y', message: 'is not a known key' },
  ]);
});

t.test('what is right is read', async (t) => {
  const read = (schema: z.ZodMiniType, value: unknown) => readBySchema(schema, value).value;
  t.strictSame([read(integer(1, 5), 1), read(integer(1, 5), 5)], [1, 5]);
  for (const path of ['/', '/a..b/...']) t.equal(read(absolutePath, path), path);
  t.equal(read(address, 'FD00:0::1'), 'fd00::1');
  t.strictSame([read(addressOr('auto'), 'auto'), read(addressOr('auto'), 'FD00::1')], ['auto', 'fd00::1']);
  t.strictSame(read(prefix, '10.0.0.5/8'), { family: 4, address: '10.0.0.5', length: 8 });
  t.equal(read(interfaceName, 'eth0'), 'eth0');
  t.equal(readBySchema(interfaceName, 'a/b').problems.length, 1);
});

t.test('a text that is not valid is repeated, but for one that is longer than a line', async (t) => {
  const said = (text: string) => readBySchema(address, text).problems[0]?.message;
  t.match(said('x'.repeat(80)), /^"?x{80}"? is not/);
  t.match(said('x'.repeat(80)), /address/);
  t.equal(said('x'.repeat(81)), `"${'x'.repeat(80)}…" is not valid`);
});

t.test('host bits, and the paths of problems', async (t) => {
  t.equal(hostBitsProblem(parsePrefix('10.0.0.0/8')), undefined);
  t.equal(
    hostBitsProblem(parsePrefix('10.0.0.1/8')),
    'has bits set beyond its prefix length; the network is 10.0.0.0/8',
  );
  t.equal(pathText(['a', 0, 'b', 1, 'c']), 'a[0].b[1].c');
  t.equal(pathText([0]), '[0]');
  t.equal(pathText([]), '');
  t.match(configError('wrong', [{ path: '', message: 'x' }]), { code: 7, message: 'wrong: x' });
  t.match(configError('wrong', [{ path: 'a', message: 'x' }]), { code: 7, message: 'wrong: a: x' });
});

t.test('a schema is compiled once, when it is used the second time', async (t) => {
  let compiled = 0;
  compileSchemas((schema) => {
    compiled++;
    return z.compile(schema);
  });
  const schema = make();
  const counts = Array.from({ length: 4 }, () => {
    readBySchema(schema, {});
    return compiled;
  });
  t.strictSame(counts, [0, 1, 1, 1]);
});

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
