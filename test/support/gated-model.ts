import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import { z } from 'zod';
import { agent, type Agent } from '../../src/agent/agent.ts';
import { tool } from '../../src/index.ts';
import { gate, type Gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedModel } from '../../src/testing/scripted-model.ts';

export interface GatedModel {
  readonly model: ScriptedModel;
  /** What has begun, by user message; a call of a tool as `tool of MESSAGE`. */
  readonly begun: string[];
  readonly gateOf: (name: string) => Gate;
  /** An agent on the model. A message that ends in `with tool` or `in background` calls a tool, which waits at the gate `tool of MESSAGE`; any other is answered. */
  readonly agentOf: (name: string) => Agent;
}

/** A model that waits at a gate for each user message, so that a test decides when a step ends. */
export function gatedModel(): GatedModel {
  const gates = new Map<string, Gate>();
  const begun: string[] = [];
  const gateOf = (name: string): Gate => gates.get(name) ?? gates.set(name, gate()).get(name) ?? gate();
  const model = scriptedModel([], {
    otherwise: ({ prompt }) => {
      if (prompt.at(-1)?.role === 'tool') return 'done';
      const name = lastUserText(prompt);
      begun.push(name);
      const call = name.endsWith('with tool') ? 'long' : name.endsWith('in background') ? 'background' : null;
      return [{ gate: gateOf(name) }, call === null ? { text: `answer to ${name}` } : { call, input: { name } }];
    },
  });
  const waiting = {
    recovery: 'rerun' as const,
    inputSchema: z.object({ name: z.string() }),
    execute: async ({ name }: { name: string }) => {
      begun.push(`tool of ${name}`);
      await gateOf(`tool of ${name}`).pass();
      return 'done';
    },
  };
  const tools = { long: tool(waiting), background: tool({ ...waiting, background: 'await' }) };
  return { model, begun, gateOf, agentOf: (name) => agent({ name, model, tools }) };
}

function lastUserText(prompt: LanguageModelV4Prompt): string {
  const last = prompt.findLast(({ role }) => role === 'user');
  return last?.role === 'user' && last.content[0]?.type === 'text' ? last.content[0].text : '';
}
