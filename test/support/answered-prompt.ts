import { PromptHistory } from '../../src/agent/prompt.ts';
import type { Entry, Interval } from '../../src/core/entry.ts';

/** What is wrong with the prompt that these entries make: a call without its one result right after it, or a result without its call. null: nothing. */
export function unansweredIn(log: readonly Entry[], visible: readonly Interval[]): string | null {
  const history = new PromptHistory(visible);
  history.append(log);
  let open = new Set<string>();
  for (const message of history.prompt('be kind')) {
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
