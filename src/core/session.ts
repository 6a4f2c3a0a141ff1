import type { CallNeed, OpenAction } from './action.ts';
import type { CompactionRequest, ContextSize } from './compaction.ts';
import type { AttemptPurpose, Binding, ErrorInfo, FinishReason, ForkOrigin, Identity, Interval, ToolCallPart, TurnEndReason } from './entry.ts';
import type { Rewound } from './history.ts';
import { wholeLog } from './intervals.ts';
import type { JsonObject } from './json.ts';
import type { LabelKind } from './label-entry.ts';
import type { NodeMove } from './node-entry.ts';
import type { Delivery, LiveOperation } from './operation.ts';
import type { Simulator } from './simulation-entry.ts';
import { noUsage, type UsageTotals } from './usage.ts';

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
  /** `person` with a title of null: a person wants none. */
  readonly titleBy: 'person' | 'generated' | null;
  /** Of a generated title: its entry, and the turn that it was made of. */
  readonly titleFrom: { readonly seq: number; readonly turnId: string } | null;
  /** What the last turn was about that has a summary; null once that turn is not visible any more. */
  readonly summary: TurnSummary | null;
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
  /** What rewinding cut off, until the conversation goes on. */
  readonly rewound: Rewound | null;
  /** Seq of the last entry that belongs to the conversation, visible or not; 0: not known. */
  readonly timelineSeq: number;
  readonly forkedFrom: ForkOrigin | null;
  /** The node that was entered last in the visible history; null: none was. */
  readonly node: string | null;
  /** Entries whose content was removed. */
  readonly redactions: number;
  /** The turn that has not ended. */
  readonly turn: Turn | null;
  readonly lastTurn: EndedTurn | null;
  readonly queue: readonly QueuedMessage[];
  /** Messages wait although the session is at rest. */
  readonly queueHeld: boolean;
  /** Operations that have not ended. */
  readonly operations: readonly LiveOperation[];
  /** Results of detached operations that the model has not been given yet. */
  readonly deliveries: readonly Delivery[];
  /** Turns in a row that an operation's result opened, with no message between. */
  readonly turnsUnasked: number;
  readonly claim: Claim | null;
  /** Claims in a row that ended by the death of their worker. */
  readonly crashes: number;
  /** At rest this long, it ends by itself; as its agent said last. */
  readonly endAfterInactivityMs: number | null;
  /** At rest, it ends by itself at this time. */
  readonly endsAtMs: number | null;
  /** At rest this long, it is deleted; as its agent said last. */
  readonly deleteAfterRestMs: number | null;
  /** At rest, it is deleted at this time. */
  readonly deletesAtMs: number | null;
  readonly turns: number;
  readonly usage: UsageTotals;
  /** What the model was last sent of the conversation, with its answer; null: not known since the history was moved in. */
  readonly context: ContextSize | null;
  /** Seq of the last summary in the visible history: what is before it need not be read to go on; null: not known. */
  readonly compactedSeq: number | null;
  /** Labels that a process is making just now. */
  readonly labelling: Labelling | null;
  /** Plays the user, where somebody asked for it. */
  readonly simulator: Simulator | null;
}

export interface TurnSummary {
  readonly seq: number;
  readonly turnId: string;
  /** Seq of the turn's end. */
  readonly endSeq: number;
  readonly text: string;
}

/** Labels in the making: whose they are, until when nobody else begins them, and the generations that are under way. */
export interface Labelling {
  readonly id: string;
  readonly turnId: string;
  readonly untilMs: number;
  /** `redactions` of the session as it began: what has been removed since must not come back in a label. */
  readonly redactions: number;
  readonly attempts: readonly LabelAttempt[];
}

export interface LabelAttempt {
  readonly label: LabelKind;
  readonly id: string;
  readonly startedAtMs: number;
}

export interface Turn {
  readonly id: string;
  readonly startedSeq: number;
  readonly startedAtMs: number;
  readonly origin: 'message' | 'greeting' | 'operation' | 'compaction';
  /** The user message that opened it. */
  readonly messageId: string | null;
  /** Model asked for with the message. */
  readonly model: string | null;
  /** Seq of the message that brought the client's own tools, where one did. */
  readonly clientToolsSeq: number | null;
  /** Generations committed. */
  readonly steps: number;
  /** Failed and lost attempts of the whole turn, and of the step being tried. */
  readonly failedAttempts: number;
  readonly stepAttempts: number;
  /** The last assistant step, once there is one. */
  readonly lastStep: LastStep | null;
  /** A successful result of a `stopAfter` tool is in. */
  readonly stopAfterTool: boolean;
  /** What the last step's calls wait for, or waited for, from outside; empty once they are answered. */
  readonly actions: readonly OpenAction[];
  /** Results of detached operations that the model was given in this turn: given again if the turn is left and the branch of their call is not. */
  readonly given: readonly Delivery[];
  /** The node that the turn began in. */
  readonly nodeBefore: string | null;
  /** The generation in flight, or the one that died with its worker. */
  readonly attempt: Attempt | null;
  /** A failed attempt waits for its next try. */
  readonly retry: Retry | null;
  /** The history is compacted before the next generation. */
  readonly compaction: CompactionRequest | null;
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
  /** As its step recorded it: what it needs from outside before it can run or end. */
  readonly needs?: CallNeed;
  readonly denied?: ToolCallPart['denied'];
  readonly operation?: ToolCallPart['operation'];
  readonly transition?: NodeMove;
  readonly inputHash?: string;
  /** Seq of the entry with the input that a person gave it in place of its own. */
  readonly inputSeq?: number;
  /** Its operation has been started. */
  readonly operationId?: string;
  /** Set when a commit named it as started, under this fence (design section 6). */
  readonly dispatchedFence?: number;
  /** It was dispatched before, under a worker that died: whatever becomes of it now, it may have had its effect. */
  readonly mayHaveRun?: true;
  /** A commit has stored its outcome; the step waits for its siblings. */
  readonly ended?: true;
}

export interface Attempt {
  readonly id: string;
  readonly number: number;
  readonly startedAtMs: number;
  readonly purpose?: AttemptPurpose;
}

export interface Retry {
  readonly atMs: number;
  readonly delayMs: number;
  /** Number of the attempt that comes. */
  readonly attempt: number;
  readonly reason: string;
  /** When somebody looks whether it may be tried earlier; absent: nobody does. */
  readonly lookAtMs?: number;
}

export interface EndedTurn {
  readonly id: string;
  readonly reason: TurnEndReason;
  readonly error: ErrorInfo | null;
  /** Of a note and of a compaction, in which nothing was answered: the last turn before it that was neither. */
  readonly follows?: string;
}

export interface QueuedMessage {
  readonly messageId: string;
  /** The turn it will open. */
  readonly turnId: string;
  /** The entry that holds its content. */
  readonly seq: number;
  readonly model?: string;
  /** It brings tools of its own. */
  readonly clientTools?: true;
  /** It joins the running turn before its next generation. */
  readonly steer?: true;
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

export type SessionStatus = 'idle' | 'ready' | 'running' | 'requires_action' | 'waiting' | 'failed' | 'ended';

/** Where a session is in its life; derived, so that it cannot disagree with the facts. */
export function statusOf(session: Session): SessionStatus {
  if (session.ended) return 'ended';
  if (session.turn !== null) return session.claim === null ? (pauseOf(session.turn) ?? 'ready') : 'running';
  return session.lastTurn?.reason === 'failed' ? 'failed' : 'idle';
}

export function isAtRest(session: Session): boolean {
  return session.turn === null;
}

/** The actions that nobody has resolved. */
export function openActions(turn: Turn | null): readonly OpenAction[] {
  return turn === null ? [] : turn.actions.filter((action) => action.resolved === undefined);
}

/** Operations whose results the calls of the last step wait for. */
export function awaitedOperations({ operations, turn }: Session): readonly LiveOperation[] {
  return operations.filter(({ mode, stepSeq }) => mode === 'await' && stepSeq === turn?.lastStep?.seq);
}

/** The keys of operations that open calls have not started yet. */
export function keysOfOpenCalls({ turn }: Session): readonly string[] {
  return turn?.lastStep?.openCalls.flatMap(({ operation, operationId }) => (operation?.key === undefined || operationId !== undefined ? [] : [operation.key])) ?? [];
}

/** What an open turn waits for when no call of its step can be worked on; null when there is work. */
export function pauseOf(turn: Turn): 'requires_action' | 'waiting' | null {
  const open = turn.lastStep?.openCalls.filter((call) => call.ended !== true) ?? [];
  if (open.length === 0) return null;
  const asked = openActions(turn);
  const waits = open.map((call) => (asked.some(({ index }) => index === call.index) ? 'requires_action' : call.operationId === undefined ? null : 'waiting'));
  if (waits.includes(null)) return null;
  return waits.includes('requires_action') ? 'requires_action' : 'waiting';
}

/**
 * When somebody must look at the session although nothing happens to it: the retry, an action's expiry, the end by inactivity; 0 for work that nobody holds, which
 * is due whatever the clock says. null: never.
 */
export function dueAtMs(session: Session): number | null {
  const { ended, turn, claim, endsAtMs, deletesAtMs } = session;
  if (ended) return deletesAtMs;
  if (turn === null) return endsAtMs === null || deletesAtMs === null ? (endsAtMs ?? deletesAtMs) : Math.min(endsAtMs, deletesAtMs);
  if (claim !== null) return null;
  if (pauseOf(turn) === null) return turn.retry?.lookAtMs ?? turn.retry?.atMs ?? 0;
  const expiries = openActions(turn).flatMap(({ expiresAtMs }) => (expiresAtMs === null ? [] : [expiresAtMs]));
  return expiries.length === 0 ? null : Math.min(...expiries);
}

/** More than a session's fence can grow in a millisecond. One that is imported begins at its time in these, so that it has no fence of one that had its id before. */
export const fencesPerMs = 1_024;

/** Whether a session with this fence can be the same that had the other one, and no later import under its id. */
export function isSameSince(fence: number, fenceBefore: number): boolean {
  return fence >= fenceBefore && fence - fenceBefore < fencesPerMs / 2;
}

export interface NewSession {
  readonly tenant: string;
  readonly id: string;
}

export function emptySession({ tenant, id }: NewSession, nowMs: number): Session {
  return {
    tenant, id, owner: '', agent: '', externalId: null, title: null, titleBy: null, titleFrom: null, summary: null, preview: null, metadata: {}, subject: null, binding: null,
    threadId: null, archived: false, ended: false, createdAtMs: nowMs, updatedAtMs: nowMs, activeAtMs: nowMs, lastSeq: 0,
    revision: 0, fence: 0, visible: wholeLog, branches: 0, rewound: null, timelineSeq: 0, forkedFrom: null, node: null, redactions: 0, turn: null, lastTurn: null, queue: [], queueHeld: false, operations: [], deliveries: [], turnsUnasked: 0, claim: null,
    crashes: 0, endAfterInactivityMs: null, endsAtMs: null, deleteAfterRestMs: null, deletesAtMs: null, turns: 0, usage: noUsage, context: null, compactedSeq: null, labelling: null, simulator: null,
  };
}

/** What versions before this one did not store, of sessions and of their turns. */
const unknownBefore = {
  context: null, compactedSeq: null, deleteAfterRestMs: null, deletesAtMs: null, operations: [], deliveries: [], turnsUnasked: 0, rewound: null, timelineSeq: 0, forkedFrom: null, node: null, redactions: 0, titleFrom: null, summary: null, labelling: null, simulator: null,
} satisfies Partial<Session>;
const unknownOfTurnBefore = { actions: [], clientToolsSeq: null, given: [], nodeBefore: null, compaction: null } satisfies Partial<Turn>;

const newerFields = Object.keys(unknownBefore);
const newerFieldsOfTurn = Object.keys(unknownOfTurnBefore);

/** A session as an older version stored it, with what it did not know of yet. */
export function upgradeSession(stored: Session): Session {
  const { turn } = stored;
  if (newerFields.every((name) => name in stored) && (turn === null || newerFieldsOfTurn.every((name) => name in turn))) return stored;
  return { ...unknownBefore, ...stored, turn: turn === null ? null : { ...unknownOfTurnBefore, ...turn } };
}
