import t from 'tap';
import { parseAddress } from '../../../lib/http/address.ts';

t.test('reads a host and a port', async (t) => {
  t.strictSame(parseAddress('127.0.0.1:9100'), { host: '127.0.0.1', port: 9100 });
  t.strictSame(parseAddress('[::1]:0'), { host: '::1', port: 0 });
  t.strictSame(parseAddress('fd00::1:9100'), { host: 'fd00::1', port: 9100 });
  t.strictSame(parseAddress('localhost:65535'), { host: 'localhost', port: 65535 });
});

for (const text of [
  '',
  '9100',
  ':9100',
  'localhost',
  'localhost:',
  '[a]:80',
  'localhost:65536',
  'localhost:-1',
  'a:b:1',
]) {
  t.test(`refuses "${text}"`, async (t) => {
    t.throws(() => parseAddress(text), { name: 'RangeError', message: `"${text}" is not of the form HOST:PORT` });
  });
}
