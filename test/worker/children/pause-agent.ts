import { appendFileSync, existsSync } from 'node:fs';
import type { LanguageModelV4Prompt } from '@ai-sdk/provider';
import { jsonSchema } from '@ai-sdk/provider-utils';
import { agent, type Agent } from '../../../src/agent/agent.ts';
import type { ProbeFinding, ToolOptions } from '../../../src/agent/tool.ts';
import type { JsonValue } from '../../../src/core/json.ts';
import { tool } from '../../../src/index.ts';
import { realSystem } from '../../../src/system.ts';
import { scriptedModel, type ScriptedItem } from '../../../src/testing/scripted-model.ts';
import { silentPort, type ProbePort } from './probe-agent.ts';

/** What a call of one of the agent's tools is asked to do. */
export interface PauseInput {
  /** It ends only when the test releases this name. */
  readonly hold?: string;
  /** It ends only when there is this file, for which it looks again and again. */
  readonly holdFile?: string;
  /** It takes so long, with progress in between. */
  readonly forMs?: number;
  /** What its probe finds out. */
  readonly finding?: 'ran' | 'not' | 'unknown';
  /** It does not end when it is told to, and a timer of it goes on for minutes. */
  readonly deaf?: boolean;
  readonly detached?: boolean;
  /** At its end it kills its process. */
  readonly kills?: boolean;
}

/** What a user message to the agent asks for, as JSON: tools to call in one step. */
export interface PauseRequest {
  readonly calls: readonly (readonly [tool: string, input?: PauseInput])[];
}

export function pauseText(...calls: PauseRequest['calls']): string {
  return JSON.stringify({ calls } satisfies PauseRequest);
}

/** One line of the journal: a real run of a tool. `end` is written before the tool returns. */
export interface PauseLine {
  readonly phase: 'begin' | 'end' | 'probe';
  readonly tool: string;
  readonly callKey: string;
  readonly pid: number;
}

export function readLine(line: string): PauseLine {
  const [phase, tool = '', callKey = '', pid] = line.split(' ');
  return { phase: phase as PauseLine['phase'], tool, callKey, pid: Number(pid) };
}

const input = jsonSchema<PauseInput>({ type: 'object' });

/**
 * An agent that does what its messages ask for: server tools (`quick`, `held`, `again`, `asked`), one that needs approval (`refund`), one that runs at the client (`locate`), operations of each recovery (`rerun`,
 * `keyed`, `report`, `probe`), and two that somebody outside completes (`delegate`, `delegate_again`). The answer after tools repeats what the model was told of them.
 */
export function pauseAgent(port: ProbePort = silentPort, name = 'pause'): Agent {
  const note = (phase: PauseLine['phase'], toolName: string, { callKey }: Pick<ToolOptions, 'callKey'>): void => {
    appendFileSync(port.journal, `${phase} ${toolName} ${callKey} ${process.pid}\n`);
    port.say(phase, { tool: toolName, callKey });
  };
  const run = async (toolName: string, asked: PauseInput, options: ToolOptions): Promise<string> => {
    note('begin', toolName, options);
    options.progress(0.1, `begun by ${process.pid}`);
    const told = aborted(options.abortSignal, () => port.say('aborted', { tool: toolName, callKey: options.callKey }));
    if (asked.deaf === true) setTimeout(() => undefined, 600_000);
    const held = hold(port, asked, options);
    await (asked.deaf === true ? held : Promise.race([held, told]));
    if (asked.kills === true) process.kill(process.pid, 'SIGKILL');
    options.progress(0.9, `nearly done by ${process.pid}`);
    note('end', toolName, options);
    return `${toolName} by ${options.callKey}`;
  };
  const server = (toolName: string) => tool({ inputSchema: input, execute: (asked, options: ToolOptions) => run(toolName, asked, options) });
  const background = (asked: PauseInput) => (asked.detached === true ? 'detach' as const : 'await' as const);
  const operation = (toolName: string, recovery: 'rerun' | 'rerun-keyed' | 'report') =>
    tool({ inputSchema: input, recovery, background, execute: (asked, options: ToolOptions) => run(toolName, asked, options) });
  const delegating = (toolName: string, recovery: 'rerun' | 'report') => tool({
    inputSchema: input, recovery, background,
    execute: async (asked, options: ToolOptions) => {
      note('begin', toolName, options);
      const { operationId, token } = await options.externalCompletion();
      port.say('delegated', { operationId, token, callKey: options.callKey });
      await Promise.race([hold(port, asked, options), aborted(options.abortSignal, () => port.say('aborted', { tool: toolName, callKey: options.callKey }))]);
      return 'handed on';
    },
  });
  return agent({
    name,
    model: scriptedModel([], { otherwise: ({ prompt }) => answer(prompt), clock: realSystem().clock }),
    instructions: 'pause',
    tools: {
      quick: server('quick'), held: server('held'), again: { ...server('again'), recovery: 'rerun' as const }, asked: { ...server('asked'), recovery: 'ask' as const },
      refund: { ...server('refund'), needsApproval: true }, locate: { inputSchema: input, actionExpiresAfterMs: 600 },
      rerun: operation('rerun', 'rerun'), keyed: operation('keyed', 'rerun-keyed'), report: operation('report', 'report'),
      probe: tool({
        inputSchema: input, background,
        recovery: ({ finding = 'unknown' }, options: ToolOptions): ProbeFinding => {
          note('probe', 'probe', options);
          if (finding === 'unknown') return { ran: 'unknown' };
          return finding === 'ran' ? { ran: true, output: `found ${options.callKey}` } : { ran: false };
        },
        execute: (asked, options: ToolOptions) => run('probe', asked, options),
      }),
      delegate: delegating('delegate', 'report'), delegate_again: delegating('delegate_again', 'rerun'),
    },
  });
}

/** What keeps a run from ending. */
async function hold(port: ProbePort, { hold: name, holdFile, forMs }: PauseInput, { progress }: ToolOptions): Promise<void> {
  if (name !== undefined) await port.wait(name);
  while (holdFile !== undefined && !existsSync(holdFile)) await passed(4);
  for (let step = 0; step < (forMs ?? 0); step += 20) {
    progress(0.1 + (0.8 * step) / (forMs ?? 1));
    await passed(20);
  }
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function aborted(signal: AbortSignal, say: () => void): Promise<never> {
  const told = new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => {
    say();
    reject(new Error('told to end'));
  }));
  told.catch(() => undefined); // a run that is deaf to it does not look
  return told;
}

function answer(prompt: LanguageModelV4Prompt): readonly ScriptedItem[] {
  const last = prompt.at(-1);
  if (last?.role === 'tool') return [{ text: `told ${JSON.stringify(last.content.map((part) => ('output' in part ? part.output : null)))}` }];
  const text = last?.role === 'user' ? last.content.map((part) => (part.type === 'text' ? part.text : '')).join('') : '';
  if (!text.startsWith('{')) return [{ text: 'noted' }];
  return (JSON.parse(text) as PauseRequest).calls.map(([call, asked = {}]) => ({ call, input: asked as JsonValue }));
}
