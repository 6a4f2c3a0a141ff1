import { jsonSchema } from '@ai-sdk/provider-utils';
import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import { agent, type AgentOptions } from '../../agent/agent.ts';
import { tool, type AgentTool, type ToolOptions } from '../../agent/tool.ts';
import type { AgentsOf, AgentSurroundings } from '../simulation/observed-agents.ts';
import { scriptedModel, type ScriptedItem } from '../scripted-model.ts';

/** What a model does, by the text of the last user message and the number of steps since. */
export type Saying = (said: string, step: number, prompt: LanguageModelV4Prompt) => string | readonly ScriptedItem[];

export type Parts = Partial<Omit<AgentOptions, 'name' | 'model' | 'tools'>> & { readonly tools?: (surroundings: AgentSurroundings) => Readonly<Record<string, AgentTool>> };

/** An agent `failing` whose model says what follows from its prompt alone, so that it is the same in each process and at each try. */
export function agentSaying(saying: Saying, { tools, ...parts }: Parts = {}): AgentsOf {
  return (surroundings) => {
    const model = scriptedModel([], {
      clock: surroundings.system.clock,
      otherwise: ({ prompt }) => {
        const last = prompt.findLastIndex(({ role }) => role === 'user');
        return saying(textOf(prompt[last]), prompt.slice(last + 1).filter(({ role }) => role === 'assistant').length, prompt);
      },
    });
    return [agent({ name: 'failing', model, ...parts, ...(tools === undefined ? {} : { tools: tools(surroundings) }) })];
  };
}

/** Calls the tools at first, and then says how it was. */
export function calling(...names: readonly string[]): Saying {
  return (_said, step) => (step === 0 ? names.map((call) => ({ call, input: {} })) : 'so it is');
}

export const answering: Saying = (said) => [{ text: ['the answer ', 'to ', said] }];

export type Policy = Partial<Omit<AgentTool, 'execute' | 'inputSchema'>>;

/** A tool that takes so long, and then does `effect`. */
export function slowTool({ system }: AgentSurroundings, ms: number, policy: Policy = {}, effect: (options: ToolOptions) => unknown = () => 'done'): AgentTool {
  return tool({
    inputSchema: jsonSchema({ type: 'object' }), ...policy,
    execute: async (_input: unknown, options: ToolOptions) => {
      await new Promise<void>((resolve) => system.clock.after(ms, resolve));
      return effect(options);
    },
  } as never) as AgentTool;
}

/** A tool that a client runs. */
export const clientTool: AgentTool = { inputSchema: jsonSchema({ type: 'object' }) };

function textOf(message: LanguageModelV4Prompt[number] | undefined): string {
  if (message?.role !== 'user') return '';
  return message.content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join(' ');
}
