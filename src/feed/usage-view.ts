import { dateOfDay, dayOf, dayOfDate } from '../core/calendar.ts';
import type { AttemptPurpose, AttemptRecord, Entry, Usage } from '../core/entry.ts';
import { refuse, type Refusal } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import { addCounts, countOf, negative, noCount, sumCounts, type UsageCount } from '../core/usage.ts';
import type { Store } from '../store/store.ts';

/** A page of them is in memory, and one may have a megabyte. */
const pageEntries = 100;
const pageDays = 30;

/** How an attempt ended. `late`: not another attempt, but what one before has used, which was known only after it had been recorded without. */
export type AttemptOutcome = 'done' | 'failed' | 'stopped' | 'lost' | 'late';

/** An attempt as clients see it. */
export interface AttemptView {
  readonly id: string;
  /** Place of its entry in the log. */
  readonly seq: number;
  readonly atMs: number;
  readonly turnId: string | null;
  readonly outcome: AttemptOutcome;
  readonly purpose: AttemptPurpose | 'step';
  /** 1 for the first try of a step. */
  readonly number: number;
  readonly provider: string | null;
  readonly model: string | null;
  readonly providerResponseId: string | null;
  readonly startedAtMs: number;
  readonly durationMs: number | null;
  /** null: not known. */
  readonly usage: Usage | null;
  /** In millionths of the currency of the agent's prices. null: not known. */
  readonly costMicros: number | null;
}

/** What a session has used, of whatever branch, while it was itself: what a fork copied is its origin's. */
export interface SessionUsage {
  readonly sessionId: string;
  readonly total: UsageCount;
  /** null: attempts of which no model is known, as those that died with their worker. */
  readonly models: readonly (UsageCount & { readonly provider: string | null; readonly model: string | null })[];
  readonly purposes: readonly (UsageCount & { readonly purpose: AttemptPurpose | 'step' })[];
  readonly attempts: { readonly items: readonly AttemptView[]; /** `after` of the next page; null at the end. */ readonly nextCursor: number | null };
}

/** What was used in a range of days, by an owner or a whole tenant. */
export interface UsageReport {
  /** null: all owners of the tenant. */
  readonly owner: string | null;
  /** Dates of UTC, both included. */
  readonly from: string;
  readonly to: string;
  readonly total: UsageCount;
  /** In order; days on which nothing was used are left out. */
  readonly days: readonly (UsageCount & { readonly day: string })[];
}

/** What a session has used, and its attempts after a seq, at most `limit`. Reads the log. */
export async function readSessionUsage(store: Store, session: Session, { after = 0, limit }: { readonly after?: number | undefined; readonly limit: number }): Promise<SessionUsage> {
  const sums = new Sums();
  const items: AttemptView[] = [];
  for (let read = 0; read < session.lastSeq;) {
    const page = await store.readEntries(session, { afterSeq: read, limit: pageEntries });
    if (page.length === 0) break;
    read = page.at(-1)?.seq ?? session.lastSeq;
    for (const entry of page) {
      const [count, attempt] = [countOf(entry), viewOf(entry)];
      if (count === null || attempt === null || entry.seq > session.lastSeq) continue;
      sums.add(attempt, count);
      if (attempt.seq > after && items.length <= limit) items.push(attempt);
    }
  }
  const isMore = items.length > limit;
  const { total, models, purposes } = sums;
  return {
    sessionId: session.id, total, models, purposes,
    attempts: { items: items.slice(0, limit), nextCursor: isMore ? (items[limit - 1]?.seq ?? null) : null },
  };
}

/** By model and by purpose. An attempt of which more was said late has the model and the purpose that were said then. */
class Sums {
  readonly #models = new Map<string, SessionUsage['models'][number]>();
  readonly #purposes = new Map<string, SessionUsage['purposes'][number]>();
  /** Attempts whose usage is not known yet, by id. */
  readonly #unknown = new Map<string, { readonly attempt: AttemptView; readonly count: UsageCount }>();

  get models(): SessionUsage['models'] {
    return [...this.#models.values()].filter(isSome);
  }

  get purposes(): SessionUsage['purposes'] {
    return [...this.#purposes.values()].filter(isSome);
  }

  get total(): UsageCount {
    return sumCounts(this.#purposes.values());
  }

  add(attempt: AttemptView, count: UsageCount): void {
    const before = attempt.outcome === 'late' ? this.#unknown.get(attempt.id) : undefined;
    if (before !== undefined) {
      this.#sum(before.attempt, negative(before.count));
      this.#sum(attempt, before.count);
    }
    this.#sum(attempt, count);
    if (attempt.outcome !== 'late' && attempt.usage === null) this.#unknown.set(attempt.id, { attempt, count });
  }

  #sum({ provider, model, purpose }: AttemptView, count: UsageCount): void {
    const named = `${provider ?? ''}\n${model ?? ''}`;
    this.#models.set(named, { provider, model, ...addCounts(this.#models.get(named) ?? noCount, count) });
    this.#purposes.set(purpose, { purpose, ...addCounts(this.#purposes.get(purpose) ?? noCount, count) });
  }
}

function isSome(count: UsageCount): boolean {
  return (Object.keys(noCount) as (keyof UsageCount)[]).some((name) => count[name] !== 0);
}

/** What was used from one date to another, by default in the last 30 days. Refusal: `invalid_request`. */
export async function readUsage(store: Store, { tenant, owner }: { readonly tenant: string; readonly owner?: string | undefined }, { from, to }: { readonly from?: string | undefined; readonly to?: string | undefined }): Promise<UsageReport | Refusal> {
  const toDay = to === undefined ? dayOf(store.nowMs()) : dayOfDate(to);
  const fromDay = from === undefined ? (toDay ?? 0) - pageDays + 1 : dayOfDate(from);
  if (toDay === null || fromDay === null) return refuse('invalid_request', `${JSON.stringify((toDay === null ? to : from)?.slice(0, 100))} is no date: dates are of UTC and look like 2026-01-31`);
  if (fromDay > toDay || toDay - fromDay >= limits.usageDaysMax) return refuse('invalid_request', `the days from ${dateOfDay(fromDay)} to ${dateOfDay(toDay)} are none, or more than ${limits.usageDaysMax}`);
  const days = await store.usage.readDays({ tenant, owner, fromDay, toDay });
  return {
    owner: owner ?? null, from: dateOfDay(fromDay), to: dateOfDay(toDay), total: sumCounts(days.map(({ count }) => count)),
    days: days.map(({ day, count }) => ({ day: dateOfDay(day), ...count })),
  };
}

function viewOf(entry: Entry): AttemptView | null {
  const attempt: AttemptRecord | null = 'attempt' in entry ? entry.attempt : entry.kind === 'late-usage' ? entry.late : null;
  if (attempt === null) return null;
  const { id, number, startedAtMs, usage, provider = null, model = null, providerResponseId = null, durationMs = null, costMicros = null, purpose = 'step' } = attempt;
  const turnId = 'turnId' in entry ? (entry.turnId ?? null) : null;
  return { id, seq: entry.seq, atMs: entry.atMs, turnId, outcome: outcomeOf(entry), purpose, number, provider, model, providerResponseId, startedAtMs, durationMs, usage, costMicros };
}

function outcomeOf(entry: Entry): AttemptOutcome {
  switch (entry.kind) {
    case 'attempt-failed':
      return 'failed';
    case 'attempt-lost':
      return 'lost';
    case 'attempt-stopped':
      return 'stopped';
    case 'late-usage':
      return 'late';
    case 'assistant-step':
      return entry.stopped === true ? 'stopped' : 'done';
    case 'label-failed':
      return entry.error.code === 'lost' ? 'lost' : 'failed';
    case 'user-simulated':
      return entry.error === undefined ? 'done' : entry.error.code === 'aborted' ? 'stopped' : 'failed';
    default:
      return 'done';
  }
}
