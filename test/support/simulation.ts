import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import type { ScriptedItem } from '../../src/testing/scripted-model.ts';

/** What the agent of a simulation says to a message. */
export function agentAnswer(prompt: LanguageModelV4Prompt): string {
  return `answer to ${textOf(prompt.findLast(({ role }) => role === 'user'))}`;
}

/** A persona that says so many things, `thing 1` to `thing COUNT`, and then ends the conversation: what it says follows from what it has said. */
export function personaSays(prompt: LanguageModelV4Prompt, count: number): string | readonly ScriptedItem[] {
  const said = prompt.filter(({ role }) => role === 'assistant').length;
  return said < count ? `thing ${said + 1}` : [{ text: 'bye' }, { call: 'end_conversation', input: { reason: 'enough' } }];
}

function textOf(message: LanguageModelV4Prompt[number] | undefined): string {
  return message?.role === 'user' && message.content[0]?.type === 'text' ? message.content[0].text : '';
}
