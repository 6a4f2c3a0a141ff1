import type { Command } from 'commander';
import { actionLines } from '../action-lines.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { openExistingStore } from '../open-store.ts';
import { note, printJson, printLine } from '../terminal.ts';

/** `holdfast actions`: what a session waits for somebody to decide or to answer, and how. */
export function actionsCommand(): Command {
  return storeCommand('actions', 'show what a session waits for somebody to decide or to answer, and how')
    .argument('<session>', 'id or external id of the session')
    .action(async (id: string, { store, json }: CommonOptions) => {
      await using holdfast = await openExistingStore(store);
      const session = await holdfast.sessions.get(id);
      const items = await session.actions();
      if (json === true) return await printJson({ items });
      if (items.length === 0) note('the session waits for nobody');
      for (const line of items.flatMap((action) => actionLines(action, { sessionId: session.id, store }))) await printLine(line);
    });
}
