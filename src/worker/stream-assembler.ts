import type { LanguageModelV4StreamPart } from '@ai-sdk/provider';
import type { FilePart, FinishReason, ProviderMetadata, SourcePart, StepPart, Usage } from '../core/entry.ts';
import { wellFormedJson, wellFormedText, type JsonObject, type JsonValue } from '../core/json.ts';
import type { StreamSegment } from '../core/stream-parts.ts';

/** A tool call as the model made it, not yet checked. */
export interface RawCall {
  readonly toolCallId: string;
  readonly toolName: string;
  /** JSON, unless the model says the input is text. */
  readonly inputText: string;
  readonly isText: boolean;
  readonly providerExecuted: boolean;
  readonly dynamic: boolean;
  readonly title: string | undefined;
  readonly providerMetadata: ProviderMetadata | undefined;
}

export type AssembledPart = Exclude<StepPart, { type: 'tool-call' }> | { readonly type: 'raw-call'; readonly call: RawCall; readonly streamedText: string };

export interface Finish {
  readonly reason: FinishReason;
  readonly rawReason: string | undefined;
  /** null: the provider did not say. */
  readonly usage: Usage | null;
}

interface GrowingPart {
  readonly type: StreamSegment['type'];
  readonly id: string;
  /** Place among the streamed parts, which is its place in segments and offsets. */
  readonly place: number;
  text: string;
  /** The first half of a surrogate pair whose second half has not come. */
  heldUnit: string;
  toolName: string | undefined;
  isText: boolean;
  call: RawCall | undefined;
  providerMetadata: ProviderMetadata | undefined;
}

/** Puts a model's stream together: the parts in the order they began, their text well-formed, and each addition as segments to show. */
export class StreamAssembler {
  readonly #parts: (GrowingPart | AssembledPart)[] = [];
  readonly #growing = new Map<string, GrowingPart>();
  readonly #warnings: string[] = [];
  #places = 0;
  finish: Finish | null = null;
  responseId: string | undefined;
  responseModel: string | undefined;

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** Takes one part of the stream; returns what it adds to the text shown. */
  accept(part: LanguageModelV4StreamPart): readonly StreamSegment[] {
    switch (part.type) {
      case 'text-start':
      case 'reasoning-start':
        return this.#begin(part.type === 'text-start' ? 'text' : 'reasoning', part.id, part.providerMetadata);
      case 'text-delta':
        return this.#grow('text', part.id, part.delta, part.providerMetadata);
      case 'reasoning-delta':
        return this.#grow('reasoning', part.id, part.delta, part.providerMetadata);
      case 'text-end':
        return this.#end('text', part.id, part.providerMetadata);
      case 'reasoning-end':
        return this.#end('reasoning', part.id, part.providerMetadata);
      case 'tool-input-start':
        return this.#begin('tool-input', part.id, part.providerMetadata, part.toolName, part.inputEncoding === 'text');
      case 'tool-input-delta':
        return this.#grow('tool-input', part.id, part.delta, part.providerMetadata);
      case 'tool-input-end':
        return this.#end('tool-input', part.id, part.providerMetadata);
      case 'tool-call':
        return this.#call(part);
      default:
        this.#other(part);
        return [];
    }
  }

  /** The parts of the finished stream. A tool input without its call stays as a partial call. */
  parts(): readonly AssembledPart[] {
    return this.#parts.map((part) => {
      if (!('place' in part)) return part;
      const metadata = part.providerMetadata === undefined ? {} : { providerMetadata: part.providerMetadata };
      if (part.type !== 'tool-input') return { type: part.type, text: part.text, ...metadata };
      if (part.call === undefined) return { type: 'partial-call', toolName: part.toolName ?? '', inputText: part.text };
      return { type: 'raw-call', call: part.call, streamedText: part.text };
    });
  }

  #begin(type: GrowingPart['type'], id: string, metadata: unknown, toolName?: string, isText = false): readonly StreamSegment[] {
    const part: GrowingPart = {
      type, id, place: this.#places, text: '', heldUnit: '', toolName: toolName === undefined ? undefined : wellFormedText(toolName), isText,
      call: undefined, providerMetadata: mergeMetadata(undefined, metadata),
    };
    this.#places += 1;
    this.#parts.push(part);
    this.#growing.set(keyOf(type, id), part);
    return [segmentOf(part, 0, '')];
  }

  #grow(type: GrowingPart['type'], id: string, delta: string, metadata: unknown): readonly StreamSegment[] {
    const begun = this.#growing.get(keyOf(type, id));
    // A delta without its start is a fault of the provider's package; its text is not thrown away for it.
    const opening = begun === undefined ? this.#begin(type, id, undefined) : [];
    const part = begun ?? this.#growing.get(keyOf(type, id));
    if (part === undefined) return [];
    part.providerMetadata = mergeMetadata(part.providerMetadata, metadata);
    let text = part.heldUnit + delta;
    part.heldUnit = '';
    const last = text.charCodeAt(text.length - 1);
    if (last >= 0xd800 && last <= 0xdbff) {
      part.heldUnit = text.slice(-1);
      text = text.slice(0, -1);
    }
    return [...opening, ...append(part, text)];
  }

  #end(type: GrowingPart['type'], id: string, metadata: unknown): readonly StreamSegment[] {
    const part = this.#growing.get(keyOf(type, id));
    if (part === undefined) return [];
    part.providerMetadata = mergeMetadata(part.providerMetadata, metadata);
    const rest = part.heldUnit;
    part.heldUnit = '';
    // A tool's input is completed by its call, which comes after its end.
    if (type !== 'tool-input') this.#growing.delete(keyOf(type, id));
    return append(part, rest);
  }

  #call(part: Extract<LanguageModelV4StreamPart, { type: 'tool-call' }>): readonly StreamSegment[] {
    const key = keyOf('tool-input', part.toolCallId);
    const opening = this.#growing.has(key) ? [] : this.#begin('tool-input', part.toolCallId, undefined, part.toolName);
    const growing = this.#growing.get(key);
    if (growing === undefined) return [];
    this.#growing.delete(key);
    growing.toolName = wellFormedText(part.toolName);
    growing.call = {
      toolCallId: wellFormedText(part.toolCallId), toolName: growing.toolName, inputText: part.input, isText: growing.isText,
      providerExecuted: part.providerExecuted === true, dynamic: part.dynamic === true, title: undefined,
      providerMetadata: mergeMetadata(growing.providerMetadata, part.providerMetadata),
    };
    // What was not streamed is shown with the call.
    return growing.text === '' ? [...opening, ...append(growing, wellFormedText(part.input))] : opening;
  }

  #other(part: LanguageModelV4StreamPart): void {
    switch (part.type) {
      case 'stream-start':
        this.#warnings.push(...part.warnings.map((warning) => JSON.stringify(warning)));
        break;
      case 'response-metadata':
        this.responseId = part.id ?? this.responseId;
        this.responseModel = part.modelId ?? this.responseModel;
        break;
      case 'tool-result':
        if (part.preliminary === true) break;
        this.#parts.push({
          type: 'tool-result', toolCallId: wellFormedText(part.toolCallId), toolName: wellFormedText(part.toolName), output: cleanJson(part.result),
          ...(part.isError === true ? { isError: true } : {}), ...metadataOf(part.providerMetadata),
        });
        break;
      case 'source':
        this.#parts.push({ ...(cleanJson(part) as unknown as SourcePart) });
        break;
      case 'file':
      case 'reasoning-file':
        this.#parts.push({ type: part.type, mediaType: part.mediaType, ...fileData(part.data), ...metadataOf(part.providerMetadata) });
        break;
      case 'custom':
      case 'tool-approval-request':
        this.#parts.push({ type: 'other', value: cleanJson(part) as JsonObject });
        break;
      case 'finish': {
        const { inputTokens, outputTokens } = part.usage;
        this.finish = {
          reason: part.finishReason.unified,
          rawReason: part.finishReason.raw,
          usage: knownUsage({
            inputTokens: inputTokens.total, outputTokens: outputTokens.total, cachedInputTokens: inputTokens.cacheRead, reasoningTokens: outputTokens.reasoning,
          }),
        };
        break;
      }
      default:
        // ping and raw say nothing; error is the caller's.
        break;
    }
  }
}

function keyOf(type: GrowingPart['type'], id: string): string {
  return `${type} ${id}`;
}

function append(part: GrowingPart, text: string): readonly StreamSegment[] {
  if (text === '') return [];
  const clean = wellFormedText(text);
  const segment = segmentOf(part, part.text.length, clean);
  part.text += clean;
  return [segment];
}

function segmentOf(part: GrowingPart, offset: number, text: string): StreamSegment {
  if (part.type !== 'tool-input' || offset > 0) return { part: part.place, type: part.type, offset, text };
  return { part: part.place, type: part.type, offset, text, toolName: part.toolName ?? '', toolCallId: wellFormedText(part.id) };
}

function mergeMetadata(known: ProviderMetadata | undefined, added: unknown): ProviderMetadata | undefined {
  if (added === undefined || added === null) return known;
  return { ...known, ...(cleanJson(added) as ProviderMetadata) };
}

function metadataOf(metadata: unknown): { readonly providerMetadata?: ProviderMetadata } {
  return metadata === undefined ? {} : { providerMetadata: cleanJson(metadata) as ProviderMetadata };
}

function cleanJson(value: unknown): JsonValue {
  return wellFormedJson(JSON.parse(JSON.stringify(value ?? null)) as JsonValue);
}

function fileData(data: Extract<LanguageModelV4StreamPart, { type: 'file' }>['data']): Pick<FilePart, 'data' | 'url'> {
  if (data.type === 'url') return { url: data.url.toString() };
  return { data: typeof data.data === 'string' ? data.data : Buffer.from(data.data).toString('base64') };
}

/** What is no whole number of tokens is not known: nothing can be counted by it. */
function knownUsage(usage: { readonly [Key in keyof Usage]: number | undefined }): Usage | null {
  const known = Object.entries(usage).filter(([, tokens]) => tokens !== undefined && Number.isSafeInteger(tokens) && tokens >= 0);
  return known.length === 0 ? null : (Object.fromEntries(known) as Usage);
}
