import type { Command } from 'commander';
import type { MovedReply } from '../../commands/history.ts';
import type { SessionHandle, TurnHandle } from '../../index.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { exitCode } from '../exit-code.ts';
import { messageText } from '../message-text.ts';
import { openForTurn, withTurnOptions, type TurnOptions } from '../open-for-turn.ts';
import { showTurn } from '../show-turn.ts';
import { stopRequest } from '../stop-request.ts';
import { note, printJson } from '../terminal.ts';
import { effectLines } from './history.ts';

interface EditOptions extends CommonOptions, TurnOptions {
  readonly stop?: true;
  readonly keepOperations?: true;
  readonly idempotencyKey?: string;
}

type How = { readonly stop?: boolean; readonly keepOperations?: boolean };
type Editing = (session: SessionHandle, how: How, key: { readonly idempotencyKey: string | undefined }) => Promise<TurnHandle & { readonly left: MovedReply }>;

/** `holdfast edit`: says something in place of a turn's message, and shows the answer. */
export function editCommand(): Command {
  return editingCommand('edit', "say something in place of a turn's message, and show the answer; what was there becomes a branch")
    .argument('<turn>', 'id of the turn')
    .argument('<text...>', 'the message; "-" reads it from stdin')
    .action(async (id: string, turn: string, words: readonly string[], options: EditOptions) => {
      const text = await messageText(words);
      await sayInstead(id, options, (session, how, key) => session.edit(turn, { text, ...how }, key));
    });
}

/** `holdfast retry`: says a turn's message again, and shows the answer. */
export function retryCommand(): Command {
  return editingCommand('retry', "say a turn's message again, the last one's by default, and show the answer; what was there becomes a branch")
    .argument('[turn]', 'id of the turn')
    .option('--model <name>', "one of the agent's models, for this turn")
    .action(async (id: string, turn: string | undefined, options: EditOptions & { readonly model?: string }) => {
      const { model } = options;
      await sayInstead(id, options, (session, how, key) => session.retry({ ...how, ...(turn === undefined ? {} : { turnId: turn }), ...(model === undefined ? {} : { model }) }, key));
    });
}

function editingCommand(name: string, description: string): Command {
  return withTurnOptions(storeCommand(name, `${description}; exits with ${exitCode.requiresAction} when the turn needs an action`))
    .argument('<session>', 'id or external id of the session')
    .option('--stop', 'end the running turn first; without it a busy session refuses')
    .option('--keep-operations', 'let operations of the turns that are left go on')
    .option('--idempotency-key <key>', 'sent again with the same key, it has one effect');
}

async function sayInstead(id: string, options: EditOptions, editing: Editing): Promise<void> {
  const { store, json, wait, stop: stops, keepOperations, idempotencyKey } = options;
  const stop = stopRequest();
  const holdfast = await openForTurn(store, options);
  try {
    const session = await holdfast.sessions.get(id);
    const turn = await editing(session, { ...(stops === undefined ? {} : { stop: stops }), ...(keepOperations === undefined ? {} : { keepOperations }) }, { idempotencyKey });
    if (json !== true) for (const line of effectLines(turn.left)) note(line);
    if (wait) await showTurn(holdfast, { sessionId: session.id, store, streamed: turn, json: json === true }, stop);
    else if (json === true) await printJson({ sessionId: session.id, turnId: turn.id, messageId: turn.messageId ?? null, ...turn.left });
    else note(`sent as turn ${turn.id} of session ${session.id}; a worker does the rest (holdfast dev, serve or worker)`);
  } finally {
    await holdfast.close();
    stop.release();
  }
}
