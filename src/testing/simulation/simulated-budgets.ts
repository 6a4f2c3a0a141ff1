import type { Budgets } from '../../store/spent-budgets.ts';
import type { Chance } from './chance.ts';

/** In so many runs there is a budget. */
const budgetShare = 0.2;

/** A budget that is soon used up, in some runs: turns fail by it, or wait until it is raised, which it is once `isRaised`. */
export function simulatedBudgets(chance: Chance, isRaised: () => boolean): Budgets {
  if (!chance.happens(budgetShare)) return [];
  const tokens = { per: chance.pick(['owner', 'tenant'] as const) ?? 'owner', unit: 'tokens', limit: chance.between(100, 2_000), whenExhausted: chance.pick(['fail', 'wait'] as const) ?? 'fail' } as const;
  const budget = { ...tokens, ...(chance.happens(0.3) ? { unit: 'cost', limit: tokens.limit / 500_000 } as const : {}), period: chance.pick(['day', 'week', 'month'] as const) ?? 'day' };
  return () => (isRaised() ? [] : [budget]);
}
