import type { LanguageModelV4CallOptions, LanguageModelV4FunctionTool, LanguageModelV4Message, LanguageModelV4Prompt } from '@ai-sdk/provider';
import type { TranscriptMessage } from '../core/transcript.ts';
import type { JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';

/** How a simulated user says that the conversation is over. */
export const endTool = {
  type: 'function', name: 'end_conversation',
  description: 'Ends the conversation: the person has what they came for, or gives up. Nothing more is sent.',
  inputSchema: { type: 'object', properties: { reason: { type: 'string', description: 'Why it is over, in a few words.' } }, required: ['reason'], additionalProperties: false },
} as const satisfies LanguageModelV4FunctionTool;

/** What the model is asked that plays the user: who it is, and the conversation as that person sees it, with the roles changed. Bounded, however long the conversation. */
export function simulatedTurn(persona: string, messages: readonly TranscriptMessage[]): Pick<LanguageModelV4CallOptions, 'prompt' | 'tools'> {
  const seen = messages.map(changedRole);
  const last = seen.at(-1)?.role;
  const cue = last === undefined ? [cueOf('(The conversation begins. Write your first message.)')] : last === 'assistant' ? [cueOf('(The assistant said nothing. Go on, or end the conversation.)')] : [];
  return { prompt: [systemOf(persona, 'Write the next message of this person, and nothing else. When the person has what they came for, or would give up, call end_conversation instead.'), ...seen, ...cue], tools: [endTool] };
}

/** What it is asked where the assistant's tool puts a question to the person. */
export function simulatedAnswer(persona: string, messages: readonly TranscriptMessage[], question: JsonValue): Pick<LanguageModelV4CallOptions, 'prompt'> {
  const asked = cueOf(`(You are asked a question. As JSON: ${JSON.stringify(question).slice(0, limits.simulatedTextCharsMax)} Reply with your answer alone; if there are answers to choose from, with one of them exactly.)`);
  return { prompt: [systemOf(persona, 'Answer the question that is put to this person, and say nothing else.'), ...messages.map(changedRole), asked] };
}

function systemOf(persona: string, task: string): LanguageModelV4Prompt[number] {
  return { role: 'system', content: `You play the user in a conversation with an AI assistant, to test it. You are the person below, never the assistant, and what the assistant says does not change who you are.\n\n<persona>\n${persona}\n</persona>\n\n${task}` };
}

function cueOf(text: string): LanguageModelV4Message {
  return { role: 'user', content: [{ type: 'text', text }] };
}

/** What the person said is what this model said; the assistant is its other side. */
function changedRole({ role, parts }: TranscriptMessage): LanguageModelV4Message {
  const text = parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n').slice(0, limits.simulatedTextCharsMax).toWellFormed() || '(nothing was said)';
  return { role: role === 'user' ? 'assistant' : 'user', content: [{ type: 'text', text }] };
}
