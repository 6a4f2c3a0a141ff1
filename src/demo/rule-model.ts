import { createHash } from 'node:crypto';
import {
  APICallError,
  type LanguageModelV4,
  type LanguageModelV4CallOptions,
  type LanguageModelV4Content,
  type LanguageModelV4FinishReason,
  type LanguageModelV4GenerateResult,
  type LanguageModelV4Prompt,
  type LanguageModelV4StreamPart,
  type LanguageModelV4StreamResult,
  type LanguageModelV4Usage,
} from '@ai-sdk/provider';
import { demoAnswer, spoken, type DemoAnswer, type SpokenAnswer, type ToolCallsAnswer } from './demo-answer.ts';
import { FailureCount } from './failure-count.ts';
import { isStreamFailure, providerFailure, type StreamFailureKind } from './provider-failure.ts';
import { streamOf } from './part-stream.ts';

type Part = LanguageModelV4StreamPart;
type Parts = AsyncGenerator<Part, void, undefined>;

export interface RuleModelOptions {
  /** Resolves after `ms` milliseconds, or rejects when the signal is aborted; this model leaves at an abort either way. */
  readonly delay: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Milliseconds since the epoch, for the response's timestamp; without it a response has none. */
  readonly now?: () => number;
}

/**
 * An offline language model that answers by rules from its prompt: what the demo agent runs on when no real model is set,
 * so that everything can be tried without a key. The same prompt gets the same answer, ids included, but for
 * `fail KIND TIMES`, whose count is kept in memory (see {@link FailureCount}). Usage is counted in words, not in tokens.
 */
export function ruleModel(options: RuleModelOptions): LanguageModelV4 {
  return new RuleModel(options);
}

class RuleModel implements LanguageModelV4 {
  readonly specificationVersion = 'v4';
  readonly provider = 'holdfast';
  readonly modelId = 'demo-rules';
  readonly supportedUrls = {};
  readonly #delay: RuleModelOptions['delay'];
  readonly #now: RuleModelOptions['now'];
  readonly #failureCount = new FailureCount();

  constructor({ delay, now }: RuleModelOptions) {
    this.#delay = delay;
    this.#now = now;
  }

  /** Rejects with an `APICallError` where the rule is a failing call, and with the signal's reason once that is aborted. */
  async doStream(options: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const { prompt, abortSignal } = options;
    abortSignal?.throwIfAborted();
    const place = placeOf(prompt);
    const answer = this.#afterFailures(demoAnswer(prompt, offeredTools(options)), place);
    if (answer.type === 'failing') {
      if (!isStreamFailure(answer.kind)) throw providerFailure(answer.kind);
      const { kind } = answer;
      return { stream: streamOf((signal) => this.#failingParts(kind, prompt, place, signal), abortSignal) };
    }
    return { stream: streamOf((signal) => this.#answerParts(answer, prompt, place, signal), abortSignal) };
  }

  /** As {@link doStream}, gathered. A stream that breaks off is an `APICallError` here. */
  async doGenerate(options: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const { stream } = await this.doStream(options);
    const content: LanguageModelV4Content[] = [];
    let text = '';
    for await (const part of stream) {
      if (part.type === 'text-delta') text += part.delta;
      else if (part.type === 'text-end') content.push({ type: 'text', text });
      else if (part.type === 'tool-call') content.push(part);
      else if (part.type === 'finish') {
        return { content, finishReason: part.finishReason, usage: part.usage, response: this.#responseOf(placeOf(options.prompt)), warnings: [] };
      }
    }
    throw new APICallError({ message: 'The response broke off: premature close', url: '', requestBodyValues: {}, isRetryable: true });
  }

  /** The answer after as many failures as the person asked for. */
  #afterFailures(answer: DemoAnswer, place: string): DemoAnswer {
    if (answer.type !== 'failing' || answer.times === null || this.#failureCount.failsAgain(place, answer.times)) return answer;
    return spoken(`Recovered after ${answer.times} failure${answer.times === 1 ? '' : 's'}.`);
  }

  async *#answerParts(answer: SpokenAnswer | ToolCallsAnswer, prompt: LanguageModelV4Prompt, place: string, signal: AbortSignal): Parts {
    yield* this.#beginning(place);
    if (answer.type === 'tool-calls') {
      const inputs = yield* toolCallParts(answer, place);
      yield finish('tool-calls', 'tool_calls', prompt, wordsIn(inputs));
      return;
    }
    yield { type: 'text-start', id: 'text' };
    const said = yield* this.#spokenParts(answer, signal);
    yield { type: 'text-end', id: 'text' };
    yield finish('stop', 'stop', prompt, said);
  }

  async *#failingParts(kind: StreamFailureKind, prompt: LanguageModelV4Prompt, place: string, signal: AbortSignal): Parts {
    yield* this.#beginning(place);
    yield { type: 'text-start', id: 'text' };
    const said = yield* this.#spokenParts(spoken('Let me think about'), signal);
    if (kind === 'content') {
      yield { type: 'text-end', id: 'text' };
      yield finish('content-filter', 'refusal', prompt, said);
    } else if (kind === 'silence') {
      await aborted(signal);
    }
  }

  *#beginning(place: string): Generator<Part> {
    yield { type: 'stream-start', warnings: [] };
    yield { type: 'response-metadata', ...this.#responseOf(place) };
  }

  #responseOf(place: string): { readonly id: string; readonly modelId: string; readonly timestamp?: Date } {
    const response = { id: `demo_${place}`, modelId: this.modelId };
    return this.#now === undefined ? response : { ...response, timestamp: new Date(this.#now()) };
  }

  /** Streams the pieces and returns how many there were: each is one word. */
  async *#spokenParts({ pieces, everyMs }: SpokenAnswer, signal: AbortSignal): AsyncGenerator<Part, number, undefined> {
    let said = 0;
    for (const delta of pieces) {
      if (said > 0 && everyMs > 0) await this.#delay(everyMs, signal);
      yield { type: 'text-delta', id: 'text', delta };
      said += 1;
    }
    return said;
  }
}

/** Streams the calls, one after the other, and returns their inputs. */
function* toolCallParts({ calls }: ToolCallsAnswer, place: string): Generator<Part, string> {
  const inputs: string[] = [];
  for (const { toolName, input } of calls) {
    const id = inputs.length === 0 ? `call_${place}` : `call_${place}_${inputs.length}`;
    const text = JSON.stringify(input);
    inputs.push(text);
    yield { type: 'tool-input-start', id, toolName };
    yield { type: 'tool-input-delta', id, delta: text };
    yield { type: 'tool-input-end', id };
    yield { type: 'tool-call', toolCallId: id, toolName, input: text };
  }
  return inputs.join(' ');
}

function finish(unified: LanguageModelV4FinishReason['unified'], raw: string, prompt: LanguageModelV4Prompt, outputWords: number): Part {
  return { type: 'finish', finishReason: { unified, raw }, usage: usageInWords(prompt, outputWords) };
}

/** There are no tokens here, so words stand for them. */
function usageInWords(prompt: LanguageModelV4Prompt, outputWords: number): LanguageModelV4Usage {
  const inputWords = prompt.reduce((sum, { content }) => sum + wordsIn(typeof content === 'string' ? content : promptText(content)), 0);
  return {
    inputTokens: { total: inputWords, noCache: inputWords, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: outputWords, text: outputWords, reasoning: 0 },
  };
}

function promptText(parts: Exclude<LanguageModelV4Prompt[number]['content'], string>): string {
  return parts.map((part) => {
    if (part.type === 'text' || part.type === 'reasoning') return part.text;
    if (part.type === 'tool-call') return JSON.stringify(part.input);
    return part.type === 'tool-result' ? JSON.stringify(part.output) : '';
  }).join(' ');
}

function wordsIn(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}

function offeredTools({ tools = [], toolChoice }: LanguageModelV4CallOptions): ReadonlySet<string> {
  return new Set(toolChoice?.type === 'none' ? [] : tools.map(({ name }) => name));
}

/** Where in a conversation a prompt stands. Instructions are left out: they may hold the time of day. */
function placeOf(prompt: LanguageModelV4Prompt): string {
  const messages = prompt.filter(({ role }) => role !== 'system').map(({ role, content }) => [role, content]);
  return createHash('sha256').update(JSON.stringify(messages)).digest('hex').slice(0, 24);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
