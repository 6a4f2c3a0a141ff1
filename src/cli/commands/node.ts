import type { Command } from 'commander';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { openForTurn, withTurnOptions, type TurnOptions } from '../open-for-turn.ts';
import { showTurn } from '../show-turn.ts';
import { stopRequest } from '../stop-request.ts';
import { note, printJson } from '../terminal.ts';

interface NodeOptions extends CommonOptions, TurnOptions {
  readonly reason?: string;
  readonly force?: true;
  readonly idempotencyKey?: string;
}

/** `holdfast node`: enters a node of a conversation, and shows its greeting if it has one to be said. */
export function nodeCommand(): Command {
  return withTurnOptions(storeCommand('node', 'enter a node of a conversation, and show its greeting if one is said'))
    .argument('<session>', 'id or external id of the session')
    .argument('<node>', 'name of the node')
    .option('--reason <text>', 'why, as the log keeps it')
    .option('--force', 'also where no transition leads')
    .option('--idempotency-key <key>', 'sent again with the same key, it has one effect')
    .action(enter);
}

async function enter(id: string, node: string, options: NodeOptions): Promise<void> {
  const { store, json, wait, reason, force, idempotencyKey } = options;
  const stop = stopRequest();
  const holdfast = await openForTurn(store, options);
  try {
    const session = await holdfast.sessions.get(id);
    const { turn, ...reply } = await session.enterNode(node, { idempotencyKey, ...(reason === undefined ? {} : { reason }), ...(force === undefined ? {} : { force }) });
    if (json === true) await printJson({ sessionId: session.id, ...reply });
    else note(reply.from === node ? `the conversation is in ${node} already` : `in ${node}${reply.from === null ? '' : `, coming from ${reply.from}`}${reply.status === 'ended' ? '; the session has ended' : ''}`);
    if (wait && json !== true && turn !== null) await showTurn(holdfast, { sessionId: session.id, store, streamed: turn, json: false }, stop);
  } finally {
    await holdfast.close();
    stop.release();
  }
}
