import type { AttemptRecord } from './attempt.ts';

/** Whose budget it is, what it counts, and for how long. */
export type BudgetSubject = 'owner' | 'tenant';
export type BudgetUnit = 'tokens' | 'cost';
export type BudgetPeriod = 'day' | 'week' | 'month';

/** The provider has said after all what an attempt used that had been given up: its worker lost the session, and somebody else recorded the attempt without usage. It is the same attempt and counts no second time. */
export interface LateUsage {
  readonly kind: 'late-usage';
  readonly turnId: string;
  readonly late: AttemptRecord;
}

/** A budget that is used up, as of when that was seen. */
export interface SpentBudget {
  readonly per: BudgetSubject;
  readonly unit: BudgetUnit;
  readonly period: BudgetPeriod;
  /** Tokens, or millionths of the currency. */
  readonly limit: number;
  readonly used: number;
  /** When the period ends. */
  readonly resetAtMs: number;
}

/** A turn was to go on with a generation that a budget does not allow. */
export interface BudgetExhausted extends SpentBudget {
  readonly kind: 'budget-exhausted';
  readonly turnId: string;
  /** The turn waits and goes on then, or when the budget is raised; absent: it fails. */
  readonly retry?: { readonly delayMs: number; readonly atMs: number };
  /** Number of the attempt that does not begin. */
  readonly nextAttempt: number;
}
