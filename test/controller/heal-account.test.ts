import t from 'tap';
import { HealAccount } from '../../controller/heal-account.ts';
import type { Notice } from '../../lib/netlink/notifications.ts';
import type { Healed, Lost } from '../../lib/plugin/heal.ts';

// Looks at a pod of which data says what they found. What a pod has is in healing.test.ts.

const NOW = 1_000_000;

const lost = (...keys: string[]): Lost[] =>
  keys.map((key) => ({ key, text: `route ${key}`, holder: undefined, reason: undefined }));

function healed(found: Partial<Healed>, ifname = 'net1'): Healed {
  const attachment = {
    plugin: 'static-route',
    dataDir: '/d',
    ifname,
    network: 'blue',
    onConflict: 'fail',
    of: 'default/blue',
  };
  return { back: [], taken: [], refused: [], resting: [], ...found, attachment } as Healed;
}

const notice = (of: Notice['of'], more: Partial<Notice> = {}): Notice => ({
  of,
  isGone: false,
  replaces: false,
  ...more,
});

/** An account that may put back everything at once. */
const lenient = () => new HealAccount({ most: 1000 });

const told = (account: HealAccount, found: Partial<Healed>[], now = NOW) =>
  account
    .add(
      found.map((each, at) => healed(each, `net${at + 1}`)),
      now,
    )
    .map(({ outcome, attachment, text, changes }) => `${attachment.ifname} ${outcome} ${changes}: ${text}`);

t.test('what is gone or replaced is a reason to look, and what a link or an address does', async (t) => {
  const isReason = (...notices: Notice[]) => lenient().isReason(notices);
  t.equal(lenient().isReason('lost'), true, 'it may be anything');
  t.equal(isReason(), false);
  t.equal(isReason(notice('route'), notice('rule')), false, 'what comes is not');
  t.equal(isReason(notice('route', { isGone: true })), true);
  t.equal(isReason(notice('rule'), notice('route', { replaces: true })), true);
  for (const what of ['link', 'address'] as const) t.equal(isReason(notice('route'), notice(what)), true, what);
});

t.test('while something is missing, whatever changes is a reason', async (t) => {
  const account = lenient();
  const isReason = () => account.isReason([notice('route')]);
  account.nextMs('whole', NOW);
  t.equal(isReason(), false);
  account.nextMs('busy', NOW);
  t.equal(isReason(), true);
  account.nextMs('whole', NOW);
  t.equal(isReason(), false);
  account.add([healed({ taken: lost('a') })], NOW);
  account.nextMs('lost', NOW);
  t.equal(isReason(), true);
  t.equal(account.isReason([]), false);
});

t.test('what is back is told each time, with the first three and how many more', async (t) => {
  const account = lenient();
  t.strictSame(
    told(account, [{ back: lost('a') }, { back: lost('a', 'b', 'c') }, {}, { back: lost('a', 'b', 'c', 'd') }]),
    [
      'net1 done 1: route a',
      'net2 done 3: route a; route b; route c',
      'net4 done 4: route a; route b; route c; and 1 more',
    ],
  );
  t.strictSame(told(account, [{ back: lost('a') }]), ['net1 done 1: route a']);
  t.strictSame(account.failures, []);
  t.equal(account.nextMs('whole', NOW), undefined);
});

t.test('what is contested or has to wait is told once, until it is another', async (t) => {
  const account = lenient();
  const [held] = [{ key: 'a', text: 'route a', holder: 'route a via x', reason: undefined }];
  const [refused] = [{ key: 'b', text: 'route b', holder: undefined, reason: 'the network is down' }];
  t.strictSame(told(account, [{ taken: [held], refused: [refused], resting: lost('c') }]), [
    'net1 contested 2: route a: route a via x is in its place; route c: nothing is in its place',
    'net1 waiting 1: the network is down',
  ]);
  t.match(account.failures, [
    { what: 'put back routes of net1', network: 'default/blue', reason: /^route a: /, attempts: 0, until: NOW },
    { what: 'put back routes of net1', reason: 'the network is down' },
  ]);
  t.strictSame(told(account, [{ taken: [held], refused: [refused] }]), []);
  t.equal(account.failures.length, 2, 'which is not done for all that');
  t.strictSame(told(account, [{ taken: [held], refused: lost('b', 'd') }]), ['net1 waiting 2: route b; route d']);
  t.strictSame(told(account, [{ refused: lost('a') }]), ['net1 waiting 1: route a'], 'another outcome');
  t.strictSame(told(account, [{}]), []);
  t.strictSame(account.failures, []);
  t.strictSame(told(account, [{ refused: lost('a') }]), ['net1 waiting 1: route a'], 'again after it was done');
});

t.test('what was put back lately is not told again when it is lost again', async (t) => {
  const account = new HealAccount({ most: 1000, quietMs: 60_000 });
  told(account, [{ taken: lost('a') }]);
  told(account, [{ back: lost('a') }], NOW + 1);
  t.strictSame(told(account, [{ taken: lost('a') }], NOW + 2), []);
  told(account, [{ back: lost('a') }], NOW + 3);
  t.strictSame(told(account, [{}], NOW + 60_003), []);
  t.strictSame(told(account, [{ taken: lost('a') }], NOW + 60_004), [
    'net1 contested 1: route a: nothing is in its place',
  ]);
});

t.test('what is put back again and again has to rest, but not what the kernel takes with a link', async (t) => {
  const rounds = { most: 2, backoff: { firstMs: 1e6, maxMs: 1e6 }, quietMs: 1e7 };
  const taken = new HealAccount(rounds);
  for (const mayTry of [true, true, false]) {
    t.equal(taken.mayTry('a', NOW), mayTry);
    taken.add([healed({ back: lost('a') })], NOW);
  }
  t.equal(taken.mayTry('b', NOW), true);
  const kernels = new HealAccount(rounds);
  for (let round = 0; round < 3; round++) {
    kernels.isReason([notice('address')]);
    kernels.begin();
    kernels.add([healed({ back: lost('a') })], NOW);
    t.equal(kernels.mayTry('a', NOW), true);
    kernels.nextMs('whole', NOW);
  }
  const putBackTwice = () => {
    for (let round = 0; round < 2; round++) kernels.add([healed({ back: lost('a') })], NOW);
  };
  kernels.begin();
  kernels.isReason([notice('address')]);
  kernels.nextMs('whole', NOW);
  kernels.begin();
  putBackTwice();
  t.equal(kernels.mayTry('a', NOW), true, 'what changed during a look may have taken what the next one finds');
  kernels.nextMs('whole', NOW);
  putBackTwice();
  t.equal(kernels.mayTry('a', NOW), false, 'once that has come to an end, it is somebody again');
});

t.test(
  'the next look is when the kernel may take it, or when it has rested; else when something changes',
  async (t) => {
    const rounds = { most: 1, backoff: { firstMs: 100, maxMs: 100 }, quietMs: 1e7 };
    const account = new HealAccount(rounds);
    account.add([healed({ taken: lost('x') })], NOW);
    t.equal(account.nextMs('lost', NOW), undefined, 'of what is in the way of it, the kernel tells');
    account.add([healed({ back: lost('a') })], NOW);
    account.add([healed({ resting: lost('a') })], NOW);
    const rest = account.nextMs('lost', NOW) ?? 0;
    t.ok(rest >= 50 && rest <= 100, `${rest}`);
    t.equal(account.failures[0]?.until, NOW + rest);
    account.add([healed({ resting: lost('a'), refused: lost('b') })], NOW);
    t.ok((account.nextMs('lost', NOW) ?? 0) <= 100, 'the first of both');
    const waiting = new HealAccount(rounds);
    const pauses = [0, 1, 2, 3].map(() => {
      waiting.add([healed({ refused: lost('b') })], NOW);
      return waiting.nextMs('lost', NOW) ?? 0;
    });
    for (const [at, ms] of pauses.entries()) t.ok(ms >= 500 * 2 ** at && ms <= 1000 * 2 ** at, `${pauses}`);
    t.equal(waiting.failures[0]?.attempts, 3);
    const afterFailure = waiting.afterFailureMs();
    t.ok(afterFailure >= 8000 && afterFailure <= 16_000, `${afterFailure}`);
    waiting.add([], NOW);
    t.equal(waiting.nextMs('whole', NOW), undefined);
    t.ok(waiting.afterFailureMs() <= 1000, 'from the beginning again');
  },
);

t.test('whoever is at work on an attachment is done in a moment, or in two seconds', async (t) => {
  const { random } = Math;
  // The whole of each pause.
  Math.random = () => 1;
  t.teardown(() => {
    Math.random = random;
  });
  const account = lenient();
  const pauses = Array.from({ length: 8 }, () => account.nextMs('busy', NOW));
  t.strictSame(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
});
