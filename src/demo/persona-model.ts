import type { LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4GenerateResult, LanguageModelV4Prompt, LanguageModelV4StreamPart, LanguageModelV4StreamResult } from '@ai-sdk/provider';
import { streamOf } from './part-stream.ts';

/**
 * An offline model that plays a simulated user by rules: its persona is what it says, one message after the other, separated by semicolons or line breaks. Then it ends the conversation. To questions it says yes. Usage is
 * counted in words.
 */
export function personaModel(): LanguageModelV4 {
  return new PersonaModel();
}

class PersonaModel implements LanguageModelV4 {
  readonly specificationVersion = 'v4';
  readonly provider = 'holdfast';
  readonly modelId = 'demo-persona';
  readonly supportedUrls = {};

  doStream({ prompt, tools = [], abortSignal }: LanguageModelV4CallOptions): Promise<LanguageModelV4StreamResult> {
    abortSignal?.throwIfAborted();
    const lines = linesOf(prompt);
    const said = prompt.filter(({ role }) => role === 'assistant').length;
    const ending = tools.find(({ name }) => name === 'end_conversation');
    const line = ending === undefined ? 'yes' : lines[said];
    return Promise.resolve({ stream: streamOf(() => parts(line ?? null, wordsIn(prompt)), abortSignal) });
  }

  /** As {@link doStream}, gathered. */
  async doGenerate(options: LanguageModelV4CallOptions): Promise<LanguageModelV4GenerateResult> {
    const { stream } = await this.doStream(options);
    let text = '';
    for await (const part of stream) {
      if (part.type === 'text-delta') text += part.delta;
      else if (part.type === 'tool-call') return { content: [part], finishReason: { unified: 'tool-calls', raw: 'tool_calls' }, usage: usageOf(0, 1), warnings: [] };
    }
    return { content: [{ type: 'text', text }], finishReason: { unified: 'stop', raw: 'stop' }, usage: usageOf(0, text.split(' ').length), warnings: [] };
  }
}

async function* parts(line: string | null, inputWords: number): AsyncGenerator<LanguageModelV4StreamPart, void, undefined> {
  yield { type: 'stream-start', warnings: [] };
  if (line === null) {
    yield { type: 'tool-call', toolCallId: 'call_end', toolName: 'end_conversation', input: JSON.stringify({ reason: 'all is said' }) };
    yield { type: 'finish', finishReason: { unified: 'tool-calls', raw: 'tool_calls' }, usage: usageOf(inputWords, 3) };
    return;
  }
  yield { type: 'text-start', id: 'text' };
  yield { type: 'text-delta', id: 'text', delta: line };
  yield { type: 'text-end', id: 'text' };
  yield { type: 'finish', finishReason: { unified: 'stop', raw: 'stop' }, usage: usageOf(inputWords, line.split(/\s+/).length) };
}

/** What the persona is to say: in the prompt it stands between two marks. */
function linesOf(prompt: LanguageModelV4Prompt): readonly string[] {
  const [system] = prompt;
  const persona = system?.role === 'system' ? (/<persona>\n(.*)\n<\/persona>/s.exec(system.content)?.[1] ?? '') : '';
  return persona.split(/[;\n]+/).map((line) => line.trim()).filter((line) => line !== '');
}

function usageOf(input: number, output: number) {
  return { inputTokens: { total: input, noCache: input, cacheRead: 0, cacheWrite: 0 }, outputTokens: { total: output, text: output, reasoning: 0 } };
}

function wordsIn(prompt: LanguageModelV4Prompt): number {
  return JSON.stringify(prompt).split(/\s+/).length;
}
