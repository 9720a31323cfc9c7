import t from 'tap';
import type { Route } from '../../../lib/netlink/route.ts';
import { routeVia } from '../../../lib/netlink/route.ts';
import type { Rule } from '../../../lib/netlink/rule.ts';
import { Observation } from '../../../lib/observation/observation.ts';
import { type OnConflict, reconcileRoutes, reconcileRules } from '../../../lib/plugin/reconcile.ts';
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
    t.strictSame(reconcile([], onConflict), ADDED, 'a route is added if there is none');
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

const RULE: Rule = { family: 4, priority: 7, action: 'lookup', table: 100, protocol: 87, from: '10.0.0.5/32' };
const ADD_RULE = { change: { op: 'add-rule', rule: RULE }, source: 'rules[0]' };

function reconcileRule(rules: Rule[], onConflict: OnConflict) {
  const there = Observation.ofData({ links: [], addresses: [], routes: [], rules });
  return reconcileRules([{ rule: RULE, source: 'rules[0]' }], there, onConflict);
}

t.test('a rule', async (t) => {
  const added = { changes: [ADD_RULE], conflicts: [], kept: [] };
  for (const onConflict of ['fail', 'replace', 'keep'] as const) {
    t.strictSame(reconcileRule([], onConflict), added, 'is added where there is none');
    t.strictSame(reconcileRule([{ ...RULE, protocol: 4 }], onConflict), added, 'an identical one is no conflict');
    const others: Rule[] = [
      { ...RULE, family: 6, from: 'fd00::5/128' },
      { ...RULE, priority: 8, table: 200 },
      { ...RULE, from: '10.0.0.6/32', table: 200 },
      { ...RULE, iif: 'eth0', table: 200 },
      { ...RULE, iif: 'eth0', protocol: 4 },
    ];
    t.strictSame(reconcileRule(others, onConflict), added, 'nor is one of another family, priority or selection');
    const [hidden] = reconcileRule([{ ...RULE, iif: 'eth0' }], onConflict).conflicts;
    t.match(hidden?.found, /iif eth0 lookup 100, which the kernel could not tell from it/);
  }
  const other: Rule = { ...RULE, table: 200, protocol: 4 };
  const [wanted, found] = [
    'rule priority 7 from 10.0.0.5/32 lookup 100',
    'rule priority 7 from 10.0.0.5/32 lookup 200',
  ];
  t.strictSame(reconcileRule([other], 'fail'), {
    changes: [],
    conflicts: [{ source: 'rules[0]', wanted, found }],
    kept: [],
  });
  t.strictSame(reconcileRule([other], 'keep'), { changes: [], conflicts: [], kept: [ADD_RULE.change] });
  const deletion = { change: { op: 'delete-rule', rule: other }, source: 'rules[0]' };
  t.strictSame(reconcileRule([other], 'replace').changes, [deletion, ADD_RULE]);
  const beside: Rule = { ...other, iif: 'eth0' };
  t.equal(
    reconcileRule([beside, other], 'replace').conflicts.length,
    1,
    'not where the kernel would delete another one',
  );
});
