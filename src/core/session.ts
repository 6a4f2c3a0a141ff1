import type { Binding, Entry, EntryKind, EntryOf, ErrorInfo, FinishReason, Identity, Interval, MessagePart, TurnEndReason, Usage } from './entry.ts';
import { entryFormats } from './entry-format.ts';
import { InvariantError } from './errors.ts';
import { wholeLog } from './intervals.ts';
import type { JsonObject } from './json.ts';
import { limits } from './limits.ts';

/**
 * What is known of a session without reading its log: the projection of its entries, plus the work in hand (fence,
 * claim, attempt, retry). Its size is bounded, whatever the length of the conversation (G11).
 */
export interface Session {
  readonly tenant: string;
  readonly id: string;
  readonly owner: string;
  readonly agent: string;
  readonly externalId: string | null;
  readonly title: string | null;
  readonly titleBy: 'person' | 'generated' | null;
  /** Beginning of the first message's text, for lists. */
  readonly preview: string | null;
  readonly metadata: JsonObject;
  readonly subject: Identity | null;
  readonly binding: Binding | null;
  readonly threadId: string | null;
  readonly archived: boolean;
  readonly ended: boolean;
  readonly createdAtMs: number;
  /** Time of the last commit; never steps back. */
  readonly updatedAtMs: number;
  /** When the last turn started; lists are sorted by it. */
  readonly activeAtMs: number;
  readonly lastSeq: number;
  /** Seq of the last entry that moves it (see `entry-format.ts`). */
  readonly revision: number;
  /** Grows whenever work in flight must no longer commit (G4). */
  readonly fence: number;
  /** The visible history. */
  readonly visible: readonly Interval[];
  readonly branches: number;
  /** The turn that has not ended. */
  readonly turn: Turn | null;
  readonly lastTurn: EndedTurn | null;
  readonly queue: readonly QueuedMessage[];
  /** Messages wait although the session is at rest. */
  readonly queueHeld: boolean;
  readonly claim: Claim | null;
  /** Claims in a row that ended by the death of their worker. */
  readonly crashes: number;
  /** At rest this long, it ends by itself; as its agent said last. */
  readonly endAfterInactivityMs: number | null;
  /** At rest, it ends by itself at this time. */
  readonly endsAtMs: number | null;
  readonly turns: number;
  readonly usage: UsageTotals;
}

export interface UsageTotals {
  readonly attempts: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedInputTokens: number;
  readonly reasoningTokens: number;
}

export interface Turn {
  readonly id: string;
  readonly startedSeq: number;
  readonly startedAtMs: number;
  readonly origin: 'message' | 'greeting';
  /** The user message that opened it. */
  readonly messageId: string | null;
  /** Model asked for with the message. */
  readonly model: string | null;
  /** Generations committed. */
  readonly steps: number;
  /** Failed and lost attempts of the whole turn, and of the step being tried. */
  readonly failedAttempts: number;
  readonly stepAttempts: number;
  /** The last assistant step, once there is one. */
  readonly lastStep: LastStep | null;
  /** A successful result of a `stopAfter` tool is in. */
  readonly stopAfterTool: boolean;
  /** The generation in flight, or the one that died with its worker. */
  readonly attempt: Attempt | null;
  /** A failed attempt waits for its next try. */
  readonly retry: Retry | null;
}

export interface LastStep {
  readonly seq: number;
  readonly finishReason: FinishReason;
  /** How many calls it made that run here. */
  readonly calls: number;
  /** Calls without a committed result; empty once they are answered. */
  readonly openCalls: readonly OpenCall[];
}

export interface OpenCall {
  readonly index: number;
  readonly toolCallId: string;
  readonly toolName: string;
  readonly problem?: string;
  /** Set when a commit named it as started, under this fence (design section 6). */
  readonly dispatchedFence?: number;
}

export interface Attempt {
  readonly id: string;
  readonly number: number;
  readonly startedAtMs: number;
}

export interface Retry {
  readonly atMs: number;
  readonly delayMs: number;
  /** Number of the attempt that comes. */
  readonly attempt: number;
  readonly reason: string;
}

export interface EndedTurn {
  readonly id: string;
  readonly reason: TurnEndReason;
  readonly error: ErrorInfo | null;
}

export interface QueuedMessage {
  readonly messageId: string;
  /** The turn it will open. */
  readonly turnId: string;
  /** The entry that holds its content. */
  readonly seq: number;
  readonly model?: string;
  readonly queuedAtMs: number;
  /** What the session's preview becomes when this message is the first that starts. */
  readonly preview?: string;
}

export interface Claim {
  readonly worker: string;
  readonly claimedAtMs: number;
  /** Reclaimed after repeated crashes: its worker runs nothing else meanwhile. */
  readonly solo: boolean;
}

export type SessionStatus = 'idle' | 'ready' | 'running' | 'failed' | 'ended';

/** Where a session is in its life; derived, so that it cannot disagree with the facts. */
export function statusOf(session: Session): SessionStatus {
  if (session.ended) return 'ended';
  if (session.turn !== null) return session.claim === null ? 'ready' : 'running';
  return session.lastTurn?.reason === 'failed' ? 'failed' : 'idle';
}

export function isAtRest(session: Session): boolean {
  return session.turn === null;
}

/**
 * When somebody must look at the session although nothing happens to it: the retry, the end by inactivity; 0 for work that nobody holds, which is due whatever the
 * clock says. null: never.
 */
export function dueAtMs(session: Session): number | null {
  if (session.ended) return null;
  if (session.turn === null) return session.endsAtMs;
  if (session.claim !== null) return null;
  return session.turn.retry?.atMs ?? 0;
}

export interface NewSession {
  readonly tenant: string;
  readonly id: string;
}

const noUsage: UsageTotals = { attempts: 0, inputTokens: 0, outputTokens: 0, cachedInputTokens: 0, reasoningTokens: 0 };

export function emptySession({ tenant, id }: NewSession, nowMs: number): Session {
  return {
    tenant, id, owner: '', agent: '', externalId: null, title: null, titleBy: null, preview: null, metadata: {}, subject: null, binding: null,
    threadId: null, archived: false, ended: false, createdAtMs: nowMs, updatedAtMs: nowMs, activeAtMs: nowMs, lastSeq: 0,
    revision: 0, fence: 0, visible: wholeLog, branches: 0, turn: null, lastTurn: null, queue: [], queueHeld: false, claim: null,
    crashes: 0, endAfterInactivityMs: null, endsAtMs: null, turns: 0, usage: noUsage,
  };
}

/** The session after one more entry. A kind of a newer version changes nothing that this version knows of. */
export function project(session: Session, entry: Entry): Session {
  const next: Session = {
    ...session,
    lastSeq: entry.seq,
    updatedAtMs: Math.max(session.updatedAtMs, entry.atMs),
    revision: entryFormats[entry.kind]?.movesRevision ? entry.seq : session.revision,
  };
  const projection = projections[entry.kind] as ((session: Session, entry: Entry) => Session) | undefined;
  return projection === undefined ? next : projection(next, entry);
}

/** What each kind means for the projection. */
const projections: { readonly [Kind in EntryKind]: (session: Session, entry: EntryOf<Kind>) => Session } = {
  'session-created': (session, entry) => ({
    ...session, agent: entry.agent, owner: entry.owner, externalId: entry.externalId ?? null, title: entry.title ?? null,
    titleBy: entry.title === undefined ? null : 'person', metadata: entry.metadata ?? {}, subject: entry.subject ?? null,
    binding: entry.binding ?? null, threadId: entry.threadId ?? null, createdAtMs: entry.atMs,
  }),
  'turn-started': (session, entry) => openTurn(session, entry, { origin: entry.origin, messageId: null, model: null }),
  'user-message': (session, entry) =>
    openTurn({ ...session, ...previewAfter(session, entry), queue: withoutMessage(session.queue, entry.messageId) }, entry, { origin: 'message', messageId: entry.messageId, model: entry.model ?? null }),
  'assistant-step': (session, entry) => withTurn(countUsage(session, entry.attempt.usage), (turn) => afterStep(turn, entry)),
  'tool-results': (session, entry) => withTurn(session, (turn) => ({
    ...turn,
    stopAfterTool: turn.stopAfterTool || entry.results.some((result) => result.stopsTurn === true),
    lastStep: turn.lastStep === null ? null : { ...turn.lastStep, openCalls: [] },
  })),
  'turn-ended': (session, entry) => ({
    ...session, turn: null, lastTurn: { id: entry.turnId, reason: entry.reason, error: entry.error ?? null },
  }),
  'attempt-failed': (session, entry) => withTurn(countUsage(session, entry.attempt.usage), (turn) => ({
    ...failedOnce(turn),
    retry: entry.retry === undefined ? null : { ...entry.retry, attempt: entry.attempt.number + 1, reason: entry.error.code },
  })),
  'attempt-lost': (session) => withTurn(countUsage(session, null), failedOnce),
  'attempt-stopped': (session) => withTurn(countUsage(session, null), (turn) => ({ ...turn, attempt: null })),
  'branch-discarded': (session) => ({ ...session, branches: session.branches + 1 }),
  'session-ended': (session) => ({ ...session, ended: true, endsAtMs: null }),
  'archived-set': (session, entry) => ({ ...session, archived: entry.archived }),
  'metadata-set': (session, entry) => ({ ...session, metadata: entry.metadata }),
  'title-set': (session, entry) => ({ ...session, title: entry.title, titleBy: entry.title === null ? null : entry.by }),
  'message-queued': (session, entry) => {
    const queued: QueuedMessage = { messageId: entry.messageId, turnId: entry.turnId, seq: entry.seq, queuedAtMs: entry.atMs, ...modelOf(entry), ...queuedPreview(session, entry) };
    return { ...session, queue: entry.first === true ? [queued, ...session.queue] : [...session.queue, queued] };
  },
  'queued-message-edited': (session, entry) => ({
    ...session,
    queue: session.queue.map(({ preview, ...queued }) =>
      (queued.messageId === entry.messageId ? { ...queued, seq: entry.seq, ...modelOf(entry), ...queuedPreview(session, entry) } : { ...queued, ...(preview === undefined ? {} : { preview }) })),
  }),
  'queued-message-moved': (session, entry) => ({
    ...session,
    queue: [...session.queue.filter((queued) => queued.messageId === entry.messageId), ...withoutMessage(session.queue, entry.messageId)],
  }),
  'message-unqueued': (session, entry) => ({ ...session, queue: withoutMessage(session.queue, entry.messageId) }),
  'queue-held': (session) => ({ ...session, queueHeld: true }),
  'queue-released': (session) => ({ ...session, queueHeld: false }),
};

/** A message that waited brings its beginning along: the entry that starts it has its content only in the log. */
function previewAfter(session: Session, { messageId, parts }: EntryOf<'user-message'>): Pick<Session, 'preview'> {
  const queued = session.queue.find((message) => message.messageId === messageId);
  return { preview: session.preview ?? queued?.preview ?? previewOf(parts) };
}

function queuedPreview({ preview }: Session, { parts }: { readonly parts: readonly MessagePart[] }): Pick<QueuedMessage, 'preview'> {
  const own = preview === null ? previewOf(parts) : null;
  return own === null ? {} : { preview: own };
}

function previewOf(parts: readonly MessagePart[]): string | null {
  for (const part of parts) if (part.type === 'text' && part.text !== '') return part.text.slice(0, limits.previewCharsMax).toWellFormed();
  return null;
}

function modelOf({ model }: { readonly model?: string }): { readonly model?: string } {
  return model === undefined ? {} : { model };
}

function withoutMessage(queue: readonly QueuedMessage[], messageId: string): readonly QueuedMessage[] {
  return queue.filter((queued) => queued.messageId !== messageId);
}

function afterStep(turn: Turn, entry: EntryOf<'assistant-step'>): Turn {
  const openCalls = entry.parts.flatMap((part): OpenCall[] => {
    if (part.type !== 'tool-call' || part.providerExecuted === true) return [];
    const { index, toolCallId, toolName, problem } = part;
    return [problem === undefined ? { index, toolCallId, toolName } : { index, toolCallId, toolName, problem }];
  });
  return {
    ...turn, steps: turn.steps + 1, stepAttempts: 0, attempt: null, retry: null,
    lastStep: { seq: entry.seq, finishReason: entry.finishReason, calls: openCalls.length, openCalls },
  };
}

function openTurn(session: Session, entry: Entry & { readonly turnId: string }, opening: Pick<Turn, 'origin' | 'messageId' | 'model'>): Session {
  return {
    ...session,
    turns: session.turns + 1,
    activeAtMs: entry.atMs,
    endsAtMs: null,
    turn: {
      ...opening, id: entry.turnId, startedSeq: entry.seq, startedAtMs: entry.atMs, steps: 0, failedAttempts: 0, stepAttempts: 0,
      lastStep: null, stopAfterTool: false, attempt: null, retry: null,
    },
  };
}

function failedOnce(turn: Turn): Turn {
  return { ...turn, attempt: null, retry: null, failedAttempts: turn.failedAttempts + 1, stepAttempts: turn.stepAttempts + 1 };
}

function countUsage(session: Session, usage: Usage | null): Session {
  const totals = session.usage;
  return {
    ...session,
    usage: {
      attempts: totals.attempts + 1,
      inputTokens: totals.inputTokens + (usage?.inputTokens ?? 0),
      outputTokens: totals.outputTokens + (usage?.outputTokens ?? 0),
      cachedInputTokens: totals.cachedInputTokens + (usage?.cachedInputTokens ?? 0),
      reasoningTokens: totals.reasoningTokens + (usage?.reasoningTokens ?? 0),
    },
  };
}

function withTurn(session: Session, change: (turn: Turn) => Turn): Session {
  if (session.turn === null) throw new InvariantError(`session ${session.id} has no open turn`);
  return { ...session, turn: change(session.turn) };
}
