import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { MessagePart } from '../../core/entry.ts';
import { HoldfastError } from '../../core/errors.ts';
import { wellFormedJson, wellFormedText, type JsonValue } from '../../core/json.ts';

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
}

export interface RecordedCall {
  /** The provider's id, often reused within a conversation. */
  readonly id: string;
  readonly name: string;
  /** JSON as the model wrote it, or a text that is none. */
  readonly argumentsText: string;
  /** Found by place among the step's results, never by id. */
  readonly result: JsonValue;
}

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

const message = z.discriminatedUnion('role', [
  z.object({ role: z.enum(['system', 'developer']) }),
  z.object({ role: z.literal('user'), content: z.union([z.string(), z.array(z.union([textPart, imagePart])).min(1)]) }),
  z.object({
    role: z.literal('assistant'),
    content: z.union([z.string(), z.array(z.union([textPart, refusalPart]))]).nullish(),
    tool_calls: z.array(z.object({ id: z.string().default(''), function: calledFunction })).nullish(),
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
}

function turnsOf(messages: readonly Message[], line: number): readonly RecordedTurn[] {
  const turns: { user: RecordedTurn['user']; steps: OpenStep[] }[] = [];
  const unanswered = () => turns.at(-1)?.steps.at(-1)?.calls.find(({ result }) => result === undefined);
  for (const [index, each] of messages.entries()) {
    const open = unanswered();
    if (each.role === 'tool' || each.role === 'function') {
      if (open === undefined) throw new RecordingError(`line ${line}: messages.${index}: a tool result without a call that waits for one`);
      open.result = wellFormedJson(each.content);
    } else if (each.role === 'user' || each.role === 'assistant') {
      if (open !== undefined) throw new RecordingError(`line ${line}: messages.${index}: the call of ${open.name} before it has no result`);
      if (each.role === 'user') turns.push({ user: userParts(each.content), steps: [] });
      else addAssistant(turns, each);
    }
  }
  const open = unanswered();
  if (open !== undefined) throw new RecordingError(`line ${line}: the conversation ends before the call of ${open.name} has a result`);
  return turns as readonly RecordedTurn[];
}

function userParts(content: Extract<Message, { role: 'user' }>['content']): readonly MessagePart[] {
  if (typeof content === 'string') return [{ type: 'text', text: wellFormedText(content) }];
  return content.map((part): MessagePart => {
    if (part.type === 'text') return { type: 'text', text: wellFormedText(part.text) };
    const { url } = part.image_url;
    return { type: 'file', mediaType: /^data:([^;,]+)/.exec(url)?.[1] ?? 'image/*', url };
  });
}

function addAssistant(turns: { user: RecordedTurn['user']; steps: OpenStep[] }[], said: Extract<Message, { role: 'assistant' }>): void {
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
  for (const { id, function: called } of calls ?? []) step.calls.push({ id: wellFormedText(id), name: called.name, argumentsText: called.arguments });
  if (legacyCall) step.calls.push({ id: '', name: legacyCall.name, argumentsText: legacyCall.arguments });
}
