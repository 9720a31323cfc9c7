import { CniCode } from '../cni/errors.ts';
import { describeRule, isSameRule, type Rule } from '../netlink/rule.ts';
import { addRuleRequest, deleteRuleRequest } from '../netlink/rule-message.ts';
import type { Kind } from './kind.ts';

export type AddRule = { readonly op: 'add-rule'; readonly rule: Rule };
export type DeleteRule = { readonly op: 'delete-rule'; readonly rule: Rule };

export const addRule: Kind<AddRule, DeleteRule> = {
  inverse: ({ rule }) => ({ op: 'delete-rule', rule }),
  // A rule that somebody else added counts as there, and is not ours then.
  holds: ({ rule }, observed) =>
    observed.rulesIn(rule.family).some((present) => !present.detached && isSameRule(present, rule)),
  describe: ({ rule }) => `add rule ${describeRule(rule)}`,
  difference: ({ rule }) => `rule ${describeRule(rule)} is missing`,
  request: ({ rule }) => addRuleRequest(rule),
  // Nothing was in the way when ADD looked.
  refusals: { EEXIST: { code: CniCode.conflict, text: 'such a rule was added meanwhile' } },
  undoneBy: new Set(['EEXIST']),
  undoGivesBack: false,
  needsLook: () => false,
  isChecked: true,
  // Where the kernel does not say who added a rule, only a journal does.
  isKnownByConfig: ({ rule }, observed) =>
    observed.rulesIn(rule.family).every((present) => !isSameRule(present, rule) || present.protocol !== undefined),
  effect: ({ rule }) => ({ addsRule: rule }),
  isValid: hasRule,
};

export const deleteRule: Kind<DeleteRule, AddRule> = {
  inverse: ({ rule }) => ({ op: 'add-rule', rule }),
  holds: ({ rule }, observed) => !observed.rulesIn(rule.family).some((present) => isThatOf(present, rule)),
  describe: ({ rule }) => `delete rule ${describeRule(rule)}`,
  difference: ({ rule }) => `rule ${describeRule(rule)} is still there`,
  request: ({ rule }) => deleteRuleRequest(rule),
  refusals: {},
  // The rule is gone.
  undoneBy: new Set(['ENOENT', 'ESRCH']),
  undoGivesBack: true,
  // To the kernel, what the message does not name may be anything.
  needsLook: () => true,
  // A rule that was deleted, and that somebody has put there again, is no business of ours any more.
  isChecked: false,
  isKnownByConfig: () => false,
  effect: ({ rule }) => ({ deletesRule: rule }),
  isValid: hasRule,
};

function hasRule({ rule }: { rule?: Rule }): boolean {
  return typeof rule?.family === 'number' && typeof rule.priority === 'number' && typeof rule.action === 'string';
}

// With another protocol than ours it is somebody else's, and is never deleted.
function isThatOf(present: Rule, recorded: Rule): boolean {
  const isOfThem = present.protocol === undefined || present.protocol === recorded.protocol;
  return isOfThem && isSameRule(present, recorded);
}
