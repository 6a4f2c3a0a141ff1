import { actionIdOf, type ActionType } from './action.ts';
import { expiredCall } from './call-result.ts';
import type { CompactionTrigger } from './compaction.ts';
import type { AssistantStep, CallResult, Entry, EntryOf, ErrorInfo, Interval, StepPart, ToolCallPart, TurnEndReason } from './entry.ts';
import { isVisible } from './intervals.ts';
import type { JsonObject, JsonValue } from './json.ts';
import type { NodeEntered } from './node-entry.ts';
import type { OperationStatus } from './operation.ts';

/**
 * A message of the visible transcript, in the shape of the AI SDK's `UIMessage`. An assistant message is a whole turn, or so much of it as lies
 * between two user messages where some joined it while it ran.
 */
export interface TranscriptMessage {
  /** A user message's own id. Of an assistant message the turn's id; after a message that joined the turn, with that one's seq: `<turn id>_<seq>`. Stays the same while the turn goes on. */
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
  /** How the turn ended; absent while it goes on, and on all but its last assistant message. */
  readonly end?: TurnEndReason;
  readonly error?: ErrorInfo;
  readonly custom?: JsonObject;
}

export type TranscriptPart =
  | { readonly type: 'step-start' }
  | { readonly type: 'text' | 'reasoning'; readonly text: string; readonly state: 'done' }
  | TranscriptToolPart
  | TranscriptNodePart
  /** From here on the model sees a summary in place of what came before. */
  | { readonly type: 'data-compaction'; readonly data: CompactionMarker }
  | { readonly type: 'file'; readonly mediaType: string; readonly url: string; readonly filename?: string }
  | { readonly type: 'source-url'; readonly sourceId: string; readonly url: string; readonly title?: string }
  | { readonly type: 'source-document'; readonly sourceId: string; readonly mediaType: string; readonly title: string; readonly filename?: string };

/** `seq`: of the entry that has the summary. */
export interface CompactionMarker {
  readonly seq: number;
  readonly trigger: CompactionTrigger;
  readonly tokensBefore: number;
  readonly tokensAfter: number;
}

/**
 * A call, `tool-<name>`, in the states of the AI SDK: a call that waits for somebody's approval is `approval-requested`, one that may have run when its worker died too
 * (approving runs it again). The fields from `callId` on but `providerExecuted` are Holdfast's.
 */
export interface TranscriptToolPart {
  readonly type: `tool-${string}`;
  /** The provider's id of the call. Providers reuse it: use `callId` to name the call. */
  readonly toolCallId: string;
  readonly state: 'input-streaming' | 'input-available' | 'approval-requested' | 'approval-responded' | 'output-available' | 'output-error' | 'output-denied';
  /** As the model wrote it. */
  readonly input?: JsonValue;
  readonly output?: JsonValue;
  readonly errorText?: string;
  readonly approval?: TranscriptApproval;
  readonly providerExecuted?: true;
  /** Names the call in its session: `<seq of its step>-<index>`. Absent where the input was never whole. */
  readonly callId?: string;
  /** How the call ended (G6). */
  readonly outcome?: CallResult['outcome'];
  /** Stable name of the reason, where there is one. */
  readonly code?: string;
  readonly mayHaveRun?: true;
  /** What is waited for; absent once it is resolved. */
  readonly action?: { readonly id: string; readonly type: ActionType; readonly expiresAtMs: number | null };
  /** It runs, or ran, with this input: the person who approved it changed it. */
  readonly approvedInput?: JsonValue;
  /** The output is head and tail of a result of so many bytes. */
  readonly wholeBytes?: number;
  readonly operation?: OperationCard;
  /** What the call came to after it had been stopped or given up. It changed nothing. */
  readonly lateResult?: CallResult;
}

/** `id` is that of the action. `approved` is absent until somebody has decided; `isAutomatic`: the agent's own rules did. */
export interface TranscriptApproval {
  readonly id: string;
  readonly approved?: boolean;
  readonly requestReason?: string;
  readonly reason?: string;
  readonly isAutomatic?: true;
}

/** The conversation went to another node here. */
export interface TranscriptNodePart {
  readonly type: 'data-node';
  readonly data: Pick<NodeEntered, 'node' | 'from' | 'by'>;
}

/** A call's operation. `result`: what one came to for which its call does not wait; absent when it was cancelled. */
export interface OperationCard {
  readonly id: string;
  /** `started`: it has not ended. */
  readonly status: 'started' | Exclude<OperationStatus, 'queued' | 'running'>;
  readonly result?: CallResult;
}

/** What the log says of one call, wherever it lies. */
interface CallFacts {
  readonly type: 'call';
  readonly callId: string;
  readonly stepSeq: number;
  readonly part: ToolCallPart;
  /** The last thing asked about it, and what came of that. */
  opened: EntryOf<'action-opened'> | null;
  resolved: EntryOf<'action-resolved'> | null;
  approved: EntryOf<'action-resolved'> | null;
  result: CallResult | null;
  operation: OperationCard | null;
  late: CallResult | null;
}

interface OpenMessage {
  readonly id: string;
  readonly turnId: string;
  readonly seq: number;
  readonly atMs: number;
  readonly parts: (TranscriptPart | CallFacts)[];
  end?: TurnEndReason;
  error?: ErrorInfo;
}

/**
 * The visible history as messages. A turn without any assistant part has no assistant message, unless it failed: then the
 * message says so. `entries` are in order and may begin anywhere. Ledger entries are passed over but for those that say something of a visible call, which count wherever they lie.
 */
export function foldTranscript(entries: readonly Entry[], visible: readonly Interval[]): readonly TranscriptMessage[] {
  const fold = new TranscriptFold(visible);
  for (const entry of entries) fold.add(entry);
  return fold.messages();
}

class TranscriptFold {
  readonly #visible: readonly Interval[];
  readonly #messages: (TranscriptMessage | OpenMessage)[] = [];
  readonly #calls = new Map<string, CallFacts>();
  /** The last message that joined a turn. */
  #steered: EntryOf<'user-message'> | null = null;

  constructor(visible: readonly Interval[]) {
    this.#visible = visible;
  }

  add(entry: Entry): void {
    // It belongs to its call: if that is visible it counts, wherever it lies itself.
    if (this.#noteOnCall(entry)) return;
    if (!isVisible(this.#visible, entry.seq) || entry.visibility === 'model') return;
    if (entry.kind === 'user-message') {
      if (entry.steered === true) this.#steered = entry;
      this.#messages.push(userMessage(entry));
    } else if (entry.kind === 'assistant-step') {
      if (entry.parts.length > 0) this.#addStep(this.#openMessage(entry).parts, entry);
    } else if (entry.kind === 'node-entered') {
      const { turnId, seq, atMs, node, from, by } = entry;
      // Where a conversation begins, and what happens between two turns, is part of no message.
      if (turnId !== undefined && from !== null) this.#openMessage({ turnId, seq, atMs }).parts.push({ type: 'data-node', data: { node, from, by } });
    } else if (entry.kind === 'history-compacted') {
      const { seq, trigger, tokensBefore, tokensAfter } = entry;
      this.#openMessage(entry).parts.push({ type: 'data-compaction', data: { seq, trigger, tokensBefore, tokensAfter } });
    } else if (entry.kind === 'turn-ended') {
      const message = this.#openMessage(entry);
      message.end = entry.reason;
      if (entry.error !== undefined) message.error = entry.error;
    }
  }

  messages(): readonly TranscriptMessage[] {
    return this.#messages.flatMap((message) => {
      if (!('turnId' in message)) return [message];
      return message.parts.some(({ type }) => type !== 'data-node') || message.error !== undefined ? [assistantMessage(message)] : [];
    });
  }

  #openMessage({ turnId, seq, atMs }: Pick<EntryOf<'assistant-step'>, 'turnId' | 'seq' | 'atMs'>): OpenMessage {
    const last = this.#messages.at(-1);
    if (last !== undefined && 'turnId' in last && last.turnId === turnId) return last;
    const id = this.#steered?.turnId === turnId ? `${turnId}_${this.#steered.seq}` : turnId;
    const message: OpenMessage = { id, turnId, seq, atMs, parts: [] };
    this.#messages.push(message);
    return message;
  }

  #addStep(parts: OpenMessage['parts'], step: EntryOf<'assistant-step'>): void {
    parts.push({ type: 'step-start' });
    for (const part of step.parts) {
      if (part.type === 'tool-call' && part.providerExecuted !== true) {
        const callId = callIdOf(step.seq, part.index);
        const facts: CallFacts = { type: 'call', callId, stepSeq: step.seq, part, opened: null, resolved: null, approved: null, result: null, operation: null, late: null };
        this.#calls.set(callId, facts);
        parts.push(facts);
        continue;
      }
      const shown = stepPart(part, step);
      if (shown !== null) parts.push(shown);
    }
  }

  /** Whether the entry says something of calls and nothing else. */
  #noteOnCall(entry: Entry): boolean {
    switch (entry.kind) {
      case 'tool-results':
        for (const result of entry.results) {
          const call = this.#call(entry.stepSeq, result.index);
          if (call !== undefined) call.result = result;
        }
        return true;
      case 'action-opened':
      case 'action-resolved':
      case 'operation-started':
      case 'operation-ended': {
        const call = this.#call(entry.stepSeq, entry.index);
        if (call !== undefined) noteOn(call, entry);
        return true;
      }
      case 'late-result': {
        const call = this.#call(entry.stepSeq, entry.result.index);
        if (call !== undefined) call.late = entry.result;
        return true;
      }
      default:
        return false;
    }
  }

  #call(stepSeq: number, index: number): CallFacts | undefined {
    return this.#calls.get(callIdOf(stepSeq, index));
  }
}

/** Names a call in its session: what `GET …/calls/:callId/result` takes. */
export function callIdOf(stepSeq: number, index: number): string {
  return `${stepSeq}-${index}`;
}

/** The call that a call id names; null when it is none. */
export function callOfId(callId: string): { readonly stepSeq: number; readonly index: number } | null {
  const match = /^(\d{1,15})-(\d{1,4})$/.exec(callId);
  return match === null ? null : { stepSeq: Number(match[1]), index: Number(match[2]) };
}

/** Whether a real result may come after the call's outcome: it was stopped or given up while it may have been running. */
export function mayComeLate({ outcome, code }: Pick<TranscriptToolPart, 'outcome' | 'code'>): boolean {
  return outcome === 'stopped' || outcome === 'unknown' || code === 'tool_timeout';
}

function noteOn(call: CallFacts, entry: EntryOf<'action-opened' | 'action-resolved' | 'operation-started' | 'operation-ended'>): void {
  switch (entry.kind) {
    case 'action-opened':
      call.opened = entry;
      call.resolved = null;
      return;
    case 'action-resolved':
      if (entry.resolution === 'approved') call.approved = entry;
      if (entry.actionId === call.opened?.actionId) call.resolved = entry;
      return;
    case 'operation-started':
      call.operation = { id: entry.operationId, status: 'started' };
      return;
    case 'operation-ended':
      call.operation = operationCard({ ...entry, id: entry.operationId });
  }
}

/** What a call's part says of its operation. */
export function operationCard({ id, status, result }: { readonly id: string; readonly status: OperationStatus; readonly result?: CallResult | null }): OperationCard {
  if (status === 'queued' || status === 'running') return { id, status: 'started' };
  return { id, status, ...(result === undefined || result === null || status === 'cancelled' ? {} : { result }) };
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
    parts: parts.map((part) => (part.type === 'call' ? callPart(part) : part)),
  };
}

function stepPart(part: StepPart, step: AssistantStep & { readonly seq: number }): TranscriptPart | null {
  switch (part.type) {
    case 'text':
    case 'reasoning':
      return { type: part.type, text: part.text, state: 'done' };
    case 'tool-call':
      return providerCall(part, step);
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

/** A call that the provider ran: its result is a part of the same step. */
function providerCall({ index, toolCallId, toolName, input }: ToolCallPart, { seq, parts }: AssistantStep & { readonly seq: number }): TranscriptToolPart {
  const call = { type: `tool-${toolName}`, toolCallId, input, providerExecuted: true, callId: callIdOf(seq, index) } as const;
  const result = parts.find((part) => part.type === 'tool-result' && part.toolCallId === toolCallId);
  if (result?.type !== 'tool-result') return { ...call, state: 'input-available' };
  if (result.isError === true) return { ...call, state: 'output-error', errorText: JSON.stringify(result.output) };
  return { ...call, state: 'output-available', output: result.output };
}

function callPart(facts: CallFacts): TranscriptToolPart {
  const { callId, part, approved, result, operation, late } = facts;
  const standing = result === null ? openCallFields(facts) : resultFields(facts, result);
  const approvedInput = result?.approvedInput ?? approved?.input;
  return {
    type: `tool-${part.toolName}`, toolCallId: part.toolCallId, input: part.input, callId, ...standing,
    ...(approvedInput === undefined ? {} : { approvedInput }), ...(operation === null ? {} : { operation }), ...(late !== null && mayComeLate(standing) ? { lateResult: late } : {}),
  };
}

type Standing = Pick<TranscriptToolPart, 'state'> & Partial<TranscriptToolPart>;

/** A call that its step's results do not answer yet. */
function openCallFields(facts: CallFacts): Standing {
  const { part, opened, resolved } = facts;
  if (opened === null) return { state: 'input-available' };
  const { actionId: id, type, expiresAtMs } = opened;
  switch (resolved?.resolution) {
    case undefined: {
      const action = { id, type, expiresAtMs };
      return type === 'approval' || type === 'recovery' ? { state: 'approval-requested', approval: askedFields(facts), action } : { state: 'input-available', action };
    }
    case 'approved':
      return { state: 'approval-responded', approval: { ...askedFields(facts), approved: true } };
    case 'denied':
      return { state: 'approval-responded', approval: deniedFields(facts) };
    case 'expired':
      return resultFields(facts, expiredCall(part));
    case 'result':
    case 'error':
    case 'answered':
    case 'withdrawn':
      // Its outcome comes into the log with those of its siblings.
      return { state: 'input-available' };
  }
}

function resultFields(facts: CallFacts, result: CallResult): Standing {
  const { outcome, code, mayHaveRun, wholeBytes } = result;
  const ended = { outcome, ...(code === undefined ? {} : { code }), ...(mayHaveRun === undefined ? {} : { mayHaveRun }), ...(wholeBytes === undefined ? {} : { wholeBytes }) };
  if (outcome === 'denied') return { ...ended, state: 'output-denied', approval: deniedFields(facts) };
  // The AI SDK knows of an approval here only that it was given.
  const granted = facts.approved === null ? {} : { approval: { id: facts.approved.actionId, approved: true } };
  if (outcome === 'done') return { ...ended, ...granted, state: 'output-available', output: result.output ?? null };
  return { ...ended, ...granted, state: 'output-error', errorText: result.errorText ?? outcome };
}

function askedFields({ stepSeq, part, opened }: CallFacts): TranscriptApproval {
  return { id: opened?.actionId ?? actionIdOf(stepSeq, part.index), ...(opened?.reason === undefined ? {} : { requestReason: opened.reason }) };
}

function deniedFields(facts: CallFacts): TranscriptApproval {
  const { part, resolved } = facts;
  const reason = resolved?.reason ?? part.denied?.reason;
  return { ...askedFields(facts), approved: false, ...(reason === undefined ? {} : { reason }), ...(part.denied === undefined ? {} : { isAutomatic: true }) };
}
