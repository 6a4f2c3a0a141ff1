import type { LanguageModelV4, LanguageModelV4FunctionTool, LanguageModelV4Prompt, LanguageModelV4Usage } from '@ai-sdk/provider';
import { scriptedModel, type ScriptedCall, type ScriptedItem } from '../scripted-model.ts';
import { hashOf, type Chance } from './chance.ts';
import type { AgentSurroundings } from './observed-agents.ts';
import { oddParts, oddWhole } from './odd-generations.ts';

/** In how many of all generations tools are called, by how many came before in the same turn: a turn ends within a few steps. */
const callShares = [0.75, 0.45, 0.25, 0.12] as const;

/**
 * A model that says and calls whatever follows from its prompt alone, so that it is the same in each process and when it is asked again: in pieces, with pauses, with thoughts, calls of tools that there are and that there
 * are not, inputs that fit and that do not, ids that it has given before, and nothing at all.
 */
export function simulatedModel({ system, chanceOf }: Pick<AgentSurroundings, 'system' | 'chanceOf'>, modelId: string): LanguageModelV4 {
  return scriptedModel([], {
    clock: system.clock, modelId,
    otherwise: ({ prompt, options }) => {
      const labels = [prompt.length, hashOf(JSON.stringify(prompt.slice(-2)))];
      const usual = generation(chanceOf('says', ...labels), { prompt, options });
      const chance = chanceOf('odd', ...labels);
      if (chance.happens(0.02)) return oddWhole(chance);
      return chance.happens(0.04) ? [...oddParts(chance), ...usual] : usual;
    },
  });
}

function generation(chance: Chance, { prompt, options }: Pick<ScriptedCall, 'prompt' | 'options'>): readonly ScriptedItem[] {
  const tools = (options.tools ?? []).filter((tool): tool is LanguageModelV4FunctionTool => tool.type === 'function');
  if (chance.happens(0.01)) return [{ error: Object.assign(new Error('the simulated provider does not take this'), { statusCode: 400, isRetryable: false }) }];
  if (chance.happens(0.03)) return [{ finish: 'stop', usage: usageOf(prompt, 0) }];
  // Without tools it is asked for a title, or a summary.
  if (tools.length === 0) return [...spoken('text', ['what ', 'it was ', `about ${chance.below(100)}`], chance), { finish: 'stop', usage: usageOf(prompt, 20) }];
  const share = callShares[stepsOfTurn(prompt)] ?? 0;
  const calls = chance.happens(share) ? Array.from({ length: chance.weighted([{ weight: 6, count: 1 }, { weight: 2, count: 2 }, { weight: 1, count: 4 }]).count }, () => callOf(tools, chance)) : [];
  const thoughts = chance.happens(0.25) ? spoken('reasoning', ['if ', 'so, ', 'then'], chance) : [];
  const words = calls.length === 0 || chance.happens(0.5) ? spoken('text', Array.from({ length: chance.between(1, 4) }, () => `word ${chance.below(1_000)} `), chance) : [];
  const finish = calls.length > 0 ? 'tool-calls' : chance.happens(0.95) ? 'stop' : 'length';
  return [...pause(chance), ...thoughts, ...words, ...calls, { finish, usage: usageOf(prompt, 5 + words.length) }];
}

/** Generations since the last message. */
function stepsOfTurn(prompt: LanguageModelV4Prompt): number {
  const said = prompt.findLastIndex(({ role }) => role === 'user');
  return prompt.slice(said + 1).filter(({ role }) => role === 'assistant').length;
}

/** One part, in pieces. */
function spoken(type: 'text' | 'reasoning', pieces: readonly string[], chance: Chance): readonly ScriptedItem[] {
  const id = `${type}_1`;
  return [{ part: { type: `${type}-start`, id } }, ...pieces.flatMap((delta): ScriptedItem[] => [{ part: { type: `${type}-delta`, id, delta } }, ...pause(chance)]), { part: { type: `${type}-end`, id } }];
}

function pause(chance: Chance): readonly ScriptedItem[] {
  return chance.happens(0.5) ? [{ delayMs: chance.below(chance.happens(0.1) ? 4_000 : 400) }] : [];
}

function callOf(tools: readonly LanguageModelV4FunctionTool[], chance: Chance): ScriptedItem {
  const call = chance.happens(0.03) ? 'no_such_tool' : (nameOf(tools, chance) ?? 'no_such_tool');
  const id = chance.happens(0.4) ? `call_${chance.below(2)}` : `call_${chance.below(1_000_000)}`;
  if (chance.happens(0.05)) return { call, id, inputText: chance.pick(['{"n": "many"}', '{"n": 1', 'null']) ?? '' };
  const ms = chance.weighted([{ weight: 3, most: 1 }, { weight: 5, most: 1_000 }, { weight: 3, most: 6_000 }]).most;
  return { call, id, input: { n: chance.below(6), ms: chance.below(ms), ...(chance.happens(0.08) ? { fails: true } : {}), ...(chance.happens(0.15) ? { pages: chance.between(1, 3) } : {}) } };
}

/** Of the version before, most are what only that had. */
function nameOf(tools: readonly LanguageModelV4FunctionTool[], chance: Chance): string | undefined {
  const old = tools.filter(({ name }) => name.startsWith('legacy'));
  return chance.pick(chance.happens(0.5) && old.length > 0 ? old : tools)?.name;
}

/** Of a window of 4,000, so that a long conversation is compacted by itself. */
const tokensPerMessage = 120;

/** So many tokens for each message, as if a provider had counted them. */
function usageOf(prompt: LanguageModelV4Prompt, outputTokens: number): LanguageModelV4Usage {
  const total = tokensPerMessage * prompt.length;
  const reasoning = Math.min(3, outputTokens);
  return {
    inputTokens: { total, noCache: total - prompt.length, cacheRead: prompt.length, cacheWrite: 0 },
    outputTokens: { total: outputTokens, text: outputTokens - reasoning, reasoning },
  };
}
