import t from 'tap';
import { parseChange } from '../../../lib/change/change.ts';
import { addRule, deleteRule } from '../../../lib/change/rule-kinds.ts';
import type { Rule } from '../../../lib/netlink/rule.ts';
import { Observation } from '../../../lib/observation/observation.ts';
import { observed } from '../../support/plugins/observed.ts';

const pod = () => observed({ lo: [], eth0: [] });
const RULE: Rule = { family: 4, priority: 7, action: 'lookup', table: 100, protocol: 87, from: '10.0.0.5/32' };
const { protocol: _, ...OLD } = RULE;
const withRules = (...rules: Rule[]) => Observation.ofData({ links: [], addresses: [], routes: [], rules });
const [ADD_RULE, DELETE_RULE] = [
  { op: 'add-rule', rule: RULE },
  { op: 'delete-rule', rule: RULE },
] as const;

t.test('what each kind is', async (t) => {
  t.match(addRule, { undoGivesBack: false, isChecked: true });
  t.match(deleteRule, { undoGivesBack: true, isChecked: false });
  t.strictSame([addRule.needsLook(ADD_RULE), deleteRule.needsLook(DELETE_RULE)], [false, true]);
  const known = (...rules: Rule[]) => addRule.isKnownByConfig(ADD_RULE, withRules(...rules));
  t.strictSame([known(), known(RULE), known(OLD), known({ ...OLD, table: 9 })], [true, true, false, true]);
  t.equal(deleteRule.isKnownByConfig(DELETE_RULE, withRules(RULE)), false);
  t.strictSame([[...addRule.undoneBy], [...deleteRule.undoneBy]], [['EEXIST'], ['ENOENT', 'ESRCH']]);
});

t.test('when it is there, and when it is gone', async (t) => {
  const there = (...rules: Rule[]) => addRule.holds(ADD_RULE, withRules(...rules));
  t.strictSame(
    [there(), there(RULE), there({ ...RULE, protocol: 4 }), there({ ...RULE, detached: true })],
    [false, true, true, false],
  );
  const gone = (...rules: Rule[]) => deleteRule.holds(DELETE_RULE, withRules(...rules));
  t.strictSame(
    [gone(), gone(RULE), gone({ ...RULE, protocol: 4 }), gone(OLD), gone({ ...OLD, table: 9 })],
    [true, false, true, false, true],
  );
});

t.test('what lacks a field is not known', async (t) => {
  for (const change of [ADD_RULE, DELETE_RULE]) {
    t.equal(parseChange(change), change);
    for (const rule of [undefined, {}, { ...RULE, family: '4' }, { ...RULE, priority: '7' }, { ...RULE, action: 7 }])
      t.equal(parseChange({ ...change, rule }), undefined);
  }
});

t.test('in words', async (t) => {
  const text = 'priority 7 from 10.0.0.5/32 lookup 100';
  t.strictSame(
    [addRule.describe(ADD_RULE, pod()), addRule.difference(ADD_RULE, pod())],
    [`add rule ${text}`, `rule ${text} is missing`],
  );
  t.strictSame(
    [deleteRule.describe(DELETE_RULE, pod()), deleteRule.difference(DELETE_RULE, pod())],
    [`delete rule ${text}`, `rule ${text} is still there`],
  );
});
