import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import type { AgentTool } from '../../src/agent/tool.ts';
import { SeededRandom } from '../../src/cli/replay/seeded-random.ts';
import { tool } from '../../src/index.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { utf8Bytes } from '../../src/core/json.ts';
import { scriptedModel, type ScriptedItem } from '../../src/testing/scripted-model.ts';
import { asksForSummary, callProblem, promptTokens, userTexts } from '../support/checked-prompts.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { seedOf } from '../support/seed.ts';

const corpus = path.join(process.env['HOLDFAST_CORPUS'] ?? path.join(import.meta.dirname, '../../..', 'shared', 'data'), 'tau-airline.jsonl');
const runs = Number(process.env['HOLDFAST_COMPACTION_RUNS'] ?? 15);

/** What the model is to say next, and what people have said that nothing has answered. */
interface Told {
  steps: (readonly ScriptedItem[])[];
  results: string[];
  unanswered: string[];
  windowTokens: number;
  summary: string;
}

interface Figures {
  answers: number;
  summaries: number;
  /** Of the prompts for answers, and of all. */
  tokensMax: number;
  promptTokensMax: number;
}

/** A model that plays what it is told and checks every prompt that it is sent: a failed check fails its turn. It counts three bytes a token. */
function checkingModel(told: Told, figures: Figures) {
  return scriptedModel([], {
    otherwise: ({ prompt }) => {
      const total = promptTokens(prompt);
      figures.promptTokensMax = Math.max(figures.promptTokensMax, total);
      expect(callProblem(prompt)).toBe(null);
      expect(total, 'tokens of the prompt').toBeLessThan(told.windowTokens);
      const usageOf = (items: readonly ScriptedItem[]) => {
        const said = Math.ceil(utf8Bytes(JSON.stringify(items)) / 3);
        return { inputTokens: { total, noCache: total, cacheRead: 0, cacheWrite: 0 }, outputTokens: { total: said, text: said, reasoning: 0 } };
      };
      if (asksForSummary(prompt)) {
        figures.summaries += 1;
        return [{ text: told.summary }, { finish: 'stop', usage: usageOf([{ text: told.summary }]) }];
      }
      figures.answers += 1;
      figures.tokensMax = Math.max(figures.tokensMax, total);
      const texts = userTexts(prompt);
      expect(told.unanswered.filter((text) => !texts.includes(text)), 'what nothing has answered').toEqual([]);
      const items = told.steps.shift() ?? [{ text: 'Done.' }];
      return items.some((item) => 'error' in item) ? items : [...items, { finish: items.some((item) => 'call' in item) ? 'tool-calls' : 'stop', usage: usageOf(items) }];
    },
  });
}

function toolsOf(names: readonly string[], told: Told): Readonly<Record<string, AgentTool>> {
  return Object.fromEntries(names.map((name) => [name, tool({ recovery: 'rerun', inputSchema: z.record(z.string(), z.unknown()), execute: () => told.results.shift() ?? 'nothing' })]));
}

interface ChatMessage {
  readonly role: string;
  readonly content: string | null;
  readonly tool_calls?: readonly { readonly id: string; readonly function: { readonly name: string; readonly arguments: string } }[];
}

/** The turns of a recorded conversation: what was said, what the model did, what the tools returned. */
function turnsOf(messages: readonly ChatMessage[]): readonly { readonly text: string; readonly steps: (readonly ScriptedItem[])[]; readonly results: string[] }[] {
  const turns: { text: string; steps: (readonly ScriptedItem[])[]; results: string[] }[] = [];
  for (const { role, content, tool_calls: calls = [] } of messages) {
    const turn = turns.at(-1);
    if (role === 'user') turns.push({ text: content ?? '', steps: [], results: [] });
    else if (role === 'tool') turn?.results.push(content ?? '');
    else turn?.steps.push([...(content === null || content === '' ? [] : [{ text: content }]), ...calls.map((call) => ({ call: call.function.name, inputText: call.function.arguments, id: call.id }))]);
  }
  return turns;
}

describe('every prompt that is sent of a history that is compacted again and again', () => {
  it.skipIf(!existsSync(corpus))('is valid, below a window of 2,000 tokens, and has all that nothing has answered: the recorded conversations (skipped without ../shared/data or HOLDFAST_CORPUS)', { timeout: 60_000 }, async () => {
    const conversations = readFileSync(corpus, 'utf8').trim().split('\n').map((line) => turnsOf((JSON.parse(line) as { readonly messages: readonly ChatMessage[] }).messages));
    const names = new Set(conversations.flat().flatMap(({ steps }) => steps.flat().flatMap((item) => ('call' in item ? [item.call] : []))));
    const told: Told = { steps: [], results: [], unanswered: [], windowTokens: 2_000, summary: 'The user wants to change flights; the assistant has looked the reservation up.' };
    const figures: Figures = { answers: 0, summaries: 0, tokensMax: 0, promptTokensMax: 0 };
    const holdfast = await openHoldfast({
      agents: [agent({ name: 'airline', model: checkingModel(told, figures), instructions: 'You help customers of an airline.', tools: toolsOf([...names], told), limits: { contextWindowTokens: told.windowTokens, maxSteps: 100 } })],
    });
    let turns = 0;
    let compactions = 0;
    for (const conversation of conversations) {
      const session = await holdfast.sessions.create({ agent: 'airline' });
      for (const { text, steps, results } of conversation) {
        if (text === '') continue;
        Object.assign(told, { steps: steps.slice(), results: results.slice(), unanswered: [text] });
        const result = await (await session.send(text)).result;
        expect(result.error).toBe(null);
        turns += 1;
      }
      const transcript = (await session.messages({ limit: 100 })).items.filter(({ role }) => role === 'user');
      expect(transcript.length).toBe(conversation.filter(({ text }) => text !== '').length);
      compactions += ofKind(await session.entries(), 'history-compacted').length;
    }
    console.log(`recorded conversations: ${conversations.length}, ${turns} turns, ${figures.answers} prompts for answers (the largest ${figures.tokensMax} tokens), ${compactions} compactions of ${figures.summaries} requests (the largest prompt ${figures.promptTokensMax})`);
    expect(compactions).toBeGreaterThan(conversations.length / 2);
  });

  it('is valid, below its window, and has all that nothing has answered, whatever is said, called, failed, rewound, forked and asked for', { timeout: 20_000 + runs * 3_000 }, async () => {
    const seed = seedOf('compaction prompts');
    const figures: Figures = { answers: 0, summaries: 0, tokensMax: 0, promptTokensMax: 0 };
    const counts: Record<string, number> = {};
    for (let run = 0; run < runs; run += 1) await randomConversation(new SeededRandom(seed + run), figures, counts);
    console.log(`random conversations: ${runs}, ${JSON.stringify({ ...counts, ...figures })}`);
    for (const what of ['answered', 'failed', 'manual', 'rewound', 'threshold', 'note', 'forked']) expect([what, (counts[what] ?? 0) > 0]).toEqual([what, true]);
  });
});

/** One conversation of random turns in a random window. */
async function randomConversation(chance: SeededRandom, figures: Figures, counts: Record<string, number>): Promise<void> {
  const random = (below: number): number => chance.integer(0, below - 1);
  const told: Told = { steps: [], results: [], unanswered: [], windowTokens: 1_500 + random(3_000), summary: '' };
  const holdfast = await openHoldfast({
    agents: [agent({ name: 'random', model: checkingModel(told, figures), instructions: 'Be brief.', tools: toolsOf(['look', 'find'], told), limits: { contextWindowTokens: told.windowTokens } })],
  });
  const count = (what: string): void => { counts[what] = (counts[what] ?? 0) + 1; };
  const text = (name: string, bytesMax: number): string => `${name} ${['x', 'wörd ', '😀 ', '{"a":1} '][random(4)]?.repeat(random(bytesMax) / 8)}`;
  let session: SessionHandle = await holdfast.sessions.create({ agent: 'random' });
  /** The visible turns: what was said in each, and whether it was answered. */
  let turns: { id: string; said: string; answered: boolean }[] = [];
  for (let number = 0; number < 25; number += 1) {
    const open = turns.slice(turns.findLastIndex(({ answered }) => answered) + 1).map(({ said }) => said);
    told.summary = text(`summary ${number}`, random(10) === 0 ? 20_000 : 1_000);
    const what = random(12);
    if (what === 0 && turns.length > 1) {
      const kept = 1 + random(turns.length - 1);
      await session.rewind(turns[kept - 1]?.id ?? '');
      turns = turns.slice(0, kept);
      count('rewound');
    } else if (what === 1) {
      const asked = await session.compact({ instructions: 'Keep the names.' }).then((turn) => turn.result, (error: unknown) => error as { readonly code: string });
      if ('code' in asked) expect(asked.code).toBe('nothing_to_compact');
      else expect([null, 'nothing_to_compact']).toContain(asked.error?.code ?? null);
      count('manual');
    } else if (what === 2) {
      await (await session.send({ text: `note ${number}`, visibility: 'user' })).result;
      count('note');
    } else if (what === 3) {
      session = await session.fork();
      count('forked');
    } else {
      const said = text(`said ${number}`, 400);
      const fails = random(6) === 0 && open.length < 3;
      told.unanswered = [...open, said];
      told.steps = Array.from({ length: random(7) }, (_, step) => [
        ...(random(2) === 0 ? [{ text: text('thinking', 500) }] : []), { call: 'look', input: { step }, id: `call_${random(3)}` }, ...(random(3) === 0 ? [{ call: 'find', input: { step }, id: `call_${3 + random(3)}` }] : []),
      ]);
      told.results = Array.from({ length: 14 }, () => text('result', random(8) === 0 ? 30_000 : 600));
      told.steps.push(fails ? [{ error: new Error('invalid api key') }] : [{ text: text('answer', 900) }]);
      const { id, result } = await session.send(said);
      const { error } = await result;
      expect(error?.code ?? null).toBe(fails ? 'authentication' : null);
      turns.push({ id, said, answered: !fails });
      count(fails ? 'failed' : 'answered');
    }
  }
  for (const { trigger } of ofKind(await session.entries(), 'history-compacted')) count(trigger);
  expect((await session.messages({ limit: 100 })).items.filter(({ role, parts }) => role === 'user' && !JSON.stringify(parts).includes('note ')).map(({ parts }) => (parts[0] as { readonly text: string }).text)).toEqual(turns.map(({ said }) => said));
  await holdfast.close();
}
