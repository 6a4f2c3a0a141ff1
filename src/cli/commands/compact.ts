import type { Command } from 'commander';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { openForTurn, withTurnOptions, type TurnOptions } from '../open-for-turn.ts';
import { showTurn } from '../show-turn.ts';
import { stopRequest } from '../stop-request.ts';
import { note, printJson } from '../terminal.ts';

interface CompactOptions extends CommonOptions, TurnOptions {
  readonly instructions?: string;
  readonly idempotencyKey?: string;
}

/** `holdfast compact`: has a summary written in place of the history as the model sees it. */
export function compactCommand(): Command {
  return withTurnOptions(storeCommand('compact', 'put a summary in place of the history as the model sees it; people see everything as before'))
    .argument('<session>', 'id or external id of the session')
    .option('--instructions <text>', 'what the summary is to keep, or to leave out')
    .option('--idempotency-key <key>', 'sent again with the same key, it has one effect')
    .action(async (id: string, options: CompactOptions) => {
      const { store, json, wait, instructions, idempotencyKey } = options;
          const stop = stopRequest();
      const holdfast = await openForTurn(store, options);
      try {
        const session = await holdfast.sessions.get(id);
        const turn = await session.compact(instructions === undefined ? {} : { instructions }, { idempotencyKey });
        if (wait) await showTurn(holdfast, { sessionId: session.id, store, streamed: turn, json: json === true }, stop);
        else if (json === true) await printJson({ sessionId: session.id, turnId: turn.id });
        else note(`turn ${turn.id} of session ${session.id} is to compact it; a worker does the rest (holdfast dev, serve or worker)`);
      } finally {
        await holdfast.close();
        stop.release();
      }
    });
}
