import fc from 'fast-check';
import t from 'tap';
import { ACCEPTED, formatResult, ProtocolError, RequestReader, startsLikeRequest } from '../../agent/protocol.ts';
import { parseAnswers, requestBytes, type ShimCall } from '../support/agent/agent-client.ts';

const CALL: ShimCall = {
  plugin: 'static-route',
  env: { CNI_COMMAND: 'ADD', CNI_ARGS: 'A=1;B==2', CNI_NETNS: '' },
  stdin: '{"name":"näh"}',
};

/** The example of docs/agent-protocol.md, by hand: pid 0x01020304, 19 bytes of environment, 2 of stdin. */
const BY_HAND = Buffer.concat([
  Buffer.from('574d4b01' + '04030201' + '13000000' + '02000000', 'hex'),
  Buffer.from('p\0CNI_COMMAND=ADD\0\0'),
  Buffer.from('{}'),
]);

function refuses(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    return error instanceof ProtocolError;
  }
}

t.test('a request is read whatever its plugin, variables and stdin are', async (t) => {
  const text = fc.string({ unit: 'binary' }).map((value) => value.replaceAll('\0', ''));
  const name = fc.stringMatching(/^_?CNI_[A-Z_]{1,12}$/);
  fc.assert(
    fc.property(text, fc.dictionary(name, text), fc.uint8Array({ maxLength: 300 }), (plugin, env, stdin) => {
      const read = new RequestReader().push(requestBytes({ plugin, env, stdin }));
      t.strictSame(
        { ...read, env: { ...read?.env }, stdin: [...(read?.stdin ?? [])] },
        { plugin, env: { ...env }, stdin: [...stdin] },
      );
    }),
    { numRuns: 200 },
  );
});

t.test('numbers are little endian, and lengths are of bytes', async (t) => {
  const read = new RequestReader().push(BY_HAND);
  t.equal(read?.plugin, 'p');
  t.strictSame(read?.env, { CNI_COMMAND: 'ADD', '': '' });
  t.equal(String(read?.stdin), '{}');
  t.equal(
    formatResult(0x0a, 'ö', 'abc').toString('hex'),
    '574d4b01' + '52000000' + '0a000000' + '02000000' + '03000000' + 'c3b6' + '616263',
  );
  t.equal(ACCEPTED.toString('hex'), `574d4b0141000000${'00'.repeat(12)}`);
});

t.test('an answer is read by the client whatever it holds', async (t) => {
  fc.assert(
    fc.property(
      fc.nat(255),
      fc.string({ unit: 'binary' }),
      fc.string(),
      fc.boolean(),
      (code, stdout, stderr, accepted) => {
        const bytes = formatResult(code, stdout, stderr);
        t.strictSame(parseAnswers(accepted ? Buffer.concat([ACCEPTED, bytes]) : bytes), {
          accepted,
          code,
          stdout,
          stderr,
        });
      },
    ),
    { numRuns: 100 },
  );
});

t.test('a request in pieces is the same one, wherever it is cut, and is whole with its last byte only', async (t) => {
  const bytes = requestBytes(CALL);
  const whole = new RequestReader().push(bytes);
  for (let first = 1; first < bytes.length; first++) {
    const reader = new RequestReader();
    t.equal(reader.push(bytes.subarray(0, first)), undefined);
    t.strictSame(reader.push(bytes.subarray(first)), whole);
  }
  const reader = new RequestReader();
  const results = [...bytes].map((byte) => reader.push(Buffer.from([byte])));
  t.ok(
    results.slice(0, -1).every((result) => result === undefined),
    'byte by byte',
  );
  t.strictSame(results.at(-1), whole);
});

t.test('a header with any other byte in the magic or the version is refused at that byte', async (t) => {
  const bytes = requestBytes(CALL);
  for (let at = 0; at < 4; at++) {
    for (const wrong of [0, bytes[at] === 0xff ? 0xfe : 0xff, (bytes[at] ?? 0) + 1]) {
      const broken = Buffer.from(bytes.subarray(0, at + 1));
      broken[at] = wrong;
      t.ok(
        refuses(() => new RequestReader().push(broken)),
        `byte ${at} is ${wrong}`,
      );
      const reader = new RequestReader();
      for (let i = 0; i < at; i++) reader.push(bytes.subarray(i, i + 1));
      t.ok(
        refuses(() => reader.push(Buffer.from([wrong]))),
        `byte ${at} alone is ${wrong}`,
      );
    }
  }
});

t.test('lengths beyond the limits are refused with the header, and the limits themselves are not', async (t) => {
  const header = (environment: number, stdin: number) => {
    const bytes = Buffer.alloc(16);
    bytes.write('WMK\x01', 'latin1');
    bytes.writeUInt32LE(environment, 8);
    bytes.writeUInt32LE(stdin, 12);
    return bytes;
  };
  const MIB = 1 << 20;
  for (const [environment, stdin] of [
    [MIB + 1, 0],
    [0xffffffff, 0],
    [0, 8 * MIB + 2],
    [0, 0xffffffff],
    [0xffffffff, 0xffffffff],
  ] as const)
    t.ok(
      refuses(() => new RequestReader().push(header(environment, stdin))),
      `${environment} ${stdin}`,
    );
  for (const [environment, stdin] of [
    [MIB, 0],
    [2, 8 * MIB + 1],
  ] as const)
    t.equal(new RequestReader().push(header(environment, stdin)), undefined);
});

t.test('an environment that is empty or does not end with a zero byte is refused', async (t) => {
  const whole = requestBytes({ plugin: 'p', env: {}, stdin: '' });
  whole[whole.length - 1] = 0x41;
  t.ok(refuses(() => new RequestReader().push(whole)));
  t.ok(refuses(() => new RequestReader().push(Buffer.from(`WMK\x01${'\0'.repeat(12)}`))));
});

t.test('a byte more than the request is refused, with it or after it', async (t) => {
  const bytes = requestBytes(CALL);
  t.ok(refuses(() => new RequestReader().push(Buffer.concat([bytes, Buffer.from('x')]))));
  t.ok(refuses(() => new RequestReader().push(Buffer.concat([bytes, bytes]))));
  const reader = new RequestReader();
  reader.push(bytes);
  t.ok(refuses(() => reader.push(Buffer.from('x'))));
});

t.test('any bytes are a request, half of one, or a ProtocolError', async () => {
  const bytes = requestBytes(CALL);
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)).map(([at, value]) => {
      const broken = Buffer.from(bytes);
      broken[at] = value;
      return broken;
    }),
  );
  fc.assert(
    fc.property(garbage, (piece) => {
      try {
        new RequestReader().push(Buffer.from(piece));
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
      }
    }),
    { numRuns: 500 },
  );
});

t.test('no method of HTTP starts like a request', async (t) => {
  const { METHODS } = await import('node:http');
  for (const method of METHODS) t.notOk(startsLikeRequest(Buffer.from(method)), method);
  t.ok(startsLikeRequest(requestBytes(CALL)));
});
