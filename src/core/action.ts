import type { JsonValue } from './json.ts';
import type { CallOperation } from './operation.ts';

/**
 * What a turn waits for from outside: a person's approval of a call, the result of a tool that runs at the client, an answer
 * to a question, or what to do with a call that may have run when its worker died (`recovery`).
 */
export type ActionType = 'approval' | 'client-tool' | 'question' | 'recovery';

/** What a call needs from outside before it can run or end; recorded with the call in its step. */
export interface CallNeed {
  readonly type: Exclude<ActionType, 'recovery'>;
  /** Absent: it does not expire. */
  readonly expiresAfterMs?: number;
  /** Only a principal with one of these roles may decide. Absent: whoever may use the session. */
  readonly roles?: readonly string[];
  /** Why the agent asks, for the person who decides. */
  readonly reason?: string;
}

/** How somebody answers an action. Which answers fit depends on the action's type, see {@link answersOf}. */
export type ActionAnswer =
  /** The call runs, with `input` in place of its own if given. */
  | { readonly type: 'approve'; readonly input?: JsonValue }
  | { readonly type: 'deny'; readonly reason?: string }
  | { readonly type: 'result'; readonly output: JsonValue }
  | { readonly type: 'error'; readonly errorText: string }
  | { readonly type: 'answer'; readonly value: JsonValue };

/** The answers that each type of action takes. `recovery`: run it again, leave it unknown, or say what came of it. */
export const answersOf: Readonly<Record<ActionType, readonly ActionAnswer['type'][]>> = {
  'approval': ['approve', 'deny'],
  'client-tool': ['result', 'error', 'deny'],
  'question': ['answer', 'deny'],
  'recovery': ['approve', 'deny', 'result', 'error'],
};

/** How an action ended. */
export type ActionResolution = 'approved' | 'denied' | 'result' | 'error' | 'answered' | 'expired' | 'withdrawn';

/** An action of the step whose calls are open. Its call is `(lastStep.seq, index)`. */
export interface OpenAction {
  /** Unique in its session. */
  readonly id: string;
  readonly type: ActionType;
  readonly index: number;
  readonly toolCallId: string;
  readonly toolName: string;
  /** SHA-256 of the call's canonical input, base64url: what is decided is exactly this. */
  readonly inputHash: string;
  readonly openedAtMs: number;
  readonly expiresAtMs: number | null;
  readonly roles?: readonly string[];
  readonly reason?: string;
  /** Set when it is resolved while its step goes on: by whom is in the log. */
  readonly resolved?: { readonly resolution: ActionResolution; readonly fingerprint?: string };
}

/** A turn began to wait for somebody. */
export interface ActionOpened {
  readonly kind: 'action-opened';
  readonly turnId: string;
  readonly actionId: string;
  readonly type: ActionType;
  readonly stepSeq: number;
  readonly index: number;
  readonly toolCallId: string;
  readonly toolName: string;
  readonly inputHash: string;
  readonly expiresAtMs: number | null;
  readonly roles?: readonly string[];
  readonly reason?: string;
}

export interface ActionResolved {
  readonly kind: 'action-resolved';
  readonly turnId: string;
  readonly actionId: string;
  readonly stepSeq: number;
  readonly index: number;
  readonly resolution: ActionResolution;
  /** Hash of the answer, so that the same answer again is known as the same. Absent where nobody answered. */
  readonly fingerprint?: string;
  /** The owner who answered. */
  readonly by?: string;
  /** With `approved`: the call runs with this input. */
  readonly input?: JsonValue;
  /** With such an `input`: how it runs with that, where it runs as an operation. */
  readonly operation?: CallOperation;
  /** With `denied`. */
  readonly reason?: string;
}

/** The id of a call's action: it names the call, so that nothing else can be decided by it. `again` tells apart what is asked anew. */
export function actionIdOf(stepSeq: number, index: number, again?: number): string {
  return again === undefined ? `act_${stepSeq}_${index}` : `act_${stepSeq}_${index}_${again}`;
}

/** The call that an action id names; null when it is none. */
export function callOfAction(actionId: string): { readonly stepSeq: number; readonly index: number } | null {
  const match = /^act_(\d{1,15})_(\d{1,4})(?:_\d{1,15})?$/.exec(actionId);
  return match === null ? null : { stepSeq: Number(match[1]), index: Number(match[2]) };
}
