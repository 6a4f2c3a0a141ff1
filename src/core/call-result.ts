import type { Identity } from './identity.ts';
import type { JsonObject, JsonValue } from './json.ts';
import type { NodeMove } from './node-entry.ts';
import type { StateWrite } from './state.ts';

/** How a call ended (G6). */
export type Outcome = 'done' | 'failed' | 'denied' | 'expired' | 'stopped' | 'unknown';

export interface CallResult {
  readonly index: number;
  readonly toolCallId: string;
  readonly toolName: string;
  readonly outcome: Outcome;
  /** With `done`. */
  readonly output?: JsonValue;
  /** What the model is given instead of `output`, where the tool says so (AI SDK `toModelOutput`). */
  readonly modelOutput?: JsonObject;
  /** With every outcome but `done`: what the model is told. */
  readonly errorText?: string;
  /** Stable name of the reason, where there is one: `tool_error`, `tool_timeout`, `unknown_tool`, `invalid_input`, `tool_changed`, `exclusive_tool`, `not_json`, … */
  readonly code?: string;
  /** With `stopped`: it had begun and may have had its effect. */
  readonly mayHaveRun?: true;
  readonly startedAtMs?: number;
  readonly durationMs?: number;
  /** The result was larger than its cap: how many bytes it had. */
  readonly wholeBytes?: number;
  /** Under which the whole is kept; absent when it was too large for that too. */
  readonly wholeId?: string;
  /** It ran with this input instead of the model's: the person who approved it changed it. */
  readonly approvedInput?: JsonValue;
  /** It is a successful result of a tool that ends the turn. */
  readonly stopsTurn?: true;
  /** With `done`, until the commit of its step makes them: what the tool wrote through `state`. Nobody is shown it. */
  readonly stateWrites?: { readonly writes: readonly StateWrite[]; readonly actor?: Identity };
  /** With `done`, until the commit of its step takes it: where the conversation is to go. Nobody is shown it. */
  readonly nodeMove?: NodeMove;
}

/** What of an open call its result repeats. */
export interface CallName {
  readonly index: number;
  readonly toolCallId: string;
  readonly toolName: string;
}

function named({ index, toolCallId, toolName }: CallName): CallName {
  return { index, toolCallId, toolName };
}

/** A call that did not run, or ran and failed; the model is told why. */
export function failedCall(call: CallName, code: string, errorText: string): CallResult {
  return { ...named(call), outcome: 'failed', code, errorText };
}

/** A call that somebody, or the agent's own rules, did not allow. */
export function deniedCall(call: CallName, reason: string | undefined, code = 'denied'): CallResult {
  return { ...named(call), outcome: 'denied', code, errorText: reason === undefined || reason === '' ? 'The call was denied; it did not run.' : `The call was denied; it did not run. Reason: ${reason}` };
}

/** A call on which nobody decided in time. */
export function expiredCall(call: CallName): CallResult {
  return { ...named(call), outcome: 'expired', code: 'expired', errorText: 'Nobody answered in time; the call did not run.' };
}

/** The outcome of a call of which nobody knows whether it ran. */
export function unknownCall(call: CallName): CallResult {
  return {
    ...named(call), outcome: 'unknown', code: 'interrupted',
    errorText: 'The process that ran this call died before it reported. It may have run, wholly, in part or not at all. Find out before you run it again.',
  };
}

/** A call that a stop cut off. */
export function stoppedCall(call: CallName, mayHaveRun: boolean): CallResult {
  if (!mayHaveRun) return { ...named(call), outcome: 'stopped', errorText: 'The turn was stopped before this call had an effect.' };
  return { ...named(call), outcome: 'stopped', mayHaveRun: true, errorText: 'The turn was stopped while this call ran. It may have had its effect.' };
}
