import type { LanguageModelV4, LanguageModelV4StreamPart } from '@ai-sdk/provider';
import { jsonSchema } from '@ai-sdk/provider-utils';
import { agent, type Agent } from '../../agent/agent.ts';
import { tool } from '../../agent/tool.ts';
import { HoldfastError } from '../../core/errors.ts';

/** The measured turn, sized like the one the peers were measured with: user 200 B, call 80 B, result 310 B, final text 400 B. */
export const userText = prose(200);
const toolArgument = prose(60);
const resultText = prose(280);
const finalText = prose(400);

/** Commits of that turn: message and claim, step with the call, results, last step with the turn's end. */
export const commitsPerTurn = 4;

function prose(chars: number): string {
  return 'the quick brown fox jumps over the lazy dog and runs along the river bank '.repeat(10).slice(0, chars);
}

const usage = {
  inputTokens: { total: 120, noCache: 120, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 90, text: 90, reasoning: undefined },
};

/** An agent whose model answers at once: one tool call, then a final text. */
export function benchAgent(): Agent {
  return agent({
    name: 'bench',
    model: instantModel(),
    instructions: 'You are measured.',
    tools: {
      lookup: tool({
        recovery: 'rerun',
        inputSchema: jsonSchema<{ query: string }>({ type: 'object', properties: { query: { type: 'string' } }, required: ['query'] }),
        execute: ({ query }) => ({ query: query.length, answer: resultText }),
      }),
    },
  });
}

function instantModel(): LanguageModelV4 {
  const call: readonly LanguageModelV4StreamPart[] = [
    { type: 'stream-start', warnings: [] },
    { type: 'tool-call', toolCallId: 'call_1', toolName: 'lookup', input: JSON.stringify({ query: toolArgument }) },
    { type: 'finish', usage, finishReason: { unified: 'tool-calls', raw: 'tool_calls' } },
  ];
  const answer: readonly LanguageModelV4StreamPart[] = [
    { type: 'stream-start', warnings: [] },
    { type: 'text-start', id: '1' },
    { type: 'text-delta', id: '1', delta: finalText },
    { type: 'text-end', id: '1' },
    { type: 'finish', usage, finishReason: { unified: 'stop', raw: 'stop' } },
  ];
  return {
    specificationVersion: 'v4', provider: 'holdfast', modelId: 'bench', supportedUrls: {},
    doGenerate: () => Promise.reject(new HoldfastError('not_supported', 'the benchmark streams')),
    doStream: ({ prompt }) => Promise.resolve({ stream: streamOf(prompt.at(-1)?.role === 'tool' ? answer : call) }),
  };
}

function streamOf(parts: readonly LanguageModelV4StreamPart[]): ReadableStream<LanguageModelV4StreamPart> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
}
