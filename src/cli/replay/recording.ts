import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { answersOf, type ActionAnswer } from '../../core/action.ts';
import type { MessagePart } from '../../core/entry.ts';
import { HoldfastError } from '../../core/errors.ts';
import { wellFormedJson, wellFormedText, type JsonValue } from '../../core/json.ts';
import { toolKind } from './tool-kind.ts';

/** One recorded conversation, cut into turns as the engine runs them. Texts are well-formed, as every store keeps them. */
export interface Recording {
  /** Place among the conversations of the run, from 0: names it everywhere. */
  readonly place: number;
  /** Line of the file, from 1. */
  readonly line: number;
  readonly id: string;
  readonly turns: readonly RecordedTurn[];
}

export interface RecordedTurn {
  /** null: the assistant opened the conversation. */
  readonly user: readonly MessagePart[] | null;
  readonly steps: readonly RecordedStep[];
}

/** What the assistant said up to its calls. Assistant messages that follow each other directly are one step. */
export interface RecordedStep {
  readonly texts: readonly string[];
  readonly calls: readonly RecordedCall[];
  /** A user message that was sent while these calls ran, to join the turn. Unique among the conversation's user messages. */
  readonly steered?: string;
}

export interface RecordedCall {
  /** The provider's id, often reused within a conversation. */
  readonly id: string;
  readonly name: string;
  /** JSON as the model wrote it, or a text that is none. */
  readonly argumentsText: string;
  /** Found by place among the step's results, never by id. Of a detached operation: what it came to. */
  readonly result: JsonValue;
  /** How somebody answers what the call needs from outside; its output or error text is the result. Absent: it needs nothing. */
  readonly answer?: RecordedAnswer;
}

export type RecordedAnswer =
  | { readonly type: 'approve'; readonly input?: JsonValue }
  | { readonly type: 'deny'; readonly reason?: string }
  | { readonly type: 'result' | 'error' | 'answer' };

/** A file of conversations that cannot be replayed: `recording_invalid`, its message naming the line. Nothing was run. */
export class RecordingError extends HoldfastError {
  override readonly name = 'RecordingError';
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super('recording_invalid', message, options);
  }
}

const textPart = z.object({ type: z.literal('text'), text: z.string() });
const imagePart = z.object({ type: z.literal('image_url'), image_url: z.object({ url: z.url({ protocol: /^(https?|data)$/ }) }) });
const refusalPart = z.object({ type: z.literal('refusal'), refusal: z.string() });
const toolName = z.string().regex(/^[\w-]{1,128}$/);
const calledFunction = z.object({ name: toolName, arguments: z.string() });
/** Beside what OpenAI's format has: how a call that waits for somebody is answered. */
const answer = z.discriminatedUnion('type', [
  z.object({ type: z.literal('approve'), input: z.json().optional() }),
  z.object({ type: z.literal('deny'), reason: z.string().optional() }),
  z.object({ type: z.enum(['result', 'error', 'answer']) }),
]);

const message = z.discriminatedUnion('role', [
  z.object({ role: z.enum(['system', 'developer']) }),
  z.object({ role: z.literal('user'), content: z.union([z.string(), z.array(z.union([textPart, imagePart])).min(1)]), steered: z.boolean().optional() }),
  z.object({
    role: z.literal('assistant'),
    content: z.union([z.string(), z.array(z.union([textPart, refusalPart]))]).nullish(),
    tool_calls: z.array(z.object({ id: z.string().default(''), function: calledFunction, answer: answer.optional() })).nullish(),
    function_call: calledFunction.nullish(),
  }),
  z.object({ role: z.enum(['tool', 'function']), content: z.json() }),
]);

type Message = z.output<typeof message>;
const conversation = z.object({ id: z.union([z.string(), z.number()]).optional(), messages: z.array(message) });

/**
 * Reads conversations in OpenAI chat format, `{id, messages}` a line, at most `limit`. Blank lines count and are passed over. Throws
 * {@link RecordingError} for a file that cannot be read and for a line that cannot be replayed.
 */
export function readRecordings(path: string, limit: number = Number.POSITIVE_INFINITY): readonly Recording[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new RecordingError(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const lines = text.replace(/^\uFEFF/, '').split('\n').map((content, index) => ({ content, line: index + 1 })).filter(({ content }) => content.trim() !== '');
  return lines.slice(0, limit).map(({ content, line }, place) => readRecording(content, line, place));
}

/** Reads one line. Throws {@link RecordingError}. */
export function readRecording(content: string, line: number, place: number): Recording {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new RecordingError(`line ${line} is not JSON`, { cause: error });
  }
  const parsed = conversation.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new RecordingError(`line ${line}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a conversation'}`);
  }
  const { id, messages } = parsed.data;
  return { place, line, id: String(id ?? line), turns: turnsOf(messages, line) };
}

/** All names of tools that were called, in the order of their first call. */
export function toolNamesOf(recordings: readonly Recording[]): readonly string[] {
  return [...new Set(recordings.flatMap(({ turns }) => turns.flatMap(({ steps }) => steps.flatMap(({ calls }) => calls.map(({ name }) => name)))))];
}

interface OpenStep {
  readonly texts: string[];
  readonly calls: (Omit<RecordedCall, 'result'> & { result?: JsonValue })[];
  steered?: string;
}

interface OpenTurn {
  user: RecordedTurn['user'];
  steps: OpenStep[];
}

function turnsOf(messages: readonly Message[], line: number): readonly RecordedTurn[] {
  const turns: OpenTurn[] = [];
  const unanswered = () => turns.at(-1)?.steps.at(-1)?.calls.find(({ result }) => result === undefined);
  for (const [index, each] of messages.entries()) {
    const open = unanswered();
    if (each.role === 'tool' || each.role === 'function') {
      if (open === undefined) throw new RecordingError(`line ${line}: messages.${index}: a tool result without a call that waits for one`);
      open.result = wellFormedJson(each.content);
    } else if (each.role === 'user' || each.role === 'assistant') {
      if (open !== undefined) throw new RecordingError(`line ${line}: messages.${index}: the call of ${open.name} before it has no result`);
      if (each.role === 'assistant') addAssistant(turns, each, (problem) => new RecordingError(`line ${line}: messages.${index}: ${problem}`));
      else if (each.steered !== true) turns.push({ user: userParts(each.content), steps: [] });
      else if (!steer(turns, each.content)) throw new RecordingError(`line ${line}: messages.${index}: a steered message is a text, the only one after a step's results`);
    }
  }
  const open = unanswered();
  if (open !== undefined) throw new RecordingError(`line ${line}: the conversation ends before the call of ${open.name} has a result`);
  if (isAmbiguous(turns)) throw new RecordingError(`line ${line}: a steered message has the text of another user message`);
  return turns as readonly RecordedTurn[];
}

/** A message that joined the running turn. False where there is none that it could have joined. */
function steer(turns: readonly OpenTurn[], content: Extract<Message, { role: 'user' }>['content']): boolean {
  const step = turns.at(-1)?.steps.at(-1);
  if (typeof content !== 'string' || content === '' || step === undefined || step.calls.length === 0 || step.steered !== undefined) return false;
  step.steered = wellFormedText(content);
  return true;
}

/** A steered message is known by its text, wherever it came to be. */
function isAmbiguous(turns: readonly OpenTurn[]): boolean {
  const steered = turns.flatMap(({ steps }) => steps.flatMap((step) => step.steered ?? []));
  const others = turns.flatMap(({ user }) => user ?? []).flatMap((part) => (part.type === 'text' ? [part.text] : []));
  return new Set(steered).size < steered.length || others.some((text) => steered.includes(text));
}

function userParts(content: Extract<Message, { role: 'user' }>['content']): readonly MessagePart[] {
  if (typeof content === 'string') return [{ type: 'text', text: wellFormedText(content) }];
  return content.map((part): MessagePart => {
    if (part.type === 'text') return { type: 'text', text: wellFormedText(part.text) };
    const { url } = part.image_url;
    return { type: 'file', mediaType: /^data:([^;,]+)/.exec(url)?.[1] ?? 'image/*', url };
  });
}

function addAssistant(turns: OpenTurn[], said: Extract<Message, { role: 'assistant' }>, invalid: (problem: string) => RecordingError): void {
  if (turns.length === 0) turns.push({ user: null, steps: [] });
  const steps = turns.at(-1)?.steps ?? [];
  let step = steps.at(-1);
  if (step === undefined || step.calls.length > 0) {
    step = { texts: [], calls: [] };
    steps.push(step);
  }
  const { content, tool_calls: calls, function_call: legacyCall } = said;
  if (typeof content === 'string') step.texts.push(wellFormedText(content));
  else for (const part of content ?? []) step.texts.push(wellFormedText(part.type === 'text' ? part.text : part.refusal));
  for (const { id, function: called, answer: given } of calls ?? []) {
    const { asks } = toolKind(called.name);
    if (given !== undefined && (asks === null || !answersOf[asks].includes(given.type))) throw invalid(`a call of ${called.name} is not answered by ${given.type}`);
    step.calls.push({ id: wellFormedText(id), name: called.name, argumentsText: called.arguments, ...answerOf(called.name, given) });
  }
  if (legacyCall) step.calls.push({ id: '', name: legacyCall.name, argumentsText: legacyCall.arguments, ...answerOf(legacyCall.name) });
}

/** Where a file does not say how an action is answered, its call goes on. */
function answerOf(toolName: string, given?: z.output<typeof answer>): Pick<RecordedCall, 'answer'> {
  const { asks } = toolKind(toolName);
  if (asks === null) return {};
  return { answer: wellFormedJson(JSON.parse(JSON.stringify(given ?? { type: answersOf[asks][0] })) as JsonValue) as unknown as RecordedAnswer };
}

/** The answer that a client gives to a recorded call's action. */
export function actionAnswerOf({ answer: given, result }: Pick<RecordedCall, 'answer' | 'result'>): ActionAnswer {
  if (given === undefined) return { type: 'approve' };
  switch (given.type) {
    case 'result':
      return { type: 'result', output: result };
    case 'error':
      return { type: 'error', errorText: typeof result === 'string' ? result : JSON.stringify(result) };
    case 'answer':
      return { type: 'answer', value: result };
    case 'approve':
    case 'deny':
      return given;
  }
}
