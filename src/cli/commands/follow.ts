import type { Command } from 'commander';
import type { FeedEvent } from '../../core/feed-event.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { EventLines } from '../event-lines.ts';
import { openExistingStore } from '../open-store.ts';
import { stopRequest } from '../stop-request.ts';
import { forStdout, print, printJson } from '../terminal.ts';

interface FollowOptions extends CommonOptions {
  readonly after?: string;
  readonly untilIdle?: true;
}

/** `holdfast follow`: what happens in a session, as it happens. */
export function followCommand(): Command {
  return storeCommand('follow', 'show what happens in a session, from its beginning and then live')
    .argument('<session>', 'id or external id of the session')
    .option('--after <position>', 'begin after this position (of an event), or with "now"')
    .option('--until-idle', 'end when the session is at rest')
    .action(run);
}

async function run(id: string, { store, json, after, untilIdle }: FollowOptions): Promise<void> {
  const stop = stopRequest();
  await using holdfast = await openExistingStore(store);
  const session = await holdfast.sessions.get(id);
  const lines = new EventLines();
  try {
    for await (const event of session.events({ signal: stop.signal, ...(after === undefined ? {} : { after }) })) {
      if (json === true) await printJson(event);
      else await print(forStdout(lines.textOf(event)));
      if (untilIdle === true && isAtRest(event)) break;
    }
  } finally {
    stop.release();
  }
}

/** A status is told only when everything before it has been, so nothing is missed by ending here. */
function isAtRest(event: FeedEvent): boolean {
  return event.type === 'status' && (event.status === 'idle' || event.status === 'failed' || event.status === 'ended');
}
