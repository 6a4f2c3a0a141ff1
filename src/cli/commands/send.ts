import process from 'node:process';
import { text as readText } from 'node:stream/consumers';
import { Option, type Command } from 'commander';
import { createHoldfast, type Holdfast } from '../../create-holdfast.ts';
import type { SendInput } from '../../commands/input.ts';
import { invariant } from '../../core/errors.ts';
import type { TurnHandle, TurnPart } from '../../index.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { resultLine } from '../event-lines.ts';
import { isWorkedOn } from '../live-workers.ts';
import { loadAgents } from '../load-agents.ts';
import { requireStoreFile } from '../open-store.ts';
import { logToStderr } from '../serve-until-stopped.ts';
import { stopRequest } from '../stop-request.ts';
import { forStdout, note, oneLine, print, printJson, printable } from '../terminal.ts';

interface SendOptions extends CommonOptions {
  readonly agent: string;
  readonly agents?: string;
  readonly owner?: string;
  readonly idempotencyKey?: string;
  readonly messageId?: string;
  readonly whenBusy?: SendInput['whenBusy'];
  readonly wait: boolean;
  readonly worker?: true;
}

/** A person who waits for the prompt waits no longer than this for what else the process has taken on. */
const stopGraceMs = 2_000;

/** `holdfast send`: says something in a session and shows the answer as it comes. */
export function sendCommand(): Command {
  return storeCommand('send', 'send a message and show the answer')
    .argument('<session>', 'id or external id of a session, or "new"')
    .argument('<text...>', 'the message; "-" reads it from stdin')
    .option('--agent <name>', 'agent of a new session', 'demo')
    .option('--agents <file>', 'module that exports an agent or a list of agents (default: the demo agent)')
    .option('--owner <owner>', 'owner of a new session (default: local)')
    .option('--idempotency-key <key>', 'sent again with the same key, it has one effect')
    .option('--message-id <id>', 'id of the message, unique in its session')
    .addOption(new Option('--when-busy <what>', 'what becomes of the message while a turn runs').choices(['queue', 'interrupt', 'replace', 'reject']))
    .option('--no-wait', 'do not wait for the answer, and leave the work to another process')
    .option('--worker', 'do the work here even if another process works on this store')
    .action(run);
}

async function run(session: string, words: readonly string[], options: SendOptions): Promise<void> {
  const text = words.length === 1 && words[0] === '-' ? (await readText(process.stdin)).trimEnd() : words.join(' ');
  if (session !== 'new') requireStoreFile(options.store);
  const { agents } = await loadAgents(options.agents);
  const stop = stopRequest();
  // Whoever works on the store already is the one to answer: it has its own models and settings.
  const works = options.wait && (options.worker === true || !(await isWorkedOn(options.store)));
  const worker = works && { stopGraceMs };
  const holdfast = await createHoldfast({ agents, store: options.store, worker, log: logToStderr });
  try {
    const turn = await send(holdfast, session, text, options);
    if (options.wait) await showAnswer(holdfast, turn, options, stop);
    else if (options.json === true) await printJson({ sessionId: turn.sessionId, turnId: turn.handle.id, messageId: turn.handle.messageId ?? null, queued: turn.handle.queued });
    else note(`sent as turn ${turn.handle.id} of session ${turn.sessionId}; a worker does the rest (holdfast dev, serve or worker)`);
  } finally {
    await holdfast.close();
    stop.release();
  }
}

interface SentTurn {
  readonly sessionId: string;
  readonly handle: TurnHandle;
}

async function send(holdfast: Holdfast, sessionId: string, text: string, { agent, owner, idempotencyKey, messageId, whenBusy, json }: SendOptions): Promise<SentTurn> {
  if (sessionId !== 'new') {
    const session = await holdfast.sessions.get(sessionId);
    return { sessionId: session.id, handle: await session.send({ text, messageId, ...(whenBusy === undefined ? {} : { whenBusy }) }, { idempotencyKey }) };
  }
  const session = await holdfast.sessions.create({ agent, ...(owner === undefined ? {} : { owner }), message: { text, messageId } }, { idempotencyKey });
  invariant(session.firstTurn !== null, 'a session created with a message has a turn');
  if (json !== true) note(`session ${session.id}`);
  return { sessionId: session.id, handle: session.firstTurn };
}

/** Streams the answer until the turn has ended. Asked to stop, it leaves: the turn goes on when a worker takes it. */
async function showAnswer(holdfast: Holdfast, { sessionId, handle }: SentTurn, { json }: SendOptions, stop: ReturnType<typeof stopRequest>): Promise<void> {
  stop.signal.addEventListener('abort', () => void holdfast.close(), { once: true });
  const printed = json === true ? null : unlessStopped(printParts(handle), stop.signal);
  const [result] = await Promise.all([unlessStopped(handle.result, stop.signal), printed]);
  if (result === null) {
    note(`left; turn ${handle.id} of session ${sessionId} goes on with the next worker`);
    process.exitCode = stop.exitCode;
    return;
  }
  if (json === true) await printJson(result);
  if (result.error !== null) {
    note(`error: ${printable(result.error.message)} (${result.error.code})`);
    process.exitCode = 1;
  } else if (result.reason !== 'complete' && json !== true) {
    note(`the turn ended: ${String(result.reason)}`);
  }
}

/** null when this process was asked to stop first, which breaks off what waits for the turn. */
async function unlessStopped<Value>(waits: Promise<Value>, signal: AbortSignal): Promise<Value | null> {
  try {
    return await waits;
  } catch (error) {
    if (signal.aborted) return null;
    throw error;
  }
}

async function printParts(turn: TurnHandle): Promise<void> {
  let atLineStart = true;
  const endLine = async (): Promise<void> => {
    if (!atLineStart) await print('\n');
    atLineStart = true;
  };
  for await (const part of turn.stream) {
    if (part.type === 'text') {
      await print(forStdout(part.text));
      if (part.text !== '') atLineStart = part.text.endsWith('\n');
      continue;
    }
    const line = partLine(part);
    if (line === null) continue;
    await endLine();
    if (line !== '') note(line);
  }
}

/** What a part is to the person; null: nothing, '': the end of a line. */
function partLine(part: TurnPart): string | null {
  switch (part.type) {
    case 'tool-call':
      return `→ ${part.toolName} ${oneLine(JSON.stringify(part.input), 200)}`;
    case 'tool-result':
      return resultLine(part.result);
    case 'retracted':
      return '(the answer so far is taken back; the next attempt begins anew)';
    case 'retry':
      return `(${part.reason}; attempt ${part.attempt} in ${part.delayMs} ms)`;
    case 'step':
    case 'end':
      return '';
    case 'text':
    case 'reasoning':
    case 'tool-input':
      return null;
  }
}
