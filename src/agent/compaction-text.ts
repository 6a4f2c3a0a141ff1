import type { LanguageModelV4Message, LanguageModelV4Prompt } from '@ai-sdk/provider';
import { utf8Bytes } from '../core/json.ts';
import { capResult } from './cap-result.ts';
import { bytesPerToken, estimatedTokens } from './context-size.ts';
import type { HistoryItem } from './history-item.ts';

/** What the model that writes a summary is told, unless its agent says otherwise. */
export const compactionInstructions = [
  'You summarise the beginning of a conversation between a user and an assistant. Your summary will stand in its place: the assistant goes on from it and cannot look anything up that you leave out.',
  'Keep what the user wants and has decided, in the user\'s own words where they matter; what the assistant has promised, found out and done; names, ids, numbers, dates and exact values; what tools returned that may still be needed; and what is open, with the next step.',
  'Leave out pleasantries and what has been settled since. Do not answer the user, do not go on with the work, do not call tools. Write the summary and nothing else.',
].join('\n');

/** How the message begins that asks for a summary. */
export const compactionRequestHead = 'Summarise this part of a conversation.';

export interface CompactionPiece {
  /** The summary of what came before; null: nothing did. */
  readonly earlier: string | null;
  /** As {@link compactionPieces} made it. */
  readonly text: string;
  /** What somebody asked for with it. */
  readonly asked: string | undefined;
}

/** The prompt that asks for a summary of all up to the end of a piece. */
export function compactionPrompt(instructions: string, { earlier, text, asked }: CompactionPiece): LanguageModelV4Prompt {
  const parts = [
    compactionRequestHead,
    ...(earlier === null ? [] : [`It goes on from what this summary says, which has to be in the new one as far as it still matters:\n<summary>\n${earlier}\n</summary>`]),
    `<conversation>\n${text}\n</conversation>`,
    ...(asked === undefined ? [] : [`What the summary is asked to do besides: ${asked}`]),
  ];
  return [{ role: 'system', content: instructions }, { role: 'user', content: [{ type: 'text', text: parts.join('\n\n') }] }];
}

/** The items as plain text in pieces of at most so many tokens, in order. What is too large for a piece by itself keeps its head and its tail. */
export function compactionPieces(items: readonly HistoryItem[], tokensMax: number): readonly string[] {
  const bytesMax = tokensMax * bytesPerToken;
  const pieces: string[] = [];
  let piece = '';
  for (const item of items) {
    const text = cutText(item.messages.map(messageText).filter((said) => said !== '').join('\n'), bytesMax);
    if (text === '') continue;
    if (piece !== '' && utf8Bytes(piece) + 1 + utf8Bytes(text) > bytesMax) {
      pieces.push(piece);
      piece = '';
    }
    piece = piece === '' ? text : `${piece}\n${text}`;
  }
  return piece === '' ? pieces : [...pieces, piece];
}

/** At most so many bytes of a text: its head and its tail. */
export function cutText(text: string, bytesMax: number): string {
  if (utf8Bytes(text) <= bytesMax) return text;
  const { output } = capResult(text, Math.max(0, bytesMax - markerBytes));
  return typeof output === 'string' ? output : text;
}

/** What the marker between head and tail takes at most. */
const markerBytes = 60;

/** What a request for a summary takes besides its piece. */
export function compactionFrameTokens(instructions: string, asked: string | undefined): number {
  return estimatedTokens(compactionPrompt(instructions, { earlier: '', text: '', asked }));
}

function messageText(message: LanguageModelV4Message): string {
  switch (message.role) {
    case 'system':
      return '';
    case 'user':
      return `User: ${message.content.map((part) => (part.type === 'text' ? part.text : `[a file: ${part.filename ?? part.mediaType}]`)).join('\n')}`;
    case 'assistant':
      return message.content.flatMap(assistantText).join('\n');
    case 'tool':
      return message.content.flatMap((part) => (part.type === 'tool-result' ? [`Result of ${part.toolName}: ${outputText(part.output)}`] : [])).join('\n');
  }
}

function assistantText(part: Extract<LanguageModelV4Message, { role: 'assistant' }>['content'][number]): readonly string[] {
  switch (part.type) {
    case 'text':
      return [`Assistant: ${part.text}`];
    case 'tool-call':
      return [`Assistant called ${part.toolName} with ${JSON.stringify(part.input)}`];
    case 'tool-result':
      return [`Result of ${part.toolName}: ${outputText(part.output)}`];
    case 'file':
      return [`Assistant: [a file: ${part.filename ?? part.mediaType}]`];
    case 'reasoning':
    default:
      return [];
  }
}

type Output = Extract<Extract<LanguageModelV4Message, { role: 'tool' }>['content'][number], { type: 'tool-result' }>['output'];

function outputText(output: Output): string {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value;
    case 'json':
    case 'error-json':
      return JSON.stringify(output.value);
    case 'content':
      return output.value.map((part) => (part.type === 'text' ? part.text : `[${part.type}]`)).join('\n');
    case 'execution-denied':
      return `denied${output.reason === undefined ? '' : `: ${output.reason}`}`;
  }
}
