import type { ContextSize } from '../core/compaction.ts';
import type { Binding, ErrorInfo, ForkOrigin, Identity } from '../core/entry.ts';
import type { JsonObject } from '../core/json.ts';
import { openActions, statusOf, type Session, type SessionStatus } from '../core/session.ts';
import type { Simulator } from '../core/simulation-entry.ts';
import type { UsageTotals } from '../core/usage.ts';

/** A session as clients see it: the published schema. */
export interface SessionView {
  readonly id: string;
  readonly externalId: string | null;
  readonly owner: string;
  readonly agent: string;
  readonly title: string | null;
  /** What its last turn was about, where its agent has summaries made: as long as that turn is visible, until the next one has its own. */
  readonly summary: { readonly turnId: string; readonly text: string } | null;
  /** Beginning of the first message's text, for lists. */
  readonly preview: string | null;
  readonly status: SessionStatus;
  readonly archived: boolean;
  readonly metadata: JsonObject;
  readonly subject: Identity | null;
  readonly binding: Binding | null;
  readonly threadId: string | null;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** When its last turn started. */
  readonly activeAtMs: number;
  /** What `If-Match` and `expectedRevision` are compared with. */
  readonly revision: number;
  readonly lastSeq: number;
  /** The turn that goes on. */
  readonly turnId: string | null;
  /** Why the last turn failed, while the session has the status `failed`. */
  readonly error: ErrorInfo | null;
  /** A failed attempt waits for its next try. */
  readonly retry: { readonly atMs: number; readonly attempt: number; readonly reason: string } | null;
  readonly queue: { readonly held: boolean; readonly count: number };
  /** What it waits for somebody to decide or to answer. */
  readonly actions: { readonly count: number };
  /** Operations that have not ended. */
  readonly operations: { readonly count: number };
  /** Discarded futures that can be restored. */
  readonly branches: { readonly count: number };
  /** What rewinding cut off and `redo` brings back. */
  readonly redo: { readonly fromTurnId: string; readonly turns: number } | null;
  readonly forkedFrom: ForkOrigin | null;
  /** The present node; null: the agent has none, or none was entered yet. */
  readonly node: string | null;
  /** Plays the user, where somebody asked for it. */
  readonly simulator: Omit<Simulator, 'id'> | null;
  readonly turns: number;
  readonly usage: UsageTotals;
  /** What the model was last sent of the conversation with its answer, and what it takes; null: not known, as before the first turn and after a move. */
  readonly context: ContextSize | null;
}

export function sessionView(session: Session): SessionView {
  const { id, externalId, owner, agent, title, preview, archived, metadata, subject, binding, threadId, createdAtMs, updatedAtMs, activeAtMs, revision, lastSeq, turns, usage } = session;
  const status = statusOf(session);
  const retry = session.turn?.retry ?? null;
  return {
    id, externalId, owner, agent, title, preview, status, archived, metadata, subject, binding, threadId, createdAtMs, updatedAtMs, activeAtMs, revision, lastSeq, turns, usage,
    summary: session.summary === null ? null : { turnId: session.summary.turnId, text: session.summary.text },
    turnId: session.turn?.id ?? null,
    error: status === 'failed' ? (session.lastTurn?.error ?? null) : null,
    retry: retry === null ? null : { atMs: retry.atMs, attempt: retry.attempt, reason: retry.reason },
    queue: { held: session.queueHeld, count: session.queue.length },
    actions: { count: openActions(session.turn).length },
    operations: { count: session.operations.length },
    branches: { count: session.branches },
    redo: session.rewound === null ? null : { fromTurnId: session.rewound.fromTurnId, turns: session.rewound.turns },
    forkedFrom: session.forkedFrom,
    node: session.node,
    context: session.context,
    simulator: simulatorView(session.simulator),
  };
}

function simulatorView(simulator: Simulator | null): SessionView['simulator'] {
  if (simulator === null) return null;
  const { id: _id, ...view } = simulator;
  return view;
}
