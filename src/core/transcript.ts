import type { AssistantStep, CallResult, Entry, EntryOf, ErrorInfo, StepPart, TurnEndReason } from './entry.ts';
import { isVisible } from './intervals.ts';
import type { Interval } from './entry.ts';
import type { JsonObject, JsonValue } from './json.ts';

/** A message of the visible transcript, in the shape of the AI SDK's `UIMessage`. An assistant message is a whole turn. */
export interface TranscriptMessage {
  /** A user message's own id; the turn's id for an assistant message. */
  readonly id: string;
  readonly role: 'user' | 'assistant';
  readonly metadata: MessageMetadata;
  readonly parts: readonly TranscriptPart[];
}

export interface MessageMetadata {
  readonly turnId: string;
  /** Seq of the message's first entry; a cursor for reading what came before. */
  readonly seq: number;
  readonly atMs: number;
  /** How the turn ended; absent while it goes on. */
  readonly end?: TurnEndReason;
  readonly error?: ErrorInfo;
  readonly custom?: JsonObject;
}

export type TranscriptPart =
  | { readonly type: 'step-start' }
  | { readonly type: 'text' | 'reasoning'; readonly text: string; readonly state: 'done' }
  | TranscriptToolPart
  | { readonly type: 'file'; readonly mediaType: string; readonly url: string; readonly filename?: string }
  | { readonly type: 'source-url'; readonly sourceId: string; readonly url: string; readonly title?: string }
  | { readonly type: 'source-document'; readonly sourceId: string; readonly mediaType: string; readonly title: string; readonly filename?: string };

/** `tool-<name>`, with its result as soon as there is one. `outcome` is how the call ended (G6). */
export interface TranscriptToolPart {
  readonly type: `tool-${string}`;
  readonly toolCallId: string;
  readonly state: 'input-streaming' | 'input-available' | 'output-available' | 'output-error';
  readonly input?: JsonValue;
  readonly output?: JsonValue;
  readonly errorText?: string;
  readonly providerExecuted?: true;
  readonly outcome?: CallResult['outcome'];
  readonly mayHaveRun?: true;
}

interface OpenMessage {
  readonly id: string;
  readonly turnId: string;
  readonly seq: number;
  readonly atMs: number;
  readonly parts: TranscriptPart[];
  /** The tool parts of the last step, by call index. */
  calls: Map<number, number>;
  end?: TurnEndReason;
  error?: ErrorInfo;
}

/**
 * The visible history as messages. A turn without any assistant part has no assistant message, unless it failed: then the
 * message says so. `entries` are in order and may begin anywhere; ledger entries and what is not visible are passed over.
 */
export function foldTranscript(entries: readonly Entry[], visible: readonly Interval[]): readonly TranscriptMessage[] {
  const messages: (TranscriptMessage | OpenMessage)[] = [];
  for (const entry of entries) {
    if (!isVisible(visible, entry.seq) || entry.visibility === 'model') continue;
    if (entry.kind === 'user-message') {
      messages.push(userMessage(entry));
    } else if (entry.kind === 'assistant-step' || entry.kind === 'tool-results' || entry.kind === 'turn-ended') {
      let last = messages.at(-1);
      if (last === undefined || !('turnId' in last) || last.turnId !== entry.turnId) {
        last = { id: entry.turnId, turnId: entry.turnId, seq: entry.seq, atMs: entry.atMs, parts: [], calls: new Map() };
        messages.push(last);
      }
      addToMessage(last, entry);
    }
  }
  return messages.flatMap((message) => {
    if (!('turnId' in message)) return [message];
    return message.parts.length > 0 || message.error !== undefined ? [assistantMessage(message)] : [];
  });
}

function userMessage(entry: EntryOf<'user-message'>): TranscriptMessage {
  return {
    id: entry.messageId,
    role: 'user',
    metadata: { turnId: entry.turnId, seq: entry.seq, atMs: entry.atMs, ...(entry.metadata === undefined ? {} : { custom: entry.metadata }) },
    parts: entry.parts.map((part): TranscriptPart =>
      part.type === 'text' ? { type: 'text', text: part.text, state: 'done' } : filePart(part)),
  };
}

function filePart(part: { readonly mediaType: string; readonly data?: string; readonly url?: string; readonly filename?: string }): TranscriptPart {
  const url = part.url ?? `data:${part.mediaType};base64,${part.data ?? ''}`;
  return { type: 'file', mediaType: part.mediaType, url, ...(part.filename === undefined ? {} : { filename: part.filename }) };
}

function assistantMessage({ id, turnId, seq, atMs, parts, end, error }: OpenMessage): TranscriptMessage {
  return {
    id,
    role: 'assistant',
    metadata: { turnId, seq, atMs, ...(end === undefined ? {} : { end }), ...(error === undefined ? {} : { error }) },
    parts,
  };
}

function addToMessage(message: OpenMessage, entry: EntryOf<'assistant-step' | 'tool-results' | 'turn-ended'>): void {
  if (entry.kind === 'turn-ended') {
    message.end = entry.reason;
    if (entry.error !== undefined) message.error = entry.error;
  } else if (entry.kind === 'assistant-step') {
    addStep(message, entry);
  } else {
    for (const result of entry.results) {
      const place = message.calls.get(result.index);
      const part = place === undefined ? undefined : message.parts[place];
      if (place !== undefined && part !== undefined) message.parts[place] = { ...(part as TranscriptToolPart), ...resultFields(result) };
    }
  }
}

function addStep(message: OpenMessage, step: AssistantStep): void {
  if (step.parts.length === 0) return;
  message.calls = new Map();
  message.parts.push({ type: 'step-start' });
  for (const part of step.parts) {
    const shown = stepPart(part, step.parts);
    if (shown === null) continue;
    if (part.type === 'tool-call') message.calls.set(part.index, message.parts.length);
    message.parts.push(shown);
  }
}

function stepPart(part: StepPart, siblings: readonly StepPart[]): TranscriptPart | null {
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return { type: part.type, text: part.text, state: 'done' };
    case 'tool-call': {
      const base = { type: `tool-${part.toolName}`, toolCallId: part.toolCallId, state: 'input-available', input: part.input } as const;
      if (part.providerExecuted !== true) return base;
      const result = siblings.find((sibling) => sibling.type === 'tool-result' && sibling.toolCallId === part.toolCallId);
      if (result?.type !== 'tool-result') return { ...base, providerExecuted: true };
      if (result.isError === true) return { ...base, providerExecuted: true, state: 'output-error', errorText: JSON.stringify(result.output) };
      return { ...base, providerExecuted: true, state: 'output-available', output: result.output };
    }
    case 'partial-call':
      return { type: `tool-${part.toolName}`, toolCallId: '', state: 'input-streaming' };
    case 'source':
      return part.sourceType === 'url'
        ? { type: 'source-url', sourceId: part.id, url: part.url ?? '', ...(part.title === undefined ? {} : { title: part.title }) }
        : { type: 'source-document', sourceId: part.id, mediaType: part.mediaType ?? '', title: part.title ?? '', ...(part.filename === undefined ? {} : { filename: part.filename }) };
    case 'file':
    case 'reasoning-file':
      return filePart(part);
    case 'tool-result':
    case 'other':
      return null;
  }
}

function resultFields(result: CallResult): Partial<TranscriptToolPart> {
  const { outcome, mayHaveRun } = result;
  const shared = { outcome, ...(mayHaveRun === undefined ? {} : { mayHaveRun }) };
  if (outcome === 'done') return { ...shared, state: 'output-available', output: result.output ?? null };
  return { ...shared, state: 'output-error', errorText: result.errorText ?? outcome };
}
