import type { JsonObject } from '../core/json.ts';
import type { System } from '../core/system.ts';
import type { Store } from '../store/store.ts';
import type { EntryCheck } from './whole-session.ts';

/** Where imports go, and with what. */
export interface ImportHost {
  readonly store: Store;
  readonly system: System;
  readonly tenant: string;
  readonly checkEntry: EntryCheck;
}

/** How lines are taken. */
export interface ImportSettings {
  /** Agent and owner of sessions that are made of conversations; whole sessions have their own. */
  readonly agent: string;
  readonly owner: string;
  /** What a line of messages is, unless it says so itself. Default: what its messages look like. */
  readonly conversations?: 'openai' | 'ui' | undefined;
  /** Whole sessions, and their operations, get new ids. */
  readonly newIds?: boolean | undefined;
  /** Time of the first line's session, where a conversation says none; each further line's is a millisecond later, so that sessions keep the order of the file. */
  readonly firstAtMs: number;
}

/** What became of a line. Of a session of several lines, `line` is its first. */
export type LineOutcome = { readonly line: number; readonly warnings: readonly string[] } & (
  | { readonly status: 'imported' | 'exists'; readonly id: string; readonly sessionId: string }
  /** Values of a scope of state: how many were written, were there already, and were left because the scope has others. */
  | { readonly status: 'imported' | 'exists'; readonly scope: JsonObject; readonly values: { readonly imported: number; readonly existing: number; readonly kept: number } }
  | { readonly status: 'bad'; readonly error: string }
);

export function badLine(line: number, error: string): LineOutcome {
  return { line, status: 'bad', error, warnings: [] };
}
