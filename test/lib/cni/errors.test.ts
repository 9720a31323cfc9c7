import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { CniCode, CniError } from '../../../lib/cni/errors.ts';
import { summarize } from '../../../lib/cni/summary.ts';

const page = readFileSync(join(import.meta.dirname, '../../../docs/errors.md'), 'utf8');

/** The table of docs/errors.md: code and name of every row. */
const rows = page
  .split('\n')
  .filter((line) => /^\| \[\d/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, link = '', name]) => [Number(/\d+/.exec(link)?.[0]), name]);

t.test('docs/errors.md has every code under its name, no other, each once, in order', async (t) => {
  const codes = Object.entries(CniCode).map(([name, code]) => [code, `\`${name}\``]);
  t.strictSame(
    rows,
    codes.toSorted(([a], [b]) => Number(a) - Number(b)),
  );
});

t.test('each code has a section with cause, remedy, example and what to look at next', async (t) => {
  const sections = page.split(/^## (?=\d+ )/m).slice(1);
  t.strictSame(
    sections.map((section) => section.split('\n', 1)[0]),
    rows.map(([code, name]) => `${code} ${String(name).replaceAll('`', '')}`),
  );
  for (const section of sections)
    t.match(
      section,
      /\n\*\*Cause\.\*\* \S.*\n\n\*\*Remedy\.\*\* \S.*\n\n\*\*Example\.\*\*[\s\S]+\n\*\*Look next\.\*\* \S/,
      section.slice(0, 30),
    );
});

t.test('the codes of the spec have the numbers of the reference implementation (pkg/types)', async (t) => {
  t.match(CniCode, {
    incompatibleVersion: 1,
    unsupportedField: 2,
    unknownContainer: 3,
    invalidEnvironment: 4,
    ioFailure: 5,
    decodingFailure: 6,
    invalidConfig: 7,
    invalidNamespace: 8,
    tryAgainLater: 11,
    notAvailable: 50,
    internal: 999,
  });
});

t.test('the codes of our own are those of the contract, and none is one that the spec keeps for itself', async (t) => {
  const own = Object.values(CniCode).filter((code) => code >= 100);
  t.strictSame(own, [100, 101, 102, 103, 104, 105, 106, 107, 108, 999]);
});

t.test('the document of an error has the details if there are some, and no empty ones', async (t) => {
  t.strictSame(new CniError(CniCode.noGateway, 'none').toDocument('0.4.0'), {
    cniVersion: '0.4.0',
    code: 102,
    msg: 'none',
  });
  t.strictSame(new CniError(CniCode.noGateway, 'none', { details: '' }).toDocument('1.1.0'), {
    cniVersion: '1.1.0',
    code: 102,
    msg: 'none',
  });
  t.strictSame(new CniError(CniCode.noGateway, 'none', { details: 'a\nb' }).toDocument('1.1.0'), {
    cniVersion: '1.1.0',
    code: 102,
    msg: 'none',
    details: 'a; b',
  });
});

t.test('message and details are one line of at most 300 characters, and say nothing twice', async (t) => {
  const lines = Array.from({ length: 40 }, (_, i) => `routes[${i}].dst: is no destination`);
  const summed = summarize('invalid: ', lines);
  t.equal(new CniError(7, summed.message, { details: summed.details }).toDocument('1.1.0').details, undefined);
  for (const length of [1, 200, 255, 257, 258, 259, 260, 299, 300, 400]) {
    const msg = 'm'.repeat(length);
    for (const details of ['d'.repeat(40), 'd'.repeat(500), `${'d'.repeat(20)}\n${'e'.repeat(20)}`]) {
      const document = new CniError(7, msg, { details }).toDocument('1.1.0');
      t.equal(document.msg, msg);
      // As libcni makes them one (pkg/types, Error).
      const event = [document.msg, ...(document.details === undefined ? [] : [document.details])].join('; ');
      t.ok(event.length <= Math.max(300, length), `${length}: ${event.length}`);
      t.notMatch(event, '\n');
      t.equal(document.details === undefined, length > 258, `${length}`);
    }
  }
});

t.test('an error keeps its cause, and does not show it in the document', async (t) => {
  const cause = new Error('the reason behind');
  const error = new CniError(CniCode.internal, 'failed', { cause });
  t.equal(error.cause, cause);
  t.notMatch(JSON.stringify(error.toDocument('1.1.0')), /reason behind/);
});
