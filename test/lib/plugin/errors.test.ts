import t from 'tap';
import type { Change } from '../../../lib/change/change.ts';
import { ChangeRefused } from '../../../lib/change/transaction.ts';
import { FileError } from '../../../lib/files/files.ts';
import { AddonError } from '../../../lib/native/errors.ts';
import { NetlinkError } from '../../../lib/netlink/errors.ts';
import { routeVia } from '../../../lib/netlink/route.ts';
import { NamespaceError } from '../../../lib/netns/netns.ts';
import { conflictError, notUndoneError, refusedError, timeoutError, translated } from '../../../lib/plugin/errors.ts';
import { NotYet } from '../../../lib/plugin/plan.ts';
import { observed } from '../../support/plugins/observed.ts';

// errno-base.h
const [EPERM, EEXIST] = [1, 17];
const POD = observed({ lo: [], eth0: ['10.0.0.5/24'] });
const via = (gw: string): Change => ({
  op: 'add-route',
  route: routeVia(gw, { dst: '10.1.0.0/16', family: 4, link: 2, protocol: 87 }),
});
const PENDING = [
  { change: via('10.0.0.1'), source: 'routes[0]' },
  { change: via('10.0.0.2'), source: 'routes[1]' },
];

t.test('routes in the way are 103, each with what is wanted and what is there', async (t) => {
  const conflict = (source: string) => ({ source, wanted: 'a', found: 'b' });
  t.match(conflictError([conflict('routes[0]')]), {
    code: 103,
    message: 'routes[0]: a is wanted, but b is there; see "onConflict"',
  });
  const details = 'routes[0]: a is wanted, but b is there\nroutes[1]: a is wanted, but b is there';
  t.match(conflictError([conflict('routes[0]'), conflict('routes[1]')]), { details });
});

t.test('a refused change is named by its place, with what could not be undone', async (t) => {
  const reason = new NetlinkError('add route x', EPERM);
  const error = refusedError(new ChangeRefused(1, reason, [via('10.0.0.1')]), PENDING, POD);
  t.match(error, { code: 104, message: /^routes\[1\]: the kernel refused to add route x: EPERM/ });
  t.equal(error.details, 'not undone: add route 10.1.0.0/16 via 10.0.0.1 dev eth0');
  const came = refusedError(new ChangeRefused(0, new NetlinkError('add route x', EEXIST), []), PENDING, POD);
  t.match(came, { code: 103, message: /^routes\[0\]: a different route was added meanwhile: add route x: EEXIST/ });
  t.notOk(came.details);
});

t.test('a journal that cannot be written in the middle of a change is 5', async (t) => {
  const cause = new FileError('/x', 'cannot be written (ENOSPC)');
  const reason = Object.assign(new NetlinkError('rename', EPERM), { cause });
  const error = refusedError(new ChangeRefused(0, reason, []), PENDING, POD);
  t.match(error, { code: 5, message: `routes[0]: ${reason.message}` });
});

t.test('what does not appear in time is 107, with how long it was waited for', async (t) => {
  const error = timeoutError(new NotYet(102, 'there is no address', { details: 'eth0 has none' }), 7);
  t.match(error, { code: 107, message: 'there is no address; waited 7 s for it', details: 'eth0 has none' });
});

t.test('what cannot be taken away is 104, with the reason for each', async (t) => {
  const failed = ['a', 'b'].map((what) => ({ change: via('10.0.0.1'), error: new NetlinkError(what, EPERM) }));
  const error = notUndoneError(failed);
  t.match(error, { code: 104, message: /^2 changes could not be undone: the kernel refused to a: EPERM/ });
  t.match(error.details, /^a: EPERM.*\nb: EPERM/);
});

t.test('each error of the layers below has its code, and others are left alone', async (t) => {
  const netlink = new NetlinkError('list routes', EPERM);
  const cases: [Error, { code?: number; name?: string; message: string | RegExp }][] = [
    [new FileError('/x', 'is odd'), { code: 5, message: /^dataDir: \/x.*is odd/ }],
    [new AddonError(new Error('no such file')), { code: 5, message: /no such file/ }],
    [netlink, { code: 104, message: netlink.message }],
    [new NamespaceError('/x', 'does not exist'), { code: 4, message: 'CNI_NETNS: /x does not exist' }],
    [new TypeError('ours'), { name: 'TypeError', message: 'ours' }],
  ];
  for (const [error, expected] of cases) {
    const work = async () => {
      throw error;
    };
    await t.rejects(translated(work), { ...expected }, error.name);
  }
  t.equal(await translated(async () => 7), 7);
});
