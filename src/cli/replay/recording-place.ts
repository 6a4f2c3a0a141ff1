import type { WorkPlace } from './execution-journal.ts';
import type { LogTurn } from './log-turns.ts';
import type { Recording } from './recording.ts';
import { toolKind } from './tool-kind.ts';

/** A message as a prompt holds it. */
export interface PlacedMessage {
  readonly role: string;
  readonly content?: unknown;
}

/**
 * Where a prompt stands: one turn for each user message, and in the turn one step for each assistant message since. What joins a turn that runs, or comes after its end by
 * itself (a steered message, the result of a detached operation), moves nothing. Generations that said nothing are in no prompt; only such are said after them in their turn.
 */
export function placeOf(recording: Recording, prompt: readonly PlacedMessage[]): WorkPlace {
  const opened = recording.turns[0]?.user === null ? 1 : 0;
  let turn = opened - 1;
  let step = 0;
  for (const { role, content } of prompt) {
    if (role === 'assistant') step += 1;
    if (role !== 'user' || comesBeside(recording, textOf(content))) continue;
    turn += 1;
    step = 0;
  }
  return { conversation: recording.place, turn, step };
}

/** The places of a log's steps, by seq: where the prompt of each stood. */
export function stepPlaces(recording: Recording, turns: readonly LogTurn[]): ReadonlyMap<number, WorkPlace> {
  const places = new Map<number, WorkPlace>();
  let turn = -1;
  let step = 0;
  for (const logged of turns) {
    if (isRecordedTurn(recording, logged)) {
      turn += 1;
      step = 0;
    }
    for (const { seq, isSilent } of logged.steps) {
      places.set(seq, { conversation: recording.place, turn, step });
      if (!isSilent) step += 1;
    }
  }
  return places;
}

/** Whether a turn of the log is one of the recording's: not opened by a steered message that came too late, or by an operation's result. */
export function isRecordedTurn(recording: Recording, { origin, user }: Pick<LogTurn, 'origin' | 'user'>): boolean {
  return origin !== 'operation' && origin !== 'compaction' && !comesBeside(recording, textOf(user));
}

const operationResult = /^\[operation op_\w+ of the tool ([\w-]+) has ended: /;

function comesBeside(recording: Recording, text: string | undefined): boolean {
  if (text === undefined) return false;
  const { steered, detached } = besideOf(recording);
  return steered.has(text) || (detached.size > 0 && detached.has(operationResult.exec(text)?.[1] ?? ''));
}

/** The text of a message that is one text and nothing else. */
function textOf(content: unknown): string | undefined {
  if (!Array.isArray(content) || content.length !== 1) return undefined;
  const { type, text } = content[0] as { readonly type?: unknown; readonly text?: unknown };
  return type === 'text' && typeof text === 'string' ? text : undefined;
}

interface Beside {
  readonly steered: ReadonlySet<string>;
  readonly detached: ReadonlySet<string>;
}

const besides = new WeakMap<Recording, Beside>();

/** What of a recording comes beside its turns: texts, and names of tools. */
function besideOf(recording: Recording): Beside {
  const known = besides.get(recording);
  if (known !== undefined) return known;
  const steps = recording.turns.flatMap((turn) => turn.steps);
  const beside = {
    steered: new Set(steps.flatMap((step) => step.steered ?? [])),
    detached: new Set(steps.flatMap(({ calls }) => calls.map(({ name }) => name)).filter((name) => toolKind(name).background === 'detach')),
  };
  besides.set(recording, beside);
  return beside;
}

/** Whether somebody besides the sender of messages has to do something, or something comes beside the turns. */
export function needsPerson(recording: Recording): boolean {
  const { steered, detached } = besideOf(recording);
  return steered.size > 0 || detached.size > 0 || recording.turns.some(({ steps }) => steps.some(({ calls }) => calls.some(({ name, answer }) => answer !== undefined || toolKind(name).recovery === 'ask')));
}
