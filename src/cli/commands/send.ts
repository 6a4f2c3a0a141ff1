import { readFile } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import type { Holdfast } from '../../create-holdfast.ts';
import type { SendInput } from '../../commands/input.ts';
import { HoldfastError, invariant } from '../../core/errors.ts';
import type { TurnHandle } from '../../index.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { exitCode } from '../exit-code.ts';
import { messageText } from '../message-text.ts';
import { openForTurn, withTurnOptions, type TurnOptions } from '../open-for-turn.ts';
import { showTurn } from '../show-turn.ts';
import { stopRequest } from '../stop-request.ts';
import { note, printJson } from '../terminal.ts';

interface SendOptions extends CommonOptions, TurnOptions {
  readonly agent: string;
  readonly owner?: string;
  readonly idempotencyKey?: string;
  readonly messageId?: string;
  readonly whenBusy?: SendInput['whenBusy'];
  readonly steer?: true;
  readonly clientTools?: string;
  readonly visibility?: SendInput['visibility'];
}

/** `holdfast send`: says something in a session and shows the answer as it comes. */
export function sendCommand(): Command {
  return withTurnOptions(storeCommand('send', `send a message and show the answer; exits with ${exitCode.requiresAction} when the turn needs an action, and says which`))
    .argument('<session>', 'id or external id of a session, or "new"')
    .argument('<text...>', 'the message; "-" reads it from stdin')
    .option('--agent <name>', 'agent of a new session', 'demo')
    .option('--owner <owner>', 'owner of a new session (default: local)')
    .option('--idempotency-key <key>', 'sent again with the same key, it has one effect')
    .option('--message-id <id>', 'id of the message, unique in its session')
    .addOption(new Option('--when-busy <what>', 'what becomes of the message while a turn runs').choices(['queue', 'steer', 'interrupt', 'replace', 'reject']))
    .addOption(new Option('--steer', 'join the running turn before its next generation: --when-busy steer').conflicts('whenBusy'))
    .option('--client-tools <file>', 'JSON file with tools that the client runs itself, for this turn: [{"name", "description", "inputSchema"}]')
    .addOption(new Option('--visibility <who>', 'who sees the message, where not both do: a note that only the user sees is not answered').choices(['user', 'model']))
    .action(run);
}

async function run(session: string, words: readonly string[], options: SendOptions): Promise<void> {
  const text = await messageText(words);
  const clientTools = options.clientTools === undefined ? undefined : await readTools(options.clientTools);
  const stop = stopRequest();
  const holdfast = await openForTurn(options.store, options, { isNew: session === 'new' });
  try {
    const { sessionId, handle } = await send(holdfast, session, { text, messageId: options.messageId, clientTools, visibility: options.visibility }, options);
    if (options.wait) await showTurn(holdfast, { sessionId, store: options.store, streamed: handle, json: options.json === true }, stop);
    else if (options.json === true) await printJson({ sessionId, turnId: handle.id, messageId: handle.messageId ?? null, queued: handle.queued, ...(handle.steers && { steers: handle.steers }) });
    else note(`sent as turn ${handle.id} of session ${sessionId}; a worker does the rest (holdfast dev, serve or worker)`);
  } finally {
    await holdfast.close();
    stop.release();
  }
}

interface SentTurn {
  readonly sessionId: string;
  readonly handle: TurnHandle;
}

type Message = Pick<SendInput, 'text' | 'messageId' | 'clientTools' | 'visibility'>;

async function send(holdfast: Holdfast, sessionId: string, message: Message, { agent, owner, idempotencyKey, whenBusy, steer, json }: SendOptions): Promise<SentTurn> {
  if (sessionId !== 'new') {
    const session = await holdfast.sessions.get(sessionId);
    const busy = steer === true ? 'steer' : whenBusy;
    return { sessionId: session.id, handle: await session.send({ ...message, ...(busy === undefined ? {} : { whenBusy: busy }) }, { idempotencyKey }) };
  }
  const session = await holdfast.sessions.create({ agent, ...(owner === undefined ? {} : { owner }), message }, { idempotencyKey });
  invariant(session.firstTurn !== null, 'a session created with a message has a turn');
  if (json !== true) note(`session ${session.id}`);
  return { sessionId: session.id, handle: session.firstTurn };
}

/** What is not as it must be in them, the command that takes them says. */
async function readTools(path: string): Promise<SendInput['clientTools']> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new HoldfastError('file_not_found', `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  try {
    return JSON.parse(text) as SendInput['clientTools'];
  } catch (error) {
    throw new HoldfastError('file_invalid', `${path} is not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
