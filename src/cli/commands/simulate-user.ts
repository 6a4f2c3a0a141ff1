import { readFile } from 'node:fs/promises';
import process from 'node:process';
import type { LanguageModelV4 } from '@ai-sdk/provider';
import { Option, type Command } from 'commander';
import { HoldfastError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { modelFromEnvironment } from '../../demo/model-from-environment.ts';
import { personaModel } from '../../demo/persona-model.ts';
import type { SessionHandle, Simulation } from '../../index.ts';
import { storeCommand, wholeNumber, type CommonOptions } from '../command-options.ts';
import { EventLines } from '../event-lines.ts';
import { exitCode } from '../exit-code.ts';
import { openForTurn, type TurnOptions } from '../open-for-turn.ts';
import { stopRequest, type StopRequest } from '../stop-request.ts';
import { forStdout, note, oneLine, print, printJson } from '../terminal.ts';

interface SimulateUserOptions extends CommonOptions, Omit<TurnOptions, 'wait'> {
  readonly agent: string;
  readonly owner?: string;
  readonly persona?: string;
  readonly maxTurns?: number;
  readonly model: string;
  readonly approve: 'all' | 'none';
}

/** `holdfast simulate-user`: a model plays the user of a session, and the conversation is shown as it goes. */
export function simulateUserCommand(): Command {
  return storeCommand('simulate-user', [
    'let a model play the user, to test an agent; asked again it goes on where it was. Exits with 0 when the conversation came to its end (the persona ended it, it had its messages, or the session ended),',
    `${exitCode.failed} when a turn or the model failed, ${exitCode.requiresAction} when a turn waits for what the simulated user may not decide`,
  ].join(' '))
    .argument('[session]', 'id or external id of the session to go on with (default: a new one)')
    .option('--agents <file>', 'module that exports an agent or a list of agents (default: the demo agent)')
    .option('--worker', 'do the work here even if another process works on this store')
    .option('--agent <name>', 'agent of a new session', 'demo')
    .option('--owner <owner>', 'owner of a new session (default: local)')
    .option('--persona <text>', 'who speaks, and what they want; @FILE reads it (default: as the session says)')
    .option('--max-turns <number>', `messages that it sends in all (default: as the session says, else ${limits.simulatedTurnsDefault})`, wholeNumber(1, limits.simulatedTurnsMax))
    .option('--model <name>', 'what plays the user: demo (offline: says what stands in the persona, between semicolons), or a name as in HOLDFAST_MODEL', 'demo')
    .addOption(new Option('--approve <what>', 'what becomes of calls that need an approval').choices(['all', 'none']).default('none'))
    .action(run);
}

async function run(asked: string | undefined, options: SimulateUserOptions): Promise<void> {
  const { persona, maxTurns, approve, json, store, agent, owner } = options;
  const given = { model: await modelNamed(options.model), approve, ...(persona === undefined ? {} : { persona: await personaOf(persona) }), ...(maxTurns === undefined ? {} : { maxTurns }) };
  const stop = stopRequest();
  const holdfast = await openForTurn(store, { ...options, wait: true }, { isNew: asked === undefined });
  try {
    const session = asked === undefined ? await holdfast.sessions.create({ agent, ...(owner === undefined ? {} : { owner }) }) : await holdfast.sessions.get(asked);
    if (json !== true) note(`session ${session.id}`);
    const simulation = await shown(session, { store, json: json === true }, () => holdfast.simulate({ ...given, sessionId: session.id, signal: stop.signal }));
    if (json === true) await printJson(simulation);
    sayHowItEnded(simulation, json === true, stop);
  } finally {
    await holdfast.close();
    stop.release();
  }
}

async function modelNamed(name: string): Promise<LanguageModelV4> {
  return name === 'demo' ? personaModel() : modelFromEnvironment({ ...process.env, HOLDFAST_MODEL: name });
}

async function personaOf(text: string): Promise<string> {
  if (!text.startsWith('@')) return text;
  try {
    return (await readFile(text.slice(1), 'utf8')).trim();
  } catch (error) {
    throw new HoldfastError('file_not_found', `${text.slice(1)} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Prints what happens in the session from now on, until what is waited for is over and everything before its end has been printed. */
async function shown(session: SessionHandle, { store, json }: { readonly store: string; readonly json: boolean }, work: () => Promise<Simulation>): Promise<Simulation> {
  if (json) return work();
  const { lastSeq } = await session.get();
  const leaving = new AbortController();
  const lines = new EventLines({ sessionId: session.id, store });
  let untilSeq = Number.POSITIVE_INFINITY;
  let printedSeq = lastSeq;
  const printing = (async () => {
    for await (const event of session.events({ after: String(lastSeq), signal: leaving.signal })) {
      if (event.type !== 'action') await print(forStdout(lines.textOf(event)));
      printedSeq = Number(event.position.split('.')[0]);
      if (printedSeq >= untilSeq) return;
    }
  })();
  try {
    const simulation = await work();
    untilSeq = (await session.get()).lastSeq;
    if (printedSeq >= untilSeq) leaving.abort();
    await printing;
    return simulation;
  } finally {
    leaving.abort();
    await printing.catch((error: unknown) => note(`what happened could not be shown: ${error instanceof Error ? error.message : String(error)}`));
  }
}

const ends: Readonly<Record<Simulation['reason'], string>> = {
  persona: 'the simulated user has ended the conversation', max_turns: 'it has sent as many messages as it may', stop_when: 'the conversation has come far enough', aborted: 'left; asked again it goes on',
  switched_off: 'the session\'s simulator was switched off', session_ended: 'the session has ended', turn_failed: 'the agent\'s turn failed', needs_person: 'a turn waits for what the simulated user may not decide',
  model_failed: 'the model that plays the user failed',
  usage_limit: 'a budget is used up',
};

function sayHowItEnded({ reason, error, turns, sessionId }: Simulation, json: boolean, stop: StopRequest): void {
  if (!json) note(`${ends[reason]} (session ${sessionId}, ${turns} of its messages)`);
  if (error !== null) note(`error: ${oneLine(error.message, 400)} (${error.code})`);
  if (reason === 'turn_failed' || reason === 'model_failed' || reason === 'usage_limit') process.exitCode = exitCode.failed;
  else if (reason === 'needs_person') process.exitCode = exitCode.requiresAction;
  else if (reason === 'aborted') process.exitCode = stop.exitCode;
}
