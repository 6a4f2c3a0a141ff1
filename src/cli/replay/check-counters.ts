import { sumCounts, type UsageCount } from '../../core/usage.ts';
import type { DayCount } from '../../core/budget.ts';
import type { Difference } from './evidence.ts';

/** Holds what was counted for the run's owner against what the logs of its sessions say was used: nothing counted twice, nothing uncounted, whoever died in between (G14). */
export function checkCounters(days: readonly DayCount[], logged: UsageCount): readonly Difference[] {
  const counted = sumCounts(days.map(({ count }) => count));
  return (Object.keys(logged) as (keyof UsageCount)[]).filter((name) => counted[name] !== logged[name]).map((name) => ({
    count: 'mismatches', conversation: '', where: '', problem: `the counters of usage have other ${name} than the logs`, recorded: String(logged[name]), found: String(counted[name]),
  }));
}
