import t from 'tap';
import type { Route } from '../../../lib/netlink/route.ts';
import { routeVia } from '../../../lib/netlink/route.ts';
import { type OnConflict, reconcileRoutes } from '../../../lib/plugin/reconcile.ts';
import { observed } from '../../support/plugins/observed.ts';

const LINK = 2;

function route(gw: string, dst = '10.1.0.0/16', protocol = 87): Route {
  return routeVia(gw, { dst, family: 4, link: LINK, protocol });
}

const WANTED = route('10.0.0.1');
const OTHER = route('10.0.0.9', '10.1.0.0/16', 3);
const wanted = [{ route: WANTED, source: 'routes[0]' }];

function reconcile(present: Route[], onConflict: OnConflict, gone: Route[] = []) {
  return reconcileRoutes(wanted, observed({ lo: [], eth0: ['10.0.0.5/24'] }, present), onConflict, new Set(gone));
}

const ADD = { change: { op: 'add-route', route: WANTED }, source: 'routes[0]' };
const ADDED = { changes: [ADD], conflicts: [], kept: [], routes: [WANTED] };

for (const onConflict of ['fail', 'replace', 'keep'] as const) {
  t.test(`onConflict ${onConflict}`, async (t) => {
    t.strictSame(reconcile([], onConflict), ADDED, 'a route is added where there is none');
    t.strictSame(reconcile([WANTED], onConflict), ADDED, 'an identical one is no conflict');
    t.strictSame(reconcile([{ ...WANTED, protocol: 3 }], onConflict), ADDED, 'whoever added it');
    t.strictSame(reconcile([OTHER], onConflict, [OTHER]), ADDED, 'nor is one that goes before');
    const others = [
      { ...OTHER, priority: 5 },
      { ...OTHER, table: 100 },
      { ...OTHER, dst: '10.2.0.0/16' },
    ];
    t.strictSame(reconcile(others, onConflict), ADDED, 'nor one with another metric, table or destination');
  });
}

t.test('another route with the same destination, table and metric', async (t) => {
  t.test('is a conflict with fail, which says what is wanted and what is there', async (t) => {
    t.strictSame(reconcile([OTHER], 'fail'), {
      changes: [],
      conflicts: [
        {
          source: 'routes[0]',
          wanted: '10.1.0.0/16 via 10.0.0.1 dev eth0',
          found: '10.1.0.0/16 via 10.0.0.9 dev eth0',
        },
      ],
      kept: [],
      routes: [WANTED],
    });
  });

  t.test('is deleted before ours is added with replace', async (t) => {
    const deletion = { change: { op: 'delete-route', route: OTHER }, source: 'routes[0]' };
    t.strictSame(reconcile([OTHER], 'replace'), { ...ADDED, changes: [deletion, ADD] });
  });

  t.test('stays with keep, and ours is not among the routes', async (t) => {
    t.strictSame(reconcile([OTHER], 'keep'), { changes: [], conflicts: [], kept: [ADD.change], routes: [] });
  });
});
