import { CONFIGS } from './configs.ts';
import { OPERATIONS } from './operations.ts';
import type { Scenario } from './scenario.ts';
import { ANNOTATIONS } from './selections.ts';

/** All that is asked. */
export const SCENARIOS: readonly Scenario[] = [...OPERATIONS, ...ANNOTATIONS, ...CONFIGS];
