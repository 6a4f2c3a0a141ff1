import process from 'node:process';
import type { Command } from 'commander';
import type { SessionStatus } from '../../core/session.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { EventLines } from '../event-lines.ts';
import { exitCode } from '../exit-code.ts';
import { OperationBars } from '../operation-progress.ts';
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
    .option('--until-idle', `end when the session is at rest, or needs an action (exit code ${exitCode.requiresAction})`)
    .action(run);
}

async function run(id: string, { store, json, after, untilIdle }: FollowOptions): Promise<void> {
  const stop = stopRequest();
  await using holdfast = await openExistingStore(store);
  const session = await holdfast.sessions.get(id);
  const lines = new EventLines({ sessionId: session.id, store });
  const bars = json !== true && process.stdout.isTTY && process.stderr.isTTY ? new OperationBars() : null;
  try {
    for await (const event of session.events({ signal: stop.signal, ...(after === undefined ? {} : { after }) })) {
      if (json === true) await printJson(event);
      else if (bars !== null && event.type === 'operation') bars.show(event.operations);
      else await printText(lines.textOf(event), bars);
      if (untilIdle !== true || event.type !== 'status') continue;
      if (event.status === 'requires_action') process.exitCode = exitCode.requiresAction;
      // A status is told only when everything before it has been, so nothing is missed by ending here.
      if (restsAt.has(event.status)) break;
    }
  } finally {
    bars?.clear();
    stop.release();
  }
}

async function printText(text: string, bars: OperationBars | null): Promise<void> {
  if (text === '') return;
  bars?.clear();
  await print(forStdout(text));
}

/** Where nothing more comes by itself. */
const restsAt: ReadonlySet<SessionStatus> = new Set(['idle', 'failed', 'ended', 'requires_action']);
