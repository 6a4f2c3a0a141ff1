import type { JSONValue, LanguageModelV4FilePart, LanguageModelV4Message, LanguageModelV4Prompt, LanguageModelV4ToolResultOutput, LanguageModelV4ToolResultPart, SharedV4ProviderOptions } from '@ai-sdk/provider';
import type { AssistantStep, CallResult, Entry, Interval, MessagePart, ProviderMetadata, StepPart } from '../core/entry.ts';
import { isVisible } from '../core/intervals.ts';

type AssistantContent = Extract<LanguageModelV4Message, { role: 'assistant' }>['content'];

/**
 * The history as a model is sent it: the fold of the visible timeline. It grows entry by entry, so that a session in work
 * pays for what is new only (G11). Each call has exactly one result in it, because the log does (G8).
 */
export class PromptHistory {
  readonly messages: LanguageModelV4Message[] = [];
  /** Seq of the last entry in it. */
  lastSeq = 0;
  /** Size of the entries' texts, roughly, for the bound of a cache of histories. */
  textChars = 0;
  readonly #visible: readonly Interval[];

  constructor(visible: readonly Interval[]) {
    this.#visible = visible;
  }

  /** Whether it is the beginning of the history that these intervals show. */
  continuesTo(visible: readonly Interval[]): boolean {
    return JSON.stringify(visible) === JSON.stringify(this.#visible);
  }

  /** Takes the entries that follow on what it has; what would leave a gap is left for a read of the log. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.seq !== this.lastSeq + 1) continue;
      this.lastSeq = entry.seq;
      if (entry.visibility === 'user' || !isVisible(this.#visible, entry.seq)) continue;
      const message = messageOf(entry);
      if (message === null) continue;
      this.messages.push(message);
      this.textChars += charsOf(entry);
    }
  }

  /** The prompt: instructions first, then the history. */
  prompt(instructions: string | null): LanguageModelV4Prompt {
    return instructions === null || instructions === '' ? this.messages.slice() : [{ role: 'system', content: instructions }, ...this.messages];
  }
}

function charsOf(entry: Entry): number {
  if (entry.kind === 'tool-results') return entry.results.reduce((chars, result) => chars + 100 + (typeof result.output === 'string' ? result.output.length : JSON.stringify(result.output ?? '').length), 0);
  if (!('parts' in entry)) return 0;
  return entry.parts.reduce((chars, part) => chars + 100 + ('text' in part ? part.text.length : JSON.stringify(part).length), 0);
}

function messageOf(entry: Entry): LanguageModelV4Message | null {
  switch (entry.kind) {
    case 'user-message':
      return { role: 'user', content: entry.parts.map(userPart) };
    case 'assistant-step': {
      const content = assistantContent(entry);
      return content.length === 0 ? null : { role: 'assistant', content };
    }
    case 'tool-results':
      return entry.results.length === 0 ? null : { role: 'tool', content: entry.results.map(resultPart) };
    default:
      return null;
  }
}

function userPart(part: MessagePart): Extract<LanguageModelV4Message, { role: 'user' }>['content'][number] {
  return part.type === 'text' ? { type: 'text', text: part.text } : fileContent(part);
}

function fileContent(part: { readonly mediaType: string; readonly data?: string; readonly url?: string; readonly filename?: string }): LanguageModelV4FilePart {
  const data = part.url === undefined ? { type: 'data' as const, data: part.data ?? '' } : { type: 'url' as const, url: new URL(part.url) };
  return { type: 'file', mediaType: part.mediaType, data, ...(part.filename === undefined ? {} : { filename: part.filename }) };
}

function assistantContent(step: AssistantStep): AssistantContent {
  return step.parts.flatMap((part) => assistantPart(part, step));
}

function assistantPart(part: StepPart, step: AssistantStep): AssistantContent {
  switch (part.type) {
    case 'text':
      return part.text === '' ? [] : [{ type: 'text', text: part.text, ...optionsOf(part.providerMetadata) }];
    case 'reasoning':
      // What a stop cut off has no signature, without which providers refuse it.
      return step.stopped === true ? [] : [{ type: 'reasoning', text: part.text, ...optionsOf(part.providerMetadata) }];
    case 'tool-call':
      if (part.providerExecuted === true && !step.parts.some((other) => other.type === 'tool-result' && other.toolCallId === part.toolCallId)) return [];
      return [{
        type: 'tool-call', toolCallId: part.toolCallId, toolName: part.toolName, input: part.input,
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
    case 'source':
    case 'reasoning-file':
    case 'partial-call':
    case 'other':
      return [];
  }
}

function optionsOf(metadata: ProviderMetadata | undefined): { readonly providerOptions?: SharedV4ProviderOptions } {
  return metadata === undefined ? {} : { providerOptions: metadata as SharedV4ProviderOptions };
}

function resultPart(result: CallResult): LanguageModelV4ToolResultPart {
  return { type: 'tool-result', toolCallId: result.toolCallId, toolName: result.toolName, output: resultOutput(result) };
}

function resultOutput(result: CallResult): LanguageModelV4ToolResultOutput {
  if (result.outcome !== 'done') return { type: 'error-text', value: result.errorText ?? result.outcome };
  if (result.modelOutput !== undefined) return result.modelOutput as unknown as LanguageModelV4ToolResultOutput;
  const output = result.output ?? null;
  return typeof output === 'string' ? { type: 'text', value: output } : { type: 'json', value: output as JSONValue };
}
