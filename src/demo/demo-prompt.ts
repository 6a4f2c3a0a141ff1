import { summaryHead } from '../agent/prompt.ts';
import type { LanguageModelV4Message, LanguageModelV4Prompt, LanguageModelV4ToolResultPart } from '@ai-sdk/provider';

/** What a prompt asks of the demo model. */
export interface DemoPrompt {
  /** The text of the last message that a person sent, trimmed; null where there is none, as in a turn that the agent opens. */
  readonly request: string | null;
  /** It has been answered with text: what came since is all there is to speak of. */
  readonly answered: boolean;
  /** Results of the calls made since the request. */
  readonly results: readonly LanguageModelV4ToolResultPart[];
  /** Ends of background operations of which nothing has been said yet. */
  readonly news: readonly OperationNews[];
}

/** The end of an operation, as the prompt tells it in place of a user message. */
export interface OperationNews {
  readonly toolName: string;
  readonly outcome: string;
  /** What it came to as JSON or text, or why it came to nothing. */
  readonly said: string;
}

const contextForm = /^\[context [\w.-]+, version [^\n]*\]\n/;
const newsForm = /^\[operation \S+ of the tool (\S+) has ended: (\S+)\]\s*(?:It came to: )?(.*)$/s;

/** Reads a prompt from its beginning, so that whatever came between a request and its answer is found in its place. */
export function readPrompt(prompt: LanguageModelV4Prompt): DemoPrompt {
  let read: DemoPrompt = { request: null, answered: false, results: [], news: [] };
  for (const message of prompt) read = afterMessage(read, message);
  return read;
}

function afterMessage(read: DemoPrompt, message: LanguageModelV4Message): DemoPrompt {
  switch (message.role) {
    case 'system':
      return read;
    case 'user': {
      const text = message.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n').trim();
      if (isBesideConversation(text)) return read;
      const news = newsOf(text);
      return news === null ? { ...read, request: text, answered: false, results: [] } : { ...read, news: [...read.news, news] };
    }
    case 'assistant': {
      const speaks = message.content.some((part) => part.type === 'text' && part.text !== '');
      return speaks ? { ...read, answered: true, news: [] } : read;
    }
    case 'tool':
      return { ...read, results: [...read.results, ...message.content.filter((part) => part.type === 'tool-result')] };
  }
}

/** What the engine tells in place of a user message and nobody has said. */
function isBesideConversation(text: string): boolean {
  return text.startsWith(summaryHead) || contextForm.test(text);
}

function newsOf(text: string): OperationNews | null {
  const match = newsForm.exec(text);
  return match === null ? null : { toolName: match[1] ?? '', outcome: match[2] ?? '', said: match[3] ?? '' };
}
