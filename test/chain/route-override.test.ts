import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { noNamespaces } from '../support/namespaces/namespace.ts';
import { CASES, type Case } from '../support/route-override/cases.ts';
import { differences, PEER, tryCase } from '../support/route-override/compare.ts';
import { pageOf } from '../support/route-override/page.ts';

// A route-override config with only its type changed means the same: route-override itself is the oracle.

const PAGE = join(import.meta.dirname, '../../docs/route-override.md');

const noPeer: string | false =
  noNamespaces || (existsSync(PEER) ? false : 'needs route-override, which scripts/setup.sh builds with Go');

t.test('the same config does the same by route-override and by static-route', { skip: noPeer }, async (t) => {
  t.ok(CASES.length >= 40, `${CASES.length} configs`);
  for (const [index, each] of CASES.entries()) {
    // A subtest of its own, so that its namespaces go before those of the next one are made.
    await t.test(`${index + 1}: ${each.title ?? JSON.stringify(each.keys)}`, async (t) => compare(t, each));
  }
});

function compare(t: Test, each: Case): void {
  const [peer, ours] = [tryCase(t, 'peer', each), tryCase(t, 'ours', each)];
  t.strictSame(ours.before, peer.before, 'both pods are alike before');
  const found = { peer, ours };
  t.strictSame(differences(peer, ours), each.different?.in ?? [], 'there is no difference but the documented one', {
    found,
  });
  if (ours.code !== 0) {
    t.match(peer.stderr, /failed to (add|delete) route/, 'route-override prints an error');
    t.equal(peer.code, 0, 'and reports success');
    t.strictSame(ours.after, ours.before, 'where static-route fails, nothing is changed');
  }
}

t.test('docs/route-override.md is what these configs give; WAYMARK_WRITE_PAGES=1 writes it anew', async (t) => {
  if (process.env.WAYMARK_WRITE_PAGES === '1') writeFileSync(PAGE, pageOf(CASES));
  t.equal(readFileSync(PAGE, 'utf8'), pageOf(CASES));
});
