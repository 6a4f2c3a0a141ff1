import type { Command } from 'commander';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { openExistingStore } from '../open-store.ts';
import { note, printJson } from '../terminal.ts';

interface StopOptions extends CommonOptions {
  readonly turn?: string;
  readonly holdQueue?: true;
  readonly keepOperations?: true;
}

/** `holdfast stop`: ends the running turn. */
export function stopCommand(): Command {
  return storeCommand('stop', 'end the running turn; what was shown is kept')
    .argument('<session>', 'id or external id of the session')
    .option('--turn <turn>', 'only this turn; one that waits leaves the queue')
    .option('--hold-queue', 'keep waiting messages from starting')
    .option('--keep-operations', 'let the operations that the turn waits for go on')
    .action(async (id: string, { store, json, turn, holdQueue, keepOperations }: StopOptions) => {
      await using holdfast = await openExistingStore(store);
      const session = await holdfast.sessions.get(id);
      const reply = await session.stop({ ...(turn === undefined ? {} : { turnId: turn }), ...(holdQueue === undefined ? {} : { holdQueue }), ...(keepOperations === undefined ? {} : { keepOperations }) });
      if (json === true) return await printJson(reply);
      note(reply.stopped ? `turn ${String(reply.turnId)} is over` : 'nothing to stop');
    });
}
