import type {
  LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4Content, LanguageModelV4FinishReason, LanguageModelV4GenerateResult, LanguageModelV4Prompt,
  LanguageModelV4StreamPart, LanguageModelV4StreamResult, LanguageModelV4Usage,
} from '@ai-sdk/provider';
import { HoldfastError } from '../core/errors.ts';
import type { JsonValue } from '../core/json.ts';
import type { Clock } from '../core/system.ts';
import { streamOf } from '../demo/part-stream.ts';
import type { Gate } from './gate.ts';

/**
 * One generation: what the model does, in order. A text is short for `[{ text }]`; a function decides from the call. The finish is added where the items
 * do not end the stream themselves: `tool-calls` after a call, else `stop`.
 */
export type ScriptedGeneration = string | readonly ScriptedItem[] | ((call: ScriptedCall) => string | readonly ScriptedItem[]);

export type ScriptedItem =
  /** A text or reasoning part, one delta for each piece. */
  | { readonly text: string | readonly string[] }
  | { readonly reasoning: string | readonly string[] }
  /** A tool call. `inputText` is streamed as it is, in place of the input's JSON; `id` defaults to `call_` and a number. */
  | { readonly call: string; readonly input?: JsonValue; readonly inputText?: string | readonly string[]; readonly id?: string; readonly providerExecuted?: true }
  /** Any part of a stream, as it is. */
  | { readonly part: LanguageModelV4StreamPart }
  /** Waits until the test opens the gate; an abort of the call ends the wait. */
  | { readonly gate: Gate }
  /** Waits on the clock given in the options. */
  | { readonly delayMs: number }
  /** As the first item: the call itself rejects. Later: the stream sends this as an error part. */
  | { readonly error: unknown }
  | { readonly finish: LanguageModelV4FinishReason['unified']; readonly raw?: string; readonly usage?: LanguageModelV4Usage }
  /** The stream closes here, without a finish part. */
  | { readonly truncated: true }
  /** Nothing more comes, and the stream does not end until the call is aborted. */
  | { readonly silent: true };

/** A call of the model, as it came. */
export interface ScriptedCall {
  /** From 0. */
  readonly number: number;
  readonly prompt: LanguageModelV4Prompt;
  readonly options: LanguageModelV4CallOptions;
}

export interface ScriptedModelOptions {
  /** What is generated when the script is over. Default: the call rejects, so that a generation too many is seen. */
  readonly otherwise?: ScriptedGeneration;
  /** Default `scripted`. */
  readonly provider?: string;
  /** Default `scripted-1`. */
  readonly modelId?: string;
  /** Needed for `delayMs`. */
  readonly clock?: Clock;
}

/** A language model whose generations are data, one for each call in the order of the calls. */
export interface ScriptedModel extends LanguageModelV4 {
  /** Every call so far, with its prompt. */
  readonly calls: readonly ScriptedCall[];
  /** Resolves with the call of this number (from 0) when it has come. */
  called(number: number): Promise<ScriptedCall>;
}

/** Makes a {@link ScriptedModel}. A call after the end of the script rejects with a `HoldfastError` of code `script_over`. */
export function scriptedModel(generations: readonly ScriptedGeneration[], options: ScriptedModelOptions = {}): ScriptedModel {
  return new Scripted(generations, options);
}

class Scripted implements ScriptedModel {
  readonly specificationVersion = 'v4';
  readonly provider: string;
  readonly modelId: string;
  readonly supportedUrls = {};
  readonly calls: ScriptedCall[] = [];
  readonly #generations: readonly ScriptedGeneration[];
  readonly #otherwise: ScriptedGeneration | undefined;
  readonly #clock: Clock | undefined;
  readonly #waiters: { readonly number: number; readonly resolve: (call: ScriptedCall) => void }[] = [];

  constructor(generations: readonly ScriptedGeneration[], { otherwise, provider = 'scripted', modelId = 'scripted-1', clock }: ScriptedModelOptions) {
    this.#generations = generations;
    this.#otherwise = otherwise;
    this.provider = provider;
    this.modelId = modelId;
    this.#clock = clock;
  }

  called(number: number): Promise<ScriptedCall> {
    const call = this.calls[number];
    if (call !== undefined) return Promise.resolve(call);
    return new Promise((resolve) => this.#waiters.push({ number, resolve }));
  }

  async doStream(options: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    options.abortSignal?.throwIfAborted();
    const call: ScriptedCall = { number: this.calls.length, prompt: options.prompt, options };
    this.calls.push(call);
    for (const waiter of this.#waiters) if (waiter.number === call.number) waiter.resolve(call);
    const items = this.#itemsOf(call);
    const first = items[0];
    if (first !== undefined && 'error' in first) throw first.error;
    return { stream: streamOf((signal) => this.#parts(items, call, signal), options.abortSignal) };
  }

  /** As {@link doStream}, gathered: texts and calls. */
  async doGenerate(options: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const { stream } = await this.doStream(options);
    const content: LanguageModelV4Content[] = [];
    let text = '';
    for await (const part of stream) {
      if (part.type === 'error') throw part.error;
      if (part.type === 'text-delta') text += part.delta;
      else if (part.type === 'text-end') {
        content.push({ type: 'text', text });
        text = '';
      } else if (part.type === 'tool-call') content.push(part);
      else if (part.type === 'finish') return { content, finishReason: part.finishReason, usage: part.usage, warnings: [] };
    }
    throw new HoldfastError('script_over', 'the scripted stream ended without a finish');
  }

  #itemsOf(call: ScriptedCall): readonly ScriptedItem[] {
    const generation = this.#generations[call.number] ?? this.#otherwise;
    if (generation === undefined) throw new HoldfastError('script_over', `the script has ${this.#generations.length} generations; this is call ${call.number + 1}`);
    const items = typeof generation === 'function' ? generation(call) : generation;
    return typeof items === 'string' ? [{ text: items }] : items;
  }

  async *#parts(items: readonly ScriptedItem[], call: ScriptedCall, signal: AbortSignal): AsyncGenerator<LanguageModelV4StreamPart, void, undefined> {
    yield { type: 'stream-start', warnings: [] };
    yield { type: 'response-metadata', id: `response_${call.number}`, modelId: this.modelId };
    for (const [place, item] of items.entries()) {
      if ('gate' in item) await Promise.race([item.gate.pass(), aborted(signal)]);
      else if ('delayMs' in item) await this.#delay(item.delayMs);
      else if ('silent' in item) await aborted(signal);
      else if ('truncated' in item) return;
      else yield* partsOf(item, `${call.number}_${place}`);
      if (signal.aborted) return;
    }
    if (items.some((item) => 'finish' in item || 'error' in item || ('part' in item && item.part.type === 'finish'))) return;
    yield finishPart(items.some((item) => 'call' in item && item.providerExecuted !== true) ? 'tool-calls' : 'stop');
  }

  #delay(delayMs: number): Promise<void> {
    const clock = this.#clock;
    if (clock === undefined) throw new HoldfastError('script_over', 'delayMs needs the clock of the options');
    return new Promise((resolve) => clock.after(delayMs, resolve));
  }
}

type PartItem = Exclude<ScriptedItem, { readonly gate: Gate } | { readonly delayMs: number } | { readonly silent: true } | { readonly truncated: true }>;

function* partsOf(item: PartItem, id: string): Generator<LanguageModelV4StreamPart> {
  if ('part' in item) yield item.part;
  else if ('error' in item) yield { type: 'error', error: item.error };
  else if ('finish' in item) yield finishPart(item.finish, item.raw, item.usage);
  else if ('call' in item) yield* callParts(item, item.id ?? `call_${id}`);
  else {
    const type = 'text' in item ? 'text' : 'reasoning';
    yield { type: `${type}-start`, id };
    for (const delta of pieces('text' in item ? item.text : item.reasoning)) yield { type: `${type}-delta`, id, delta };
    yield { type: `${type}-end`, id };
  }
}

function* callParts(item: Extract<ScriptedItem, { readonly call: string }>, id: string): Generator<LanguageModelV4StreamPart> {
  const { call: toolName, input = {}, inputText = JSON.stringify(input), providerExecuted } = item;
  const executed = providerExecuted === undefined ? {} : { providerExecuted };
  yield { type: 'tool-input-start', id, toolName, ...executed };
  for (const delta of pieces(inputText)) yield { type: 'tool-input-delta', id, delta };
  yield { type: 'tool-input-end', id };
  yield { type: 'tool-call', toolCallId: id, toolName, input: pieces(inputText).join(''), ...executed };
}

function pieces(text: string | readonly string[]): readonly string[] {
  return typeof text === 'string' ? [text] : text;
}

/** What a scripted generation cost, unless its finish says otherwise: 10 tokens in, 5 out. */
const usageDefault: LanguageModelV4Usage = {
  inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 5, text: 5, reasoning: 0 },
};

function finishPart(unified: LanguageModelV4FinishReason['unified'], raw: string = unified, usage = usageDefault): LanguageModelV4StreamPart {
  return { type: 'finish', finishReason: { unified, raw }, usage };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
