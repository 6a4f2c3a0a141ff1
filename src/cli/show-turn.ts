import process from 'node:process';
import type { Holdfast } from '../create-holdfast.ts';
import type { ActionView, OperationView, TurnHandle, TurnPart, TurnResult } from '../index.ts';
import { actionLines, type AnswerPlace } from './action-lines.ts';
import { compactionLine, resultLine } from './event-lines.ts';
import { exitCode } from './exit-code.ts';
import { OperationBars, OperationLines } from './operation-progress.ts';
import type { StopRequest } from './stop-request.ts';
import { forStdout, note, oneLine, print, printable, printJson } from './terminal.ts';

export interface ShownTurn extends AnswerPlace {
  /** From where the turn is shown. */
  readonly streamed: TurnHandle;
  /** The whole turn, for its result. Default: the same. */
  readonly whole?: TurnHandle;
  readonly json: boolean;
}

/**
 * Shows a turn as it goes on: its text on stdout, all else on stderr; with `json` its result alone. Ends when it has ended or needs an action, and sets the exit code by that.
 * Asked to stop, it leaves: the turn goes on when a worker takes it.
 */
export async function showTurn(holdfast: Holdfast, turn: ShownTurn, stop: StopRequest): Promise<void> {
  const { streamed, whole = streamed, sessionId, json } = turn;
  stop.signal.addEventListener('abort', () => void holdfast.close(), { once: true });
  const printed = json ? null : unlessStopped(printParts(streamed), stop.signal);
  const [result] = await Promise.all([unlessStopped(whole.result, stop.signal), printed]);
  if (result === null) {
    note(`left; turn ${whole.id} of session ${sessionId} goes on with the next worker`);
    process.exitCode = stop.exitCode;
    return;
  }
  if (json) await printJson(result);
  sayHowItIs(result, turn);
}

function sayHowItIs({ status, actions, error, reason }: TurnResult, { json, ...place }: ShownTurn): void {
  if (status === 'requires_action') {
    process.exitCode = exitCode.requiresAction;
    if (!json) for (const line of actionsText(actions, place)) note(line);
  } else if (error !== null) {
    process.exitCode = exitCode.failed;
    note(`error: ${printable(error.message)} (${error.code})`);
  } else if (reason !== 'complete' && !json) {
    note(`the turn ended: ${String(reason)}`);
  }
}

function actionsText(actions: readonly ActionView[], place: AnswerPlace): readonly string[] {
  return actions.flatMap((action) => actionLines(action, place));
}

/** null when this process was asked to stop first, which breaks off what waits for the turn. */
async function unlessStopped<Value>(waits: Promise<Value>, signal: AbortSignal): Promise<Value | null> {
  try {
    return await waits;
  } catch (error) {
    if (signal.aborted) return null;
    throw error;
  }
}

async function printParts(turn: TurnHandle): Promise<void> {
  const screen = new TurnScreen();
  try {
    for await (const part of turn.stream) await screen.show(part);
  } finally {
    screen.end();
  }
}

/** A turn's parts, the text on stdout and the rest on stderr, no line in the middle of another. */
class TurnScreen {
  readonly #bars = process.stderr.isTTY ? new OperationBars() : null;
  readonly #lines = new OperationLines();
  #operations: readonly OperationView[] = [];
  #atLineStart = true;

  async show(part: TurnPart): Promise<void> {
    if (part.type === 'operation') {
      this.#operations = part.operations;
      if (this.#atLineStart) this.#showOperations();
      return;
    }
    if (part.type === 'text') {
      this.#bars?.clear();
      await print(forStdout(part.text));
      if (part.text !== '') this.#atLineStart = part.text.endsWith('\n');
      return;
    }
    const line = partLine(part);
    if (line === null) return;
    this.#bars?.clear();
    if (!this.#atLineStart) await print('\n');
    this.#atLineStart = true;
    if (line !== '') note(line);
    this.#showOperations();
  }

  end(): void {
    this.#bars?.clear();
    for (const { id, toolName } of this.#operations) note(`${toolName} has not ended; it goes on with a worker (operation ${id})`);
  }

  #showOperations(): void {
    if (this.#bars !== null) this.#bars.show(this.#operations);
    else for (const line of this.#lines.linesOf(this.#operations)) note(line);
  }
}

/** What a part is to the person; null: nothing, '': the end of a line. */
function partLine(part: TurnPart): string | null {
  switch (part.type) {
    case 'tool-call':
      return `→ ${part.toolName} ${oneLine(JSON.stringify(part.input), 200)}`;
    case 'tool-result':
      return resultLine(part.result);
    case 'retracted':
      return '(the answer so far is taken back; the next attempt begins anew)';
    case 'compaction':
      return compactionLine(part);
    case 'retry':
      return `(${part.reason}; attempt ${part.attempt} in ${part.delayMs} ms)`;
    case 'step':
    case 'end':
      return '';
    // What is still open when the turn pauses is said with how to answer it.
    case 'action':
    case 'operation':
    case 'text':
    case 'reasoning':
    case 'tool-input':
      return null;
  }
}
