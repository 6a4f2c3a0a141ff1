import { Draft, type Change, type Circumstances } from '../draft.ts';
import type { AttemptRecord, CallResult, FinishReason, MessageContent, SessionCreated, StepPart } from '../entry.ts';
import { invariant } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { emptySession, type NewSession, type OpenCall } from '../session.ts';

/** A conversation that took place elsewhere, in the engine's terms. */
export interface ImportCommand extends Omit<SessionCreated, 'kind'> {
  readonly turns: readonly ImportedTurn[];
  /** Kept with the session's first entry, beside everything that entries have a field for. */
  readonly imported?: JsonObject;
}

export interface ImportedTurn {
  /** The user message that opens it; null where the agent spoke first. */
  readonly message: ImportedMessage | null;
  readonly steps: readonly ImportedStep[];
  /** Kept with the turn's last entry. */
  readonly imported?: JsonObject;
}

/** `messageId`: as it was called elsewhere, unique in the session. Absent: it gets one. */
export interface ImportedMessage extends Omit<MessageContent, 'messageId'>, ImportedPlace {
  readonly messageId?: string;
}

interface ImportedPlace {
  /** When it was said, where that is known. */
  readonly atMs?: number;
  /** Kept with its entry, and removed with it when that is redacted. */
  readonly imported?: JsonObject;
}

export interface ImportedStep extends ImportedPlace {
  /** Calls have their indexes, dense from 0. */
  readonly parts: readonly StepPart[];
  readonly finishReason: FinishReason;
  /** Results by call index, in any order, at most one for each call. A call without one ends as `stopped`. */
  readonly results: readonly CallResult[];
  /** What the source says of the generation. Usage that it does not say is unknown. */
  readonly attempt?: Pick<AttemptRecord, 'model'> & Partial<Pick<AttemptRecord, 'usage'>>;
  /** Kept with the entry of its results. */
  readonly resultsImported?: JsonObject;
}

export interface ImportReply {
  readonly sessionId: string;
  readonly revision: number;
  readonly turns: number;
}

/**
 * A new session out of a finished conversation: the same entries that the engine would have written, so that it can be shown,
 * continued, forked and exported like any other. Every call is answered (G8) and the session is at rest: nothing of it is ever run
 * again. A turn that does not end with an answer has ended as `stopped`. Usage that is not said is unknown and not guessed (G14). Breaks an
 * invariant when a result belongs to no call.
 */
export function importSession(key: NewSession, command: ImportCommand, circumstances: Circumstances): Change<ImportReply> {
  const { turns, imported, ...created } = command;
  const draft = new Draft(emptySession(key, circumstances.nowMs), circumstances.nowMs);
  draft.append({ kind: 'session-created', ...created, ...(imported === undefined ? {} : { imported }) });
  for (const turn of turns) importTurn(draft, turn, circumstances);
  return { ...draft.done({ sessionId: key.id, revision: draft.session.revision, turns: turns.length }), imported: true };
}

function importTurn(draft: Draft, { message, steps, imported }: ImportedTurn, { mintId }: Circumstances): void {
  const turnId = mintId('turn');
  let atMs = draft.nowMs;
  const later = (at: number | undefined): number => (atMs = Math.max(atMs, at ?? atMs));
  if (message === null) draft.copy({ kind: 'turn-started', turnId, origin: 'greeting' }, later(steps[0]?.atMs));
  else {
    const { atMs: at, messageId, ...content } = message;
    draft.copy({ kind: 'user-message', turnId, ...content, messageId: messageId ?? mintId('msg') }, later(at));
  }
  for (const { parts, finishReason, results, atMs: at, imported: kept, resultsImported, attempt: said } of steps) {
    const attempt = { id: mintId('att'), number: 1, startedAtMs: later(at), usage: null, ...said };
    const { seq } = draft.copy({ kind: 'assistant-step', turnId, attempt, parts, finishReason, ...(kept === undefined ? {} : { imported: kept }) }, atMs);
    const calls = draft.session.turn?.lastStep?.openCalls ?? [];
    invariant(results.every(({ index }) => calls.some((call) => call.index === index)), `every imported result of step ${seq} belongs to one of its calls`);
    const answers = calls.map((call) => results.find(({ index }) => index === call.index) ?? unansweredCall(call));
    if (calls.length > 0) draft.copy({ kind: 'tool-results', turnId, stepSeq: seq, results: answers, ...(resultsImported === undefined ? {} : { imported: resultsImported }) }, atMs);
  }
  const answered = draft.session.turn?.lastStep?.calls === 0;
  draft.copy({ kind: 'turn-ended', turnId, reason: answered ? 'complete' : 'stopped', ...(imported === undefined ? {} : { imported }) }, atMs);
}

/** What became of a call of which the source has no result. */
export function unansweredCall({ index, toolCallId, toolName }: Pick<OpenCall, 'index' | 'toolCallId' | 'toolName'>): CallResult {
  return {
    index, toolCallId, toolName, outcome: 'stopped', mayHaveRun: true,
    errorText: 'The conversation was imported without a result of this call. It may have run.',
  };
}
