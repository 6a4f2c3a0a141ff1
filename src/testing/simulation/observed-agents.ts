import type { LanguageModelV4, LanguageModelV4CallOptions, LanguageModelV4StreamPart, LanguageModelV4StreamResult } from '@ai-sdk/provider';
import { toolRulesOf, type Agent } from '../../agent/agent.ts';
import type { AgentTool, RecoveryProbe, ToolOptions } from '../../agent/tool.ts';
import type { JsonValue } from '../../core/json.ts';
import type { System } from '../../core/system.ts';
import { chanceOf, hashOf, type Chance } from './chance.ts';
import type { Check, ToldName } from './check.ts';
import type { Met } from './met.ts';
import type { Plan, Weather } from './plan.ts';
import type { SimulatedProcess } from './simulated-process.ts';
import type { ToolRun } from './happenings.ts';

/** What an agent of a simulation is given of the process that it is in. */
export interface AgentSurroundings {
  /** Time, ids and chance of the process: what its tools and models wait with. */
  readonly system: System;
  /** Name of the process. */
  readonly process: string;
  /** Whether it lives: what a tool does to the world outside after its process's death has not happened. */
  readonly lives: () => boolean;
  /** Draws that follow from the run's seed and these labels, the same in each process. */
  readonly chanceOf: (...labels: readonly (string | number)[]) => Chance;
  /** What tools have done outside of all processes, by the keys of their calls; one for each run. */
  readonly outside: Map<string, JsonValue>;
  /** Told of a token by which somebody outside may complete an operation. */
  readonly completable: (completion: { readonly operationId: string; readonly token: string }) => void;
}

/** What is told of what agents do, and what makes it fail. */
export interface WorldOfAgents {
  readonly plan: Plan;
  readonly met: Met;
  readonly weather: Weather;
  readonly outside: Map<string, JsonValue>;
  readonly completions: { operationId: string; token: string }[];
  tell<Name extends ToldName>(name: Name, ...given: Parameters<NonNullable<Check[Name]>>): void;
  trace(line: () => string): void;
}

/** Makes the agents of one process. Called for each process that starts, so that no process shares memory with another. */
export type AgentsOf = (surroundings: AgentSurroundings) => readonly Agent[];

/** The agents of a process, each tool and model of which is watched, and whose models fail as the weather has it. */
export function observedAgents(world: WorldOfAgents, process: SimulatedProcess, agentsOf: AgentsOf): readonly Agent[] {
  const { seed } = world.plan;
  const agents = agentsOf({
    system: process.system, process: process.name, lives: () => process.lives, chanceOf: (...labels) => chanceOf(seed, ...labels), outside: world.outside,
    completable: (completion) => {
      if (process.lives) world.completions.push(completion);
    },
  });
  return agents.map((agent) => ({
    ...agent,
    model: observedModel(world, process, agent.model),
    models: Object.fromEntries(Object.entries(agent.models).map(([name, model]) => [name, observedModel(world, process, model)])),
    tools: new Map([...agent.tools].map(([name, tool]) => [name, observedTool(world, process, name, tool)])),
  }));
}

function observedTool(world: WorldOfAgents, process: SimulatedProcess, toolName: string, tool: AgentTool): AgentTool {
  if (tool.execute === undefined) return tool;
  const runOf = (input: never, options: never): ToolRun => {
    const { callKey, session } = options as ToolOptions;
    return { callKey, toolName, recovery: toolRulesOf(tool).recovery, sessionId: session.id, process: process.name, input: input as JsonValue };
  };
  return {
    ...tool,
    ...(typeof tool.recovery === 'function' ? { recovery: observedProbe(world, process, tool.recovery, runOf) } : {}),
    execute: async (input: never, options: never) => {
      await process.awake();
      const run = runOf(input, options);
      world.trace(() => `${process.name} runs ${toolName} ${run.callKey}`);
      world.met.tool(toolName);
      world.tell('toolBegan', run);
      try {
        const output = await (tool.execute?.(input, options) as unknown);
        if (process.lives) world.tell('toolEnded', run, { output });
        return output;
      } catch (error) {
        if (process.lives) world.tell('toolEnded', run, { error });
        throw error;
      }
    },
  };
}

function observedProbe(world: WorldOfAgents, process: SimulatedProcess, probe: RecoveryProbe, runOf: (input: never, options: never) => ToolRun): RecoveryProbe {
  return async (input, options) => {
    await process.awake();
    const finding = await probe(input, options);
    if (process.lives) world.tell('toolProbed', runOf(input, options), finding.ran);
    return finding;
  };
}

const failures = ['refuses', 'cut', 'breaks', 'silent'] as const;

function observedModel(world: WorldOfAgents, process: SimulatedProcess, model: LanguageModelV4): LanguageModelV4 {
  let calls = 0;
  return {
    specificationVersion: 'v4', provider: model.provider, modelId: model.modelId, supportedUrls: model.supportedUrls,
    doGenerate: (options) => model.doGenerate(options),
    doStream: async (options) => {
      await process.awake();
      calls += 1;
      world.tell('generationBegan', process.name, options.prompt);
      const chance = chanceOf(world.plan.seed, 'model', process.name, calls, hashOf(JSON.stringify(options.prompt.at(-1) ?? null)));
      if (!chance.happens(world.weather.modelFails)) return model.doStream(options);
      world.met.weather('modelFails');
      return failing(await model.doStream(options), options, chance);
    },
  };
}

/** A generation that fails somehow, somewhere. */
function failing({ stream, ...rest }: LanguageModelV4StreamResult, { abortSignal }: LanguageModelV4CallOptions, chance: Chance): LanguageModelV4StreamResult {
  const how = chance.pick(failures);
  if (how === 'refuses') throw Object.assign(new Error('the simulated provider is overloaded'), { statusCode: 529, isRetryable: true });
  let left = chance.below(8);
  const reader = stream.getReader();
  return {
    ...rest,
    stream: new ReadableStream<LanguageModelV4StreamPart>({
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        left -= 1;
        if (left >= 0 && value.type !== 'finish') return controller.enqueue(value);
        if (how === 'cut') return controller.close();
        if (how === 'breaks') return controller.error(new TypeError('terminated'));
        return new Promise<void>((resolve) => {
          abortSignal?.addEventListener('abort', () => {
            controller.error(abortSignal.reason);
            resolve();
          }, { once: true });
        });
      },
      cancel: (reason) => reader.cancel(reason),
    }),
  };
}
