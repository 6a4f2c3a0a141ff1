import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import type { MakeCheck } from '../check.ts';

/** What is wrong with a prompt: a call without its one result right after it, or a result without its call (G8). null: nothing. */
export function promptFault(prompt: LanguageModelV4Prompt): string | null {
  let open = new Set<string>();
  for (const message of prompt) {
    if (message.role === 'tool') {
      for (const part of message.content) if (part.type === 'tool-result' && !open.delete(part.toolCallId)) return `a result for ${part.toolCallId}, which is no open call`;
      if (open.size > 0) return `results without one for ${[...open].join(', ')}`;
      continue;
    }
    if (open.size > 0) return `a message of the ${message.role} before the results of ${[...open].join(', ')}`;
    const calls = message.role === 'assistant' ? message.content.flatMap((part) => (part.type === 'tool-call' && part.providerExecuted !== true ? [part.toolCallId] : [])) : [];
    open = new Set(calls);
    if (open.size !== calls.length) return `two calls of the same id in ${calls.join(', ')}`;
  }
  return open.size === 0 ? null : `no results for ${[...open].join(', ')}`;
}

/** G8: in each prompt that a model is given, each call has exactly one result. */
export const promptsAreAnswered: MakeCheck = (violated) => ({
  generationBegan(process, prompt) {
    const fault = promptFault(prompt);
    if (fault !== null) violated('G8', `${process} sends a prompt with ${fault}`);
  },
});
