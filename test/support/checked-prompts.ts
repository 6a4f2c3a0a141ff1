import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import { compactionRequestHead } from '../../src/agent/compaction-text.ts';
import { utf8Bytes } from '../../src/core/json.ts';

/** Tokens of all texts of a prompt, three bytes each: counted apart from the engine's own estimate. */
export function promptTokens(prompt: LanguageModelV4Prompt): number {
  return Math.ceil(textBytes(prompt) / 3);
}

function textBytes(value: unknown): number {
  if (typeof value === 'string') return utf8Bytes(value);
  if (typeof value !== 'object' || value === null) return 0;
  return Object.entries(value).reduce((sum, [name, member]) => sum + (name === 'role' || name === 'type' ? 0 : textBytes(member)), 0);
}

export function asksForSummary(prompt: LanguageModelV4Prompt): boolean {
  return userTexts(prompt).at(-1)?.startsWith(compactionRequestHead) === true;
}

export function userTexts(prompt: LanguageModelV4Prompt): readonly string[] {
  return prompt.flatMap((message) => (message.role === 'user' ? message.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])) : []));
}

/** What is wrong with the calls of a prompt: each has exactly one result, in the message right after it. null: nothing. */
export function callProblem(prompt: LanguageModelV4Prompt): string | null {
  let open: string[] = [];
  for (const message of prompt) {
    if (message.role === 'tool') {
      const answered = message.content.flatMap((part) => (part.type === 'tool-result' ? [part.toolCallId] : []));
      if (answered.join() !== open.join()) return `the results of ${answered.join()} follow on the calls ${open.join()}`;
      open = [];
      continue;
    }
    if (open.length > 0) return `the calls ${open.join()} have no results`;
    open = message.role === 'assistant' ? message.content.flatMap((part) => (part.type === 'tool-call' && part.providerExecuted !== true ? [part.toolCallId] : [])) : [];
  }
  return open.length === 0 ? null : `the calls ${open.join()} have no results`;
}
