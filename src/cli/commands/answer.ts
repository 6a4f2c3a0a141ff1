import { Option, type Command } from 'commander';
import type { Holdfast } from '../../create-holdfast.ts';
import { callOfAction, type ActionAnswer, type ActionType } from '../../core/action.ts';
import { HoldfastError } from '../../core/errors.ts';
import type { JsonValue } from '../../core/json.ts';
import type { SessionHandle } from '../../index.ts';
import { jsonValue, storeCommand, type CommonOptions } from '../command-options.ts';
import { exitCode } from '../exit-code.ts';
import { openForTurn, withTurnOptions, type TurnOptions } from '../open-for-turn.ts';
import { showTurn } from '../show-turn.ts';
import { stopRequest } from '../stop-request.ts';
import { note, printJson } from '../terminal.ts';

type AnswerOptions = CommonOptions & TurnOptions;
type Answering<Options> = (session: SessionHandle, actionId: string, options: Options) => ActionAnswer | Promise<ActionAnswer>;

/** `holdfast approve`: lets a call run. */
export function approveCommand(): Command {
  return answeringCommand<{ readonly input?: JsonValue }>('approve', 'let a call run that waits for approval', (_session, _actionId, { input }) => ({ type: 'approve', ...(input === undefined ? {} : { input }) }))
    .option('--input <json>', "input that the call runs with, in place of the model's", jsonValue);
}

/** `holdfast deny`: keeps a call from running. */
export function denyCommand(): Command {
  return answeringCommand<{ readonly reason?: string }>('deny', 'keep a call from running; the model is told', (_session, _actionId, { reason }) => ({ type: 'deny', ...(reason === undefined ? {} : { reason }) }))
    .option('--reason <text>', 'why; the model is told');
}

interface GivenAnswer {
  readonly output?: JsonValue;
  readonly text?: string;
  readonly error?: string;
}

/** `holdfast answer`: gives what a client tool, a question or a call that may have run waits for. */
export function answerCommand(): Command {
  return answeringCommand<GivenAnswer>('answer', 'give the result of a client tool, or the answer to a question', answerOf)
    .addOption(new Option('--output <json>', 'the result or answer, as JSON').argParser(jsonValue).conflicts(['text', 'error']))
    .addOption(new Option('--text <text>', 'the result or answer, as plain text').conflicts(['output', 'error']))
    .addOption(new Option('--error <text>', 'why the tool could not run').conflicts(['output', 'text']));
}

async function answerOf(session: SessionHandle, actionId: string, { output, text, error }: GivenAnswer): Promise<ActionAnswer> {
  if (error !== undefined) return { type: 'error', errorText: error };
  const value = text ?? output;
  if (value === undefined) throw new HoldfastError('options_invalid', 'say what the answer is: --output JSON, --text TEXT or --error TEXT');
  return (await typeOf(session, actionId)) === 'question' ? { type: 'answer', value } : { type: 'result', output: value };
}

/** What kind of action it is or was: an answer that is given again has to be the same. */
async function typeOf(session: SessionHandle, actionId: string): Promise<ActionType | undefined> {
  const waiting = (await session.actions()).find(({ id }) => id === actionId);
  const call = callOfAction(actionId);
  if (waiting !== undefined || call === null) return waiting?.type;
  const entries = await session.entries({ afterSeq: call.stepSeq });
  const opened = entries.find((entry) => entry.kind === 'action-opened' && entry.actionId === actionId);
  return opened?.kind === 'action-opened' ? opened.type : undefined;
}

function answeringCommand<Options extends object>(name: string, description: string, answering: Answering<Options>): Command {
  return withTurnOptions(storeCommand(name, `${description}; then show what comes of it (exit code ${exitCode.requiresAction}: the turn needs another action)`))
    .argument('<session>', 'id or external id of the session')
    .argument('<action>', 'id of the action, as "holdfast actions" lists it')
    .action(async (sessionId: string, actionId: string, options: AnswerOptions & Options) => {
      const stop = stopRequest();
      const holdfast = await openForTurn(options.store, options);
      try {
        const session = await holdfast.sessions.get(sessionId);
        await decide(holdfast, session, actionId, await answering(session, actionId, options), options, stop);
      } finally {
        await holdfast.close();
        stop.release();
      }
    });
}

async function decide(holdfast: Holdfast, session: SessionHandle, actionId: string, answer: ActionAnswer, { store, json, wait }: AnswerOptions, stop: ReturnType<typeof stopRequest>): Promise<void> {
  const { turnId } = await session.get();
  const { actions, revision } = await session.respond(actionId, answer);
  const resolution = actions[0]?.resolution ?? 'resolved';
  if (json !== true) note(`${actionId} ${resolution}`);
  if (wait && turnId !== null) {
    // What was said before the decision was shown when it was asked for.
    await showTurn(holdfast, { sessionId: session.id, store, streamed: session.turn({ turnId, revision }), whole: session.turn({ turnId }), json: json === true }, stop);
  } else if (json === true) {
    await printJson({ sessionId: session.id, turnId, actions, revision });
  } else if (turnId !== null) {
    note('a worker does the rest (holdfast dev, serve or worker)');
  }
}
