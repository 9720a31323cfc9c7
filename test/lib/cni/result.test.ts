import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parsePreviousResult } from '../../../lib/cni/previous-result.ts';
import { fromVersion, namedGateway, type Result, toVersion, withRoutes } from '../../../lib/cni/result.ts';
import { type CniVersion, SUPPORTED_VERSIONS } from '../../../lib/cni/version.ts';

type Route = { dst?: string; table?: number };

type Document = {
  interfaces?: object[];
  ips?: object[];
  routes?: Route[];
  ip4?: { routes?: Route[] };
  ip6?: { routes?: Route[] };
  dns?: object;
  [key: string]: unknown;
};

type Conversions = { name: string; result: Document & { cniVersion?: string }; as: Record<string, Document | string> };

/** What the reference implementation makes of each result, recorded by scripts/record-results.sh. */
const golden: Conversions[] = JSON.parse(readFileSync(join(import.meta.dirname, '../../golden/results.json'), 'utf8'));

for (const { name, result, as } of golden) {
  t.test(`${name}: in every version as from the reference implementation`, async (t) => {
    for (const version of SUPPORTED_VERSIONS) {
      const reference = as[version] ?? 'not recorded';
      const expected = typeof reference === 'string' ? withoutAddresses(reference, result, version) : reference;
      // Through JSON, as on stdout.
      const ours = JSON.parse(JSON.stringify(toVersion(parsePreviousResult(result, '0.1.0'), version)));
      t.strictSame(plain(ours), plain(adjusted(expected, result, version)), version);
    }
  });
}

t.test(
  'a result that is read and written in its version any number of times loses nothing after the first',
  async (t) => {
    for (const { name, result } of golden) {
      const version = (result.cniVersion ?? '0.1.0') as CniVersion;
      const once = toVersion(parsePreviousResult(result, '0.1.0'), version);
      const newest = toVersion(fromVersion(once, version), '1.1.0');
      t.strictSame(plain(toVersion(fromVersion(newest, '1.1.0'), version)), plain(once), name);
    }
  },
);

t.test('keys that nobody knows are carried along into every version, not dropped', async (t) => {
  const result: Result = { ips: [{ address: '10.1.0.5/24' }], ...{ vendor: { a: [1] } } };
  for (const version of SUPPORTED_VERSIONS) t.match(toVersion(result, version), { vendor: { a: [1] } }, version);
});

t.test('routes are appended to those that exist; none added gives the very same result', async (t) => {
  const result: Result = { routes: [{ dst: '10.1.0.0/16' }] };
  t.equal(withRoutes(result, []), result);
  t.strictSame(withRoutes(result, [{ dst: '10.2.0.0/16' }]).routes, [{ dst: '10.1.0.0/16' }, { dst: '10.2.0.0/16' }]);
  t.strictSame(result.routes, [{ dst: '10.1.0.0/16' }], 'the result that was given is not changed');
  t.strictSame(withRoutes({}, [{ dst: '10.2.0.0/16' }]).routes, [{ dst: '10.2.0.0/16' }]);
});

t.test('a route of a table of its own is not shown as one of the main table', async (t) => {
  const routes = [{ dst: '10.1.0.0/16', table: 99 }, { dst: '10.2.0.0/16', table: 254 }, { dst: '10.3.0.0/16' }];
  t.strictSame(toVersion({ routes }, '1.1.0'), { cniVersion: '1.1.0', routes });
  t.strictSame(toVersion({ routes }, '1.0.0'), {
    cniVersion: '1.0.0',
    routes: [{ dst: '10.2.0.0/16' }, { dst: '10.3.0.0/16' }],
  });
});

/**
 * What the reference implementation answered, with the differences that are on purpose: it keeps `mtu`, `advmss`,
 * `priority`, `table` and `scope` of routes, and `mtu`, `socketPath` and `pciID` of interfaces, in versions that do not
 * know them. We leave those out, and routes of other tables with them, which would read as routes of the main one.
 */
function adjusted(document: Document, input: Document, version: CniVersion): Document {
  if (version === '1.1.0') return document;
  const { interfaces, routes, ip4, ip6 } = document;
  const elsewhere = new Set((input.routes ?? []).filter(({ table = 254 }) => table !== 254).map(({ dst }) => dst));
  const shown = (list: Route[] = []) => list.filter(({ dst }) => !elsewhere.has(dst));
  return {
    ...document,
    ...(interfaces && { interfaces: interfaces.map((entry) => only(entry, ['name', 'mac', 'sandbox'])) }),
    ...(routes && { routes: shown(routes).map((entry) => only(entry, ['dst', 'gw'])) }),
    ...(ip4 && { ip4: plain({ ...ip4, routes: shown(ip4.routes) }) }),
    ...(ip6 && { ip6: plain({ ...ip6, routes: shown(ip6.routes) }) }),
  };
}

/** The reference implementation has no result without addresses in 0.1.0 and 0.2.0; ours says the rest. */
function withoutAddresses(refusal: string, { dns }: Document, version: CniVersion): Document {
  if (refusal !== 'cannot convert: no valid IP addresses') throw new Error(refusal);
  return { cniVersion: version, ...(dns && { dns }) };
}

/** Without what is empty: the reference writes empty lists of routes and, before 1.0.0, an empty `dns`. */
function plain(document: object): object {
  const entries = Object.entries(document).filter(([, value]) => value !== null && !isEmpty(value));
  return Object.fromEntries(entries);
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

function only(value: object, keys: readonly string[]): object {
  return Object.fromEntries(Object.entries(value).filter(([key]) => keys.includes(key)));
}

t.test('the first gateway of a family that is one', async (t) => {
  const ips = ['0.0.0.0', '::', '10.1.0.1', 'fd00::1', '10.1.0.2'].map((gateway) => ({ address: 'x', gateway }));
  t.equal(namedGateway(ips, 4), '10.1.0.1');
  t.equal(namedGateway(ips, 6), 'fd00::1');
  t.equal(namedGateway([{ address: '10.1.0.5/24' }, ...ips.slice(0, 3)], 6), undefined);
});
