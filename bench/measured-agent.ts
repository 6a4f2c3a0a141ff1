import type { LanguageModelV4, LanguageModelV4Prompt, LanguageModelV4StreamPart } from '@ai-sdk/provider';
import { setTimeout as pause } from 'node:timers/promises';
import { agent, type Agent } from '../src/agent/agent.ts';

/** Text of a message that is answered with so many pieces, one every so often. */
export function streamRequest(pieces: number, everyMs: number): string {
  return `stream ${pieces} ${everyMs}`;
}

const usage = {
  inputTokens: { total: 10, noCache: 10, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 10, text: 10, reasoning: undefined },
};

/**
 * An agent whose model says that it was called, and then does what the last message asks for: answers at once, or in pieces. Where it hangs, it says the first words and then nothing more.
 */
export function measuredAgent(hangs: boolean, onCall: (text: string) => void): Agent {
  const model: LanguageModelV4 = {
    specificationVersion: 'v4', provider: 'holdfast', modelId: 'measured', supportedUrls: {},
    doGenerate: () => Promise.reject(new Error('the benchmark streams')),
    doStream: ({ prompt }) => {
      const text = lastText(prompt);
      onCall(text);
      const parts = answer(text, hangs);
      return Promise.resolve({ stream: new ReadableStream<LanguageModelV4StreamPart>({
        pull: async (controller) => {
          const { value, done } = await parts.next();
          if (done === true) controller.close();
          else controller.enqueue(value);
        },
      }) });
    },
  };
  return agent({ name: 'measured', model });
}

async function* answer(text: string, hangs: boolean): AsyncGenerator<LanguageModelV4StreamPart, void, void> {
  const [, pieces = '1', everyMs = '0'] = /^stream (\d+) (\d+)/.exec(text) ?? [];
  yield { type: 'stream-start', warnings: [] };
  yield { type: 'text-start', id: '1' };
  for (let piece = 0; piece < Number(pieces); piece += 1) {
    yield { type: 'text-delta', id: '1', delta: `piece number ${piece} of the answer ` };
    if (Number(everyMs) > 0) await pause(Number(everyMs));
  }
  if (hangs) await new Promise(() => undefined);
  yield { type: 'text-end', id: '1' };
  yield { type: 'finish', usage, finishReason: { unified: 'stop', raw: 'stop' } };
}

function lastText(prompt: LanguageModelV4Prompt): string {
  const last = prompt.findLast(({ role }) => role === 'user');
  return last?.role === 'user' && last.content[0]?.type === 'text' ? last.content[0].text : '';
}
