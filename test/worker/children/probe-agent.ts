import { appendFileSync } from 'node:fs';
import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import { z } from 'zod';
import { agent, type Agent } from '../../../src/agent/agent.ts';
import type { ToolOptions } from '../../../src/agent/tool.ts';
import { tool } from '../../../src/index.ts';
import type { JsonValue } from '../../../src/core/json.ts';
import { realSystem } from '../../../src/system.ts';
import { gate } from '../../../src/testing/gate.ts';
import { scriptedModel, type ScriptedItem } from '../../../src/testing/scripted-model.ts';

/** How the agent meets the test that watches it. In the watching process itself nothing is done. */
export interface ProbePort {
  say(event: string, fields?: Readonly<Record<string, unknown>>): void;
  /** Waits until the test says so; what is waited for is named. */
  wait(name: string): Promise<void>;
  /** File to which each run of a tool appends a line as it begins. */
  readonly journal: string;
}

export const silentPort: ProbePort = { say: () => undefined, wait: () => Promise.resolve(), journal: '/dev/null' };

/** What a user message to the agent asks for, as JSON. */
export interface ProbeRequest {
  /** Tools to call in one step. */
  readonly calls?: readonly (readonly [tool: string, input?: JsonValue])[];
  /** Text to stream, piece by piece; it waits for the test at each piece named `wait`, and 30 ms at each named `pause`. */
  readonly stream?: readonly string[];
  /** Waits where the context of the tools is made: after the commit that dispatched them, before they begin. */
  readonly gap?: boolean;
}

export function probeText(request: ProbeRequest): string {
  return JSON.stringify(request);
}

/**
 * An agent that does what its messages ask for. Tools of each recovery wait for the test, at their own name; `kill` ends its process. The answer after
 * tools repeats what the model was told of them.
 */
export function probeAgent(port: ProbePort): Agent {
  const begin = (name: string, { callKey }: Pick<ToolOptions, 'callKey'>): void => {
    appendFileSync(port.journal, `${name} ${callKey} ${process.pid}\n`);
    port.say('begun', { tool: name, callKey });
  };
  const waiting = (name: string, recovery?: 'rerun' | 'rerun-keyed' | 'report') => tool({
    ...(recovery === undefined ? {} : { recovery }),
    inputSchema: z.object({ say: z.string().optional() }),
    execute: async ({ say = name }, options: ToolOptions) => {
      begin(name, options);
      await port.wait(name);
      return `${say} by ${options.callKey}`;
    },
  });
  return agent({
    name: 'probe',
    model: scriptedModel([], { otherwise: ({ prompt }) => answer(prompt, port), clock: realSystem().clock }),
    context: async ({ session }) => {
      const { turn } = session;
      if (turn?.lastStep?.openCalls.some(({ toolName }) => toolName.startsWith('gap'))) {
        port.say('gap');
        await port.wait('gap');
      }
      return {};
    },
    instructions: () => 'probe',
    tools: {
      rerun: waiting('rerun', 'rerun'), keyed: waiting('keyed', 'rerun-keyed'), report: waiting('report'),
      gap_rerun: waiting('gap_rerun', 'rerun'), gap_report: waiting('gap_report'),
      quick: tool({ inputSchema: z.object({}), execute: (_input, options: ToolOptions) => { begin('quick', options); return `quick by ${options.callKey}`; } }),
    },
  });
}

function answer(prompt: LanguageModelV4Prompt, port: ProbePort): readonly ScriptedItem[] {
  const last = prompt.at(-1);
  if (last?.role === 'tool') return [{ text: `told ${JSON.stringify(last.content.map((part) => ('output' in part ? part.output : null)))}` }];
  const text = last?.role === 'user' ? last.content.map((part) => (part.type === 'text' ? part.text : '')).join('') : '';
  const { calls = [], stream = [] } = JSON.parse(text) as ProbeRequest;
  if (calls.length > 0) return calls.map(([call, input = {}]) => ({ call, input }));
  return [{ reasoning: 'I think \u{1F9ED}' }, ...stream.map((piece): ScriptedItem => {
    if (piece === 'pause') return { delayMs: 30 };
    return piece === 'wait' ? { gate: waitingGate(port) } : { text: piece };
  })];
}

/** A gate that the test opens from outside. */
function waitingGate(port: ProbePort) {
  const opened = gate();
  const pass = (): Promise<void> => {
    port.say('streaming');
    void port.wait('streaming').then(() => opened.open());
    return opened.pass();
  };
  return { ...opened, pass };
}
