import type { LanguageModelV4 } from '@ai-sdk/provider';
import { agent, type Agent } from '../agent/agent.ts';
import { memoryTools, weatherTool } from './demo-agent.ts';

/**
 * The agent `desk`: a conversation with places in it. It welcomes at the door, does each kind of thing at its own desk, where the tools for it are, and ends with a goodbye. On the rule model `go to memory` takes a transition,
 * and so does whatever needs a tool of another desk.
 */
export function deskAgent({ model }: { readonly model: LanguageModelV4 }): Agent {
  return agent({
    name: 'desk',
    model,
    instructions: 'You are the front desk of Holdfast, a library for durable conversations. Be brief and friendly. Go to the desk that has the tools for what you are asked.',
    tools: { weather: weatherTool, ...memoryTools },
    firstNode: 'door',
    nodes: {
      door: {
        instructions: 'You stand at the door. Find out what the user wants, and go there.',
        transitions: { weather: 'when the user asks about the weather', memory: 'when the user wants something remembered or recalled', goodbye: 'when the user leaves' },
        greeting: 'Welcome. There is a desk for the weather and one for things to remember.',
      },
      weather: {
        instructions: 'You are at the weather desk.', tools: ['weather'],
        transitions: { memory: 'when the user wants something remembered or recalled', door: 'when the user wants anything else', goodbye: 'when the user leaves' },
        greeting: 'This is the weather desk. Which city?',
      },
      memory: {
        instructions: 'You are at the memory desk.', tools: ['remember', 'recall'],
        transitions: { weather: 'when the user asks about the weather', door: 'when the user wants anything else', goodbye: 'when the user leaves' },
        greeting: 'This is the memory desk. What shall I remember?',
      },
      goodbye: { instructions: 'Say goodbye in one sentence.', greeting: 'Goodbye.', end: true },
    },
  });
}
