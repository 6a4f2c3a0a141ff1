import { agent, type Agent } from '../../agent/agent.ts';
import type { ContextProvider } from '../../agent/context-provider.ts';
import type { StepScope } from '../../agent/agent.ts';
import { tool, type AgentTool } from '../../agent/tool.ts';
import type { AgentsOf, AgentSurroundings } from './observed-agents.ts';
import { simulatedModel } from './simulated-model.ts';
import { operationTools } from './simulated-operations.ts';
import { act, plainTools, workSchema } from './simulated-tools.ts';
import { wanderingTool, writingTools } from './simulated-writers.ts';

/** In so many of all runs the first process still runs the version before. */
const oldVersionShare = 0.35;

/** Agents that between them have all that an agent can have, whose models say and call whatever follows from their prompts. */
export const simulatedAgents: AgentsOf = (surroundings) => {
  const isOld = surroundings.process === 'p0.1' && surroundings.chanceOf('version').happens(oldVersionShare);
  return [isOld ? everythingBefore(surroundings) : everything(surroundings), guide(surroundings), robot(surroundings)];
};

function allTools(surroundings: AgentSurroundings): Readonly<Record<string, AgentTool>> {
  return { ...plainTools(surroundings), ...operationTools(surroundings), ...writingTools(surroundings) };
}

const prices = { 'simulated-large': { input: 3, output: 15, cachedInput: 1, reasoning: 20 }, 'simulated-small': { input: 1, output: 2 } };

function everything(surroundings: AgentSurroundings): Agent {
  const small = simulatedModel(surroundings, 'simulated-small');
  return agent({
    name: 'everything', version: '1', model: simulatedModel(surroundings, 'simulated-large'), models: { fast: small }, prices,
    instructions: async ({ state }) => `Everything may be asked. Counted so far: ${JSON.stringify((await state.get('actor', 'count'))?.value ?? 0)}.`,
    tools: allTools(surroundings), contextProviders: { news: news(surroundings) },
    compaction: { model: small },
    titles: { model: small }, summaries: ({ said, answer }) => (said === '' ? null : `${said.slice(0, 20)}: ${answer.slice(0, 20)}`),
    limits: { maxSteps: 4, parallelCalls: 2, contextWindowTokens: 4_000 },
  });
}

/** As it was before a deployment: a tool fewer, a tool that is gone since, and one that took more. */
function everythingBefore(surroundings: AgentSurroundings): Agent {
  const { keep: _since, ...tools } = allTools(surroundings);
  const legacy = tool({ inputSchema: workSchema, needsApproval: ({ n }) => n % 2 === 0, recovery: 'rerun', execute: (work, options) => act(surroundings, { ...work, ms: 300 + (work.ms ?? 0) }, options) });
  return agent({ name: 'everything', version: '0', model: simulatedModel(surroundings, 'simulated-large'), models: { fast: simulatedModel(surroundings, 'simulated-small') }, tools: { ...tools, legacy, legacy_two: legacy } });
}

/** What is new changes with time, is nothing at some times, and cannot be had at others. */
function news({ system }: AgentSurroundings): ContextProvider<StepScope> {
  const edition = (): number => Math.floor(system.clock.nowMs() / 4_000);
  return {
    version: () => `edition ${edition()}`,
    load: () => {
      const number = edition();
      if (number % 5 === 3) throw new Error('the news cannot be had');
      return number % 5 === 1 ? null : `news of edition ${number}`;
    },
  };
}

/** Has nodes, and ends by itself. */
function guide(surroundings: AgentSurroundings): Agent {
  const { look, pay, sign, conclude, ask_person: askPerson, build } = allTools(surroundings) as Record<'look' | 'pay' | 'sign' | 'conclude' | 'ask_person' | 'build', AgentTool>;
  const { remember } = writingTools(surroundings) as Record<'remember', AgentTool>;
  return agent({
    name: 'guide', model: simulatedModel(surroundings, 'simulated-small'), prices, instructions: 'Guide them through.',
    tools: { look, pay, sign, conclude, ask_person: askPerson, build, remember, wander: wanderingTool(surroundings) },
    firstNode: 'start', greet: true, context: ({ session }) => contextOf(session.turns),
    nodes: {
      start: { instructions: 'Find out what they want.', greeting: 'Welcome.', transitions: { middle: 'they want more', side: 'they are lost' } },
      middle: { instructions: ({ session }) => `Turn ${session.turns}.`, tools: ['pay', 'sign'], transitions: ['start', 'side', 'done'], greet: true },
      side: { tools: ['look'], transitions: ['middle', 'start'], greeting: 'This is a side way.' },
      done: { instructions: 'Say goodbye.', end: true },
    },
    state: { scopes: ['conversation', 'actor'], aliases: { 'key-0': 'key-1' } },
    titles: ({ said }) => (said === '' ? null : said.slice(0, 30)),
    limits: { maxSteps: 3, endAfterInactivityMs: 6_000 },
  });
}

/** Runs with nobody to ask, keeps nothing, and is deleted when it has rested. */
function robot(surroundings: AgentSurroundings): Agent {
  const { sign, transfer, risk, locate, send_out: sendOut, deaf, keep } = allTools(surroundings) as Record<'sign' | 'transfer' | 'risk' | 'locate' | 'send_out' | 'deaf' | 'keep', AgentTool>;
  return agent({
    name: 'robot', model: simulatedModel(surroundings, 'simulated-small'), greet: true, headless: { allow: ['sign'] }, state: false,
    tools: { sign, transfer, risk, locate, send_out: sendOut, deaf, keep },
    toolApproval: { keep: ({ n }: { readonly n: number }) => (n === 0 ? 'denied' : undefined) },
    limits: { deleteAfterRestMs: 9_000, maxSteps: 5 },
  });
}

/** Made for each step, and not to be had for one turn. */
function contextOf(turns: number): { readonly turns: number } {
  if (turns === 5) throw new Error('the context cannot be had');
  return { turns };
}
