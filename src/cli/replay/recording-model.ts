import type {
  LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4GenerateResult, LanguageModelV4Prompt, LanguageModelV4StreamPart, LanguageModelV4StreamResult,
} from '@ai-sdk/provider';
import { HoldfastError } from '../../core/errors.ts';
import { streamOf } from '../../demo/part-stream.ts';
import type { ExecutionJournal } from './execution-journal.ts';
import { passTime, type Pace } from './pace.ts';
import { placeOf } from './recording-place.ts';
import type { RecordedCall, RecordedStep, Recording } from './recording.ts';

type Part = LanguageModelV4StreamPart;

export interface RecordingModelOptions {
  readonly recordings: readonly Recording[];
  readonly journal: ExecutionJournal;
  readonly pace: Pace;
}

/**
 * A language model that says what was recorded. Its prompt's system message is the conversation's place in the run; where in the conversation it is, it
 * counts in the prompt. Past what was recorded of a turn it says nothing and finishes.
 */
export function recordingModel(options: RecordingModelOptions): LanguageModelV4 {
  return new RecordingModel(options);
}

class RecordingModel implements LanguageModelV4 {
  readonly specificationVersion = 'v4';
  readonly provider = 'recording';
  readonly modelId = 'recording';
  readonly supportedUrls = { '*/*': [/.*/] };
  readonly #options: RecordingModelOptions;

  constructor(options: RecordingModelOptions) {
    this.#options = options;
  }

  /** Rejects when the prompt names no conversation of this run. */
  async doStream({ prompt, abortSignal }: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    const { recordings, journal, pace } = this.#options;
    const [system] = prompt;
    const recording = system?.role === 'system' ? recordings[Number(system.content)] : undefined;
    if (recording === undefined) throw new HoldfastError('recording_missing', 'the prompt does not begin with the place of a recorded conversation');
    const place = placeOf(recording, prompt);
    const step = recording.turns[place.turn]?.steps[place.step];
    const end = journal.begin('model', place);
    return {
      stream: streamOf((signal) => {
        signal.addEventListener('abort', end, { once: true });
        return streamStep(step, pace, prompt, signal, end);
      }, abortSignal),
    };
  }

  doGenerate(): Promise<LanguageModelV4GenerateResult> {
    return Promise.reject(new HoldfastError('not_supported', 'a recording is streamed'));
  }
}

/** A step as a model streams it, spread over its time; undefined: nothing is said. `end` is called when it is over or broken off. */
export async function* streamStep(step: Pick<RecordedStep, 'texts' | 'calls'> | undefined, pace: Pick<Pace, 'modelMs'>, prompt: LanguageModelV4Prompt, signal: AbortSignal, end: () => void): AsyncGenerator<Part, void, undefined> {
  try {
    yield { type: 'stream-start', warnings: [] };
    const deltasMax = pace.modelMs === 0 ? 4 : Math.max(3, Math.min(12, Math.round(pace.modelMs / 10)));
    const parts = [...partsOf(step ?? { texts: [], calls: [] }, deltasMax)];
    // Each wait is a share of the whole; one more comes before the finish.
    const waits = parts.filter(isDelta).length + 1;
    for (const part of parts) {
      if (isDelta(part)) await passTime(pace.modelMs / waits, signal);
      yield part;
    }
    await passTime(pace.modelMs / waits, signal);
    const calls = step?.calls.length ?? 0;
    yield {
      type: 'finish',
      finishReason: calls > 0 ? { unified: 'tool-calls', raw: 'tool_calls' } : { unified: 'stop', raw: 'stop' },
      usage: usageOf(prompt.length, parts.length),
    };
  } finally {
    end();
  }
}

function isDelta(part: Part): boolean {
  return part.type === 'text-delta' || part.type === 'tool-input-delta';
}

function* partsOf({ texts, calls }: Pick<RecordedStep, 'texts' | 'calls'>, deltasMax: number): Generator<Part> {
  for (const [place, text] of texts.entries()) {
    const id = `text-${place}`;
    yield { type: 'text-start', id };
    for (const delta of pieces(text, deltasMax)) yield { type: 'text-delta', id, delta };
    yield { type: 'text-end', id };
  }
  for (const call of calls) yield* callParts(call, deltasMax);
}

function* callParts({ id, name, argumentsText }: RecordedCall, deltasMax: number): Generator<Part> {
  // What is no JSON is given on as the text that it is.
  const encoding = isJson(argumentsText) ? {} : { inputEncoding: 'text' as const };
  yield { type: 'tool-input-start', id, toolName: name, ...encoding };
  for (const delta of pieces(argumentsText, deltasMax)) yield { type: 'tool-input-delta', id, delta };
  yield { type: 'tool-input-end', id };
  yield { type: 'tool-call', toolCallId: id, toolName: name, input: argumentsText };
}

/** The text in equal pieces, cut between UTF-16 units as providers do: a piece may end within a character. */
function pieces(text: string, countMax: number): readonly string[] {
  const units = Math.max(1, Math.ceil(text.length / countMax));
  return Array.from({ length: Math.ceil(text.length / units) }, (_, piece) => text.slice(piece * units, (piece + 1) * units));
}

function isJson(text: string): boolean {
  if (text.trim() === '') return true;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** A recording counts no tokens: messages in and stream parts out stand for them. */
function usageOf(input: number, output: number): Extract<Part, { type: 'finish' }>['usage'] {
  return {
    inputTokens: { total: input, noCache: input, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: output, text: output, reasoning: 0 },
  };
}
