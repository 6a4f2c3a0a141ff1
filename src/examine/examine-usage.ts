import { dateOfDay, dayOf } from '../core/calendar.ts';
import type { Entry } from '../core/entry.ts';
import { addCounts, countOf, noCount, type UsageCount } from '../core/usage.ts';
import type { Problem, StoreSnapshot } from '../store/administration.ts';

/** Sums what entries say was used, by tenant and day. */
export class UsageTally {
  readonly #days = new Map<string, UsageCount>();

  add(tenant: string, entry: Entry): void {
    const count = countOf(entry);
    if (count === null) return;
    const key = keyOf(tenant, dayOf(entry.atMs));
    this.#days.set(key, addCounts(this.#days.get(key) ?? noCount, count));
  }

  get days(): ReadonlyMap<string, UsageCount> {
    return this.#days;
  }
}

/** Holds the counters of usage against the logs, of which `logged` has those of all sessions, and against the attempts of sessions that are gone. A process of a version that did not count may have worked here: so what differs is worth knowing, and no damage. */
export async function examineUsage(snapshot: Pick<StoreSnapshot, 'usage' | 'keptAttempts'>, logged: UsageTally): Promise<{ readonly detail: string; readonly warnings: readonly Problem[] }> {
  for await (const { tenant, entry } of snapshot.keptAttempts()) logged.add(tenant, entry);
  const counted = new Map((await snapshot.usage()).map(({ tenant, day, count }) => [keyOf(tenant, day), count]));
  const keys = [...new Set([...counted.keys(), ...logged.days.keys()])].sort();
  const warnings = keys.flatMap((key): readonly Problem[] => {
    const [has, should] = [counted.get(key) ?? noCount, logged.days.get(key) ?? noCount];
    const differing = (Object.keys(noCount) as (keyof UsageCount)[]).filter((name) => has[name] !== should[name]);
    if (differing.length === 0) return [];
    const [tenant = '', day = '0'] = key.split('\n');
    return [{ code: 'usage_differs', message: `the counters of tenant ${tenant} on ${dateOfDay(Number(day))} have ${differing.map((name) => `${name} ${has[name]}`).join(', ')}; the logs have ${differing.map((name) => String(should[name])).join(', ')}` }];
  });
  return { detail: `the counters of ${keys.length} ${keys.length === 1 ? 'day' : 'days'} agree with the logs`, warnings };
}

function keyOf(tenant: string, day: number): string {
  return `${tenant}\n${day}`;
}
