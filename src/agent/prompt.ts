import type {
  JSONValue, LanguageModelV4CustomPart, LanguageModelV4FilePart, LanguageModelV4Message, LanguageModelV4Prompt, LanguageModelV4ToolResultOutput,
  LanguageModelV4ToolResultPart, SharedV4ProviderOptions,
} from '@ai-sdk/provider';
import type { AssistantStep, CallResult, Entry, EntryOf, Interval, MessagePart, ProviderMetadata, StepPart, ToolCallPart } from '../core/entry.ts';
import { invariant } from '../core/errors.ts';
import { isVisible } from '../core/intervals.ts';
import type { Compaction, InjectedContext } from '../core/compaction.ts';
import type { JsonObject } from '../core/json.ts';
import { estimatedTokens } from './context-size.ts';
import type { HistoryItem } from './history-item.ts';

type AssistantContent = Extract<LanguageModelV4Message, { role: 'assistant' }>['content'];

/**
 * The history as a model is sent it: the fold of the visible timeline. It grows entry by entry, so that a session in work
 * pays for what is new only (G11). Each call has exactly one result in it, because the log does (G8) and no summary comes between them.
 */
export class PromptHistory {
  readonly messages: LanguageModelV4Message[] = [];
  /** Seq of the last entry in it. */
  lastSeq = 0;
  /** Size of the entries' texts, roughly, for the bound of a cache of histories. */
  textChars = 0;
  /** The last step was generated before the history was last compacted. */
  isFreshlyCompacted = false;
  /** Tokens of the prompt that would be sent now, with instructions and tools, as the provider counted at the last step and as what came since is estimated; null: no step says. */
  countedTokens: number | null = null;
  readonly #visible: readonly Interval[];
  readonly #redactions: number;
  #callIds = new CallIds();
  readonly #contexts = new Map<string, { readonly version: string; readonly seq: number }>();
  #items: HistoryItem[] = [];
  /** Seq of the last entry that answered what was said before it. */
  #answeredSeq = 0;

  /** `redactions`: of how many entries the content had been removed when it was begun. */
  constructor(visible: readonly Interval[], redactions = 0) {
    this.#visible = visible;
    this.#redactions = redactions;
  }

  /** Passes over what a summary stands for, but for the messages that it keeps: the next entries are those after `throughSeq`. From the summary on it is the same as one that has read everything. */
  beginBefore({ throughSeq }: Pick<Compaction, 'throughSeq'>, kept: readonly Entry[]): void {
    invariant(this.lastSeq === 0, 'a history that begins at a summary has nothing in it');
    for (const entry of kept) this.#add(entry);
    this.lastSeq = throughSeq;
  }

  get redactions(): number {
    return this.#redactions;
  }

  /** What the messages come from, in order. */
  get items(): readonly HistoryItem[] {
    return this.#items;
  }

  /** Seqs of messages that nothing has answered. */
  get unanswered(): ReadonlySet<number> {
    return new Set(this.#items.filter(({ kind, seq }) => kind === 'said' && seq > this.#answeredSeq).map(({ seq }) => seq));
  }

  /** The version of a provider's context that it holds; null: none. */
  contextVersion(provider: string): string | null {
    return this.#contexts.get(provider)?.version ?? null;
  }

  /** Whether it is the beginning of the history that the session shows. */
  continuesTo({ visible, redactions }: { readonly visible: readonly Interval[]; readonly redactions: number }): boolean {
    return redactions === this.#redactions && (visible === this.#visible || JSON.stringify(visible) === JSON.stringify(this.#visible));
  }

  /** Takes the entries that follow on what it has; what would leave a gap is left for a read of the log. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.seq !== this.lastSeq + 1) continue;
      this.lastSeq = entry.seq;
      if (entry.visibility === 'user' || !isVisible(this.#visible, entry.seq)) continue;
      if (entry.kind === 'history-compacted') this.#compact(entry);
      else this.#add(entry);
    }
  }

  /** The prompt: instructions first, then the history, then what is new to it. */
  prompt(instructions: string | null, added: readonly InjectedContext[] = []): LanguageModelV4Prompt {
    const system = instructions === null || instructions === '' ? [] : [{ role: 'system' as const, content: instructions }];
    return [...system, ...this.messages, ...added.flatMap(contextMessages)];
  }

  #add(entry: Entry): void {
    const kind = itemKinds[entry.kind];
    if (kind !== undefined) {
      const messages = messagesOf(entry, this.#callIds);
      const item: HistoryItem = { seq: entry.seq, kind, messages, tokens: estimatedTokens(messages), entry };
      if (messages.length > 0) {
        this.#items.push(item);
        this.messages.push(...messages);
        this.textChars += charsOf(entry);
      }
      if (this.countedTokens !== null) this.countedTokens += item.tokens;
    }
    if (entry.kind === 'assistant-step') this.#noteStep(entry);
    else if (entry.kind === 'context-injected') this.#contexts.set(entry.provider, { version: entry.version, seq: entry.seq });
    else if (entry.kind === 'turn-ended' && entry.reason === 'stop_after_tool') this.#answeredSeq = entry.seq;
  }

  #noteStep({ seq, attempt: { usage }, parts, finishReason, stopped }: EntryOf<'assistant-step'>): void {
    if (usage?.inputTokens !== undefined) this.countedTokens = usage.inputTokens + (usage.outputTokens ?? 0);
    const calls = parts.some((part) => part.type === 'tool-call' && part.providerExecuted !== true);
    if (!calls && stopped !== true && finishReason !== 'content-filter') this.#answeredSeq = seq;
    if (stopped !== true) this.isFreshlyCompacted = false;
  }

  /** A summary whose content was removed stands for nothing: the model sees what is there again. */
  #compact({ throughSeq, keeps, summary, redacted }: EntryOf<'history-compacted'>): void {
    if (redacted !== undefined) return;
    const messages: readonly LanguageModelV4Message[] = [{ role: 'user', content: [{ type: 'text', text: `${summaryHead}\n${summary}` }] }];
    const kept = new Set(keeps);
    const stays = this.#items.filter(({ seq, kind }) => kind !== 'summary' && (seq > throughSeq || kept.has(seq)));
    // What a call is named is told by what the model sees, not by what it saw.
    this.#callIds = new CallIds();
    this.#items = [
      { seq: throughSeq, kind: 'summary', messages, tokens: estimatedTokens(messages), text: summary },
      ...stays.map((item) => (item.entry === undefined ? item : { ...item, messages: messagesOf(item.entry, this.#callIds) })),
    ];
    this.messages.length = 0;
    for (const item of this.#items) this.messages.push(...item.messages);
    // What the summary replaced is given again.
    for (const [provider, { seq }] of this.#contexts) if (seq <= throughSeq) this.#contexts.delete(provider);
    this.textChars = JSON.stringify(this.messages).length;
    this.countedTokens = null;
    this.isFreshlyCompacted = true;
  }
}

/** How a summary begins, as the model is sent it. */
export const summaryHead = '[summary of the conversation up to here, in its place]';

/** How the context of a provider begins. */
function contextHead({ provider, version }: Pick<InjectedContext, 'provider' | 'version'>): string {
  return `[context ${provider}, version ${version}]`;
}

/** The messages that context makes: none where there is none. */
export function contextMessages({ text, ...context }: InjectedContext): readonly LanguageModelV4Message[] {
  return text === null ? [] : [{ role: 'user', content: [{ type: 'text', text: `${contextHead(context)}\n${text}` }] }];
}

const itemKinds: Readonly<Partial<Record<Entry['kind'], HistoryItem['kind']>>> = {
  'user-message': 'said', 'assistant-step': 'step', 'tool-results': 'results', 'operation-result': 'told', 'context-injected': 'context',
};

function charsOf(entry: Entry): number {
  if (entry.kind === 'operation-result') return operationInWords(entry).length;
  if (entry.kind === 'context-injected') return entry.text?.length ?? 0;
  if (entry.kind === 'tool-results') return entry.results.reduce((chars, result) => chars + 100 + (typeof result.output === 'string' ? result.output.length : JSON.stringify(result.output ?? '').length), 0);
  if (!('parts' in entry)) return 0;
  return entry.parts.reduce((chars, part) => chars + 100 + ('text' in part ? part.text.length : JSON.stringify(part).length), 0);
}

/**
 * The ids under which calls are sent. Providers reuse ids, and some refuse a history in which one comes twice: a repeated
 * one is told apart by the call's own identity. The same log always gives the same ids.
 */
class CallIds {
  readonly #used = new Set<string>();
  readonly #renamed = new Map<string, string>();

  ofCall(stepSeq: number, { index, toolCallId, providerExecuted }: ToolCallPart): string {
    const repeated = this.#used.has(toolCallId);
    this.#used.add(toolCallId);
    // What the provider ran, it knows by its own id.
    if (!repeated || providerExecuted === true) return toolCallId;
    const id = `${toolCallId}_${stepSeq}_${index}`;
    this.#used.add(id);
    this.#renamed.set(`${stepSeq} ${index}`, id);
    return id;
  }

  ofResult(stepSeq: number, { index, toolCallId }: CallResult): string {
    return this.#renamed.get(`${stepSeq} ${index}`) ?? toolCallId;
  }
}

function messagesOf(entry: Entry, callIds: CallIds): readonly LanguageModelV4Message[] {
  switch (entry.kind) {
    case 'user-message':
      return [{ role: 'user', content: entry.parts.map(userPart) }];
    case 'assistant-step':
      return stepMessages(entry, callIds);
    case 'tool-results':
      return entry.results.length === 0 ? [] : [{ role: 'tool', content: entry.results.map((result) => resultPart(result, callIds.ofResult(entry.stepSeq, result))) }];
    case 'operation-result':
      return [{ role: 'user', content: [{ type: 'text', text: operationInWords(entry) }] }];
    case 'context-injected':
      return contextMessages(entry);
    default:
      return [];
  }
}

/** The call of a detached operation has had its one result; what it came to is told as a message. */
function operationInWords({ operationId, toolName, result }: EntryOf<'operation-result'>): string {
  const { outcome, output, errorText } = result;
  const said = outcome === 'done' ? `It came to: ${typeof output === 'string' ? output : JSON.stringify(output ?? null)}` : (errorText ?? '');
  return `[operation ${operationId} of the tool ${sentName(toolName)} has ended: ${outcome}] ${said}`.trimEnd();
}

function userPart(part: MessagePart): Extract<LanguageModelV4Message, { role: 'user' }>['content'][number] {
  return part.type === 'text' ? { type: 'text', text: part.text } : fileContent(part);
}

function fileContent(part: { readonly mediaType: string; readonly data?: string; readonly url?: string; readonly filename?: string }): LanguageModelV4FilePart {
  const data = part.url === undefined ? { type: 'data' as const, data: part.data ?? '' } : { type: 'url' as const, url: new URL(part.url) };
  return { type: 'file', mediaType: part.mediaType, data, ...(part.filename === undefined ? {} : { filename: part.filename }) };
}

function stepMessages(step: EntryOf<'assistant-step'>, callIds: CallIds): readonly LanguageModelV4Message[] {
  const content = step.parts.flatMap((part) => assistantPart(part, step, callIds));
  const denials = unansweredApprovals(step);
  // Reasoning that led to nothing is refused by providers; an approval it led to is in the next message.
  while (denials.length === 0 && content.at(-1)?.type === 'reasoning') content.pop();
  return [
    ...(content.length === 0 ? [] : [{ role: 'assistant' as const, content }]),
    ...(denials.length === 0 ? [] : [{ role: 'tool' as const, content: denials.map((approvalId) => ({ type: 'tool-approval-response' as const, approvalId, approved: false })) }]),
  ];
}

/** Approvals that the provider asked for before running a tool of its own. Nobody gave them: left open, they would make the history invalid. */
function unansweredApprovals(step: AssistantStep): readonly string[] {
  return step.parts.flatMap((part) => {
    if (part.type !== 'other' || part.value['type'] !== 'tool-approval-request') return [];
    const { approvalId, toolCallId } = part.value;
    const answered = step.parts.some((other) => other.type === 'tool-result' && other.toolCallId === toolCallId);
    return answered || typeof approvalId !== 'string' ? [] : [approvalId];
  });
}

function assistantPart(part: StepPart, step: EntryOf<'assistant-step'>, callIds: CallIds): AssistantContent {
  switch (part.type) {
    case 'text':
      return part.text === '' ? [] : [{ type: 'text', text: part.text, ...optionsOf(part.providerMetadata) }];
    case 'reasoning':
      // What a stop cut off has no signature, without which providers refuse it.
      return step.stopped === true ? [] : [{ type: 'reasoning', text: part.text, ...optionsOf(part.providerMetadata) }];
    case 'tool-call':
      if (part.providerExecuted === true && !step.parts.some((other) => other.type === 'tool-result' && other.toolCallId === part.toolCallId)) return [];
      return [{
        type: 'tool-call', toolCallId: callIds.ofCall(step.seq, part), toolName: part.providerExecuted === true ? part.toolName : sentName(part.toolName), input: sentInput(part),
        ...(part.providerExecuted === true ? { providerExecuted: true } : {}), ...optionsOf(part.providerMetadata),
      }];
    case 'tool-result':
      return [{
        type: 'tool-result', toolCallId: part.toolCallId, toolName: part.toolName,
        output: part.isError === true ? { type: 'error-json', value: part.output as JSONValue } : { type: 'json', value: part.output as JSONValue },
        ...optionsOf(part.providerMetadata),
      }];
    case 'file':
      return [{ ...fileContent(part), ...optionsOf(part.providerMetadata) }];
    case 'other':
      return customPart(part.value);
    case 'source':
    case 'reasoning-file':
    case 'partial-call':
      return [];
  }
}

/** Content of the provider's own kind goes back to it. The announcement of a message is no content: sent alone, it would make an empty message. */
function customPart({ type, kind, providerMetadata }: JsonObject): LanguageModelV4CustomPart[] {
  if (type !== 'custom' || kind === 'anthropic.message_start') return [];
  return [{ type, kind: kind as LanguageModelV4CustomPart['kind'], ...optionsOf(providerMetadata as ProviderMetadata | undefined) }];
}

/** Providers refuse a history with a name that no tool of theirs could have, even that of a call which was answered with an error. */
function sentName(toolName: string): string {
  return toolName.replaceAll(/[^\w-]/g, '_') || 'unnamed';
}

/** Providers want an object, also from a call that was invalid because its input was none. */
function sentInput({ input, problem }: ToolCallPart): unknown {
  const isObject = typeof input === 'object' && input !== null && !Array.isArray(input);
  return problem === undefined || isObject ? input : {};
}

function optionsOf(metadata: ProviderMetadata | undefined): { readonly providerOptions?: SharedV4ProviderOptions } {
  return metadata === undefined ? {} : { providerOptions: metadata as SharedV4ProviderOptions };
}

function resultPart(result: CallResult, toolCallId: string): LanguageModelV4ToolResultPart {
  return { type: 'tool-result', toolCallId, toolName: sentName(result.toolName), output: resultOutput(result) };
}

function resultOutput(result: CallResult): LanguageModelV4ToolResultOutput {
  if (result.outcome !== 'done') return { type: 'error-text', value: result.errorText ?? result.outcome };
  // The call stays as the model made it; what ran is said with the result.
  if (result.approvedInput !== undefined) return { type: 'content', value: [{ type: 'text', text: `The person who approved the call changed its input to: ${JSON.stringify(result.approvedInput)}` }, ...outputContent(result)] };
  if (result.modelOutput !== undefined) return result.modelOutput as unknown as LanguageModelV4ToolResultOutput;
  const output = result.output ?? null;
  return typeof output === 'string' ? { type: 'text', value: output } : { type: 'json', value: output as JSONValue };
}

function outputContent({ output, modelOutput }: CallResult): Extract<LanguageModelV4ToolResultOutput, { type: 'content' }>['value'] {
  const own = modelOutput as unknown as LanguageModelV4ToolResultOutput | undefined;
  if (own?.type === 'content') return own.value;
  const value = own !== undefined && 'value' in own ? own.value : (output ?? null);
  return [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) }];
}
