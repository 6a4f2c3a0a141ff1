import type { Agent } from '../agent/agent.ts';
import type { Principal } from '../agent/tool.ts';
import type { WorkerSlot } from '../core/accept/transition.ts';
import type { Claimed } from '../core/claim.ts';
import type { Circumstances } from '../core/draft.ts';
import type { Entry } from '../core/entry.ts';
import type { Operation } from '../core/operation.ts';
import type { Session } from '../core/session.ts';
import type { System } from '../core/system.ts';
import type { SpentBudgets } from '../store/spent-budgets.ts';
import type { SessionRef, Store, StoreTransaction } from '../store/store.ts';

/** What commands work with. */
export interface CommandHost {
  readonly store: Store;
  readonly system: System;
  /** The agents this process knows of; sessions of others cannot be created here. */
  readonly agents: ReadonlyMap<string, Agent>;
  /** The worker of this process, if it has one. */
  readonly work: WorkPort | null;
  /** Absent: there are none. */
  readonly budgets?: SpentBudgets | undefined;
  /** Tells of entries after their commit, for hooks. */
  readonly committed: (ref: SessionRef, entries: readonly Entry[]) => void;
}

/** How commands reach the worker of their process: a place to claim into in the same commit, and hints. */
export interface WorkPort {
  reserve(): CommandSlot | null;
  /** A command changed the session: work under an older fence ends at once. */
  sessionChanged(session: Session): void;
  /** A command changed the operation: a run of it under an older fence ends at once. */
  operationChanged(operation: Operation): void;
  /** A command left work that nobody holds. */
  wake(): void;
}

export interface CommandSlot extends WorkerSlot {
  /** `entries` are those of the command's commit. */
  begin(session: Session, claimed: Claimed, entries: readonly Entry[]): void;
  release(): void;
}

/** Who asks, and how a repetition of the request is known. */
export interface CommandOptions {
  readonly principal: Principal;
  /** The same key with the same body has one effect and one reply (G2). At most 255 characters. */
  readonly idempotencyKey?: string | undefined;
  /** Refuse with `revision_conflict` unless the session is at this revision. */
  readonly expectedRevision?: number | undefined;
  /** The command is part of this transaction, which the caller commits: until then nobody is told of it and nobody works on it. The caller's commit is told of with `Store.announce`. */
  readonly transaction?: StoreTransaction | undefined;
}

/** The reply of a command; `replayed` when it is that of an earlier request with the same key. */
export interface CommandReply<Reply> {
  readonly reply: Reply;
  readonly httpStatus: number;
  readonly replayed: boolean;
}

export function circumstancesOf({ system, budgets }: Pick<CommandHost, 'system' | 'budgets'>): Circumstances {
  return { nowMs: system.clock.nowMs(), mintId: system.ids.mint.bind(system.ids), budgets };
}

/** A principal with the role `system` reaches every owner of its tenant; any other only its own sessions (G13). */
export function ownerScope({ owner, roles }: Principal): string | undefined {
  return roles.includes('system') ? undefined : owner;
}
