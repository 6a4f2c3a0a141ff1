import { decisive, exhaustedBy, periodDays, type Budget, type DayCount, type Exhausted, type KnownBudgets } from '../core/budget.ts';
import { dayOf } from '../core/calendar.ts';
import { HoldfastError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { noCount, type UsageCount } from '../core/usage.ts';
import type { SessionKey, Store } from './store.ts';

/** The budgets of an owner, or of all. Asked again and again: what it says may change while the process runs. */
export type Budgets = readonly Budget[] | ((owner: { readonly tenant: string; readonly owner: string }) => readonly Budget[]);

/** How old what is known may be. A tenant's sum may be that old when it is read, and is remembered as long again. */
const ageMsMax = { owner: limits.budgetAgeMsMax, tenant: limits.budgetAgeMsMax / 2 } as const;

/** The same, if they are budgets. Throws `HoldfastError` with code `options_invalid`. */
export function requireBudgets(budgets: Budgets): Budgets {
  if (typeof budgets === 'function') return budgets;
  for (const { per, unit, period, limit, whenExhausted = 'fail' } of budgets) {
    const isKnown = ['owner', 'tenant'].includes(per) && ['tokens', 'cost'].includes(unit) && ['day', 'week', 'month'].includes(period) && ['fail', 'wait'].includes(whenExhausted);
    if (!isKnown || !(Number.isFinite(limit) && limit >= 0)) {
      throw new HoldfastError('options_invalid', `a budget is { per: 'owner' | 'tenant', unit: 'tokens' | 'cost', period: 'day' | 'week' | 'month', limit, whenExhausted?: 'fail' | 'wait' } with a limit that is not negative; this is ${JSON.stringify({ per, unit, period, limit, whenExhausted })}`);
    }
  }
  return budgets;
}

/** Whose budgets: of a tenant, or of one of its owners. */
interface Subject {
  readonly tenant: string;
  readonly owner: string;
}

interface Read {
  /** When the reading began: what was committed before is in it. */
  readonly atMs: number;
  readonly days: readonly DayCount[];
}

/**
 * What was used of budgets, as this process reads it: for each owner and tenant whose sessions it works on at most once in `limits.budgetAgeMsMax`, and only what their budgets ask for. So a process begins no generation by what
 * is older than that.
 */
export class SpentBudgets implements KnownBudgets {
  readonly #store: Store;
  readonly #budgets: Budgets;
  readonly #reads = new Map<string, Read>();
  readonly #reading = new Map<string, Promise<void>>();

  constructor(store: Store, budgets: Budgets) {
    this.#store = store;
    this.#budgets = budgets;
  }

  /** Reads what is not known, or was read too long ago. Rejects as the store does. */
  async readFor(session: Subject): Promise<void> {
    const nowMs = this.#store.nowMs();
    const budgets = this.#budgetsOf(session);
    await Promise.all((['owner', 'tenant'] as const).map(async (per) => {
      const ofThem = budgets.filter((budget) => budget.per === per);
      if (ofThem.length > 0 && !this.#isKnown(session, per, nowMs)) await this.#read(session, per, ofThem, nowMs);
    }));
  }

  /** The same for a session of which no more is known. */
  async readForSession(key: SessionKey): Promise<void> {
    const session = await this.#store.readSession(key);
    if (session !== null) await this.readFor(session);
  }

  /** The budget that is used up, as of now. For generations beside a turn's steps, which no decision looks at. Rejects as the store does. */
  async exhaustedNow(key: SessionKey): Promise<Exhausted | null> {
    const session = await this.#store.readSession(key);
    if (session === null) return null;
    await this.readFor(session);
    return this.exhausted(session, noCount, this.#store.nowMs());
  }

  isKnown(session: Subject): boolean {
    const nowMs = this.#store.nowMs();
    return this.#budgetsOf(session).every(({ per }) => this.#isKnown(session, per, nowMs));
  }

  exhausted(session: Subject, more: UsageCount, nowMs: number): Exhausted | null {
    return decisive(this.#budgetsOf(session).flatMap((budget) => exhaustedBy(budget, this.#reads.get(keyOf(session, budget.per))?.days ?? [], more, nowMs) ?? []));
  }

  #budgetsOf({ tenant, owner }: Subject): readonly Budget[] {
    return typeof this.#budgets === 'function' ? this.#budgets({ tenant, owner }) : this.#budgets;
  }

  #isKnown(session: Subject, per: Budget['per'], nowMs: number): boolean {
    const read = this.#reads.get(keyOf(session, per));
    return read !== undefined && nowMs >= read.atMs && nowMs - read.atMs < ageMsMax[per];
  }

  #read(session: Subject, per: Budget['per'], budgets: readonly Budget[], nowMs: number): Promise<void> {
    const key = keyOf(session, per);
    const reading = this.#reading.get(key) ?? this.#readDays(session, per, budgets, nowMs).then((days) => {
      this.#reads.delete(key);
      this.#reads.set(key, { atMs: nowMs, days });
      forgetOldest(this.#reads);
    }).finally(() => this.#reading.delete(key));
    this.#reading.set(key, reading);
    return reading;
  }

  async #readDays({ tenant, owner }: Subject, per: Budget['per'], budgets: readonly Budget[], nowMs: number): Promise<readonly DayCount[]> {
    const today = dayOf(nowMs);
    const fromDay = Math.min(...budgets.map(({ period }) => periodDays(period, nowMs).fromDay));
    return this.#store.usage.readDays({ tenant, owner: per === 'owner' ? owner : undefined, fromDay, toDay: today + 1, lateMs: ageMsMax.tenant });
  }
}

function keyOf({ tenant, owner }: Subject, per: Budget['per']): string {
  return per === 'owner' ? `o${tenant}\n${owner}` : `t${tenant}`;
}

function forgetOldest(known: Map<string, unknown>): void {
  for (const key of known.keys()) {
    if (known.size <= limits.budgetOwnersMax) return;
    known.delete(key);
  }
}
