import type { JsonObject } from '../../core/json.ts';
import { SeededRandom } from './seeded-random.ts';

/** A conversation in OpenAI chat format, as a line of a file. */
export interface GeneratedConversation {
  readonly id: string;
  readonly messages: readonly JsonObject[];
}

const turnsMax = 5;
const callsMax = 6;
/** Few ids, so that most of them name several calls of their conversation. */
const providerIds = ['call_0', 'call_1', 'call_2', 'call_3', 'toolu_é', 'functions.f:0'] as const;
const toolNames = ['rerun_search', 'rerun_read', 'keyed_charge', 'keyed_email', 'report_book', 'report_ship'] as const;
const words = [
  'flight', 'please', 'JFK', 'to', 'SEA', 'on', 'May', '20th', '日本', 'naïve', '👩‍👩‍👧‍👦', '🎉🎉', 'e\u0301', 'مرحبا', '"quoted"', '\\n', '\n', '<b>', '{"a":1}', '###STOP###', 'x'.repeat(300),
] as const;

/**
 * Conversations made to be hard to keep: steps of one to six calls of tools with every recovery, provider ids used again (also within a step),
 * characters of many units, results that are JSON or errors, empty texts, turns without an answer, ends on a tool result, openings by the assistant. The
 * same seed gives the same conversations, and the first of a longer list are those of a shorter one.
 */
export function generateConversations(count: number, seed: number): readonly GeneratedConversation[] {
  return Array.from({ length: count }, (_, place) => {
    const random = new SeededRandom(seed * 1_000_003 + place);
    return { id: `generated-${seed}-${place}`, messages: messagesOf(random) };
  });
}

function messagesOf(random: SeededRandom): readonly JsonObject[] {
  const messages: JsonObject[] = random.happens(0.1) ? [{ role: 'assistant', content: sentence(random) }] : [];
  const turns = random.integer(1, turnsMax);
  for (let turn = 0; turn < turns; turn += 1) {
    messages.push({ role: 'user', content: random.happens(0.05) ? '' : sentence(random) });
    const steps = random.integer(0, 3);
    for (let step = 0; step < steps; step += 1) messages.push(...toolStep(random));
    // What is left out here is a turn that ends on a tool result, or on nothing.
    if (random.happens(0.85)) messages.push({ role: 'assistant', content: random.pick([sentence(random), sentence(random), sentence(random), '', null]) });
  }
  return messages;
}

function toolStep(random: SeededRandom): readonly JsonObject[] {
  const calls = Array.from({ length: random.happens(0.4) ? 1 : random.integer(2, callsMax) }, () => {
    const name = random.pick(toolNames);
    return { id: random.pick(providerIds), type: 'function', function: { name, arguments: argumentsText(random) } };
  });
  return [
    { role: 'assistant', content: random.happens(0.3) ? sentence(random) : null, tool_calls: calls },
    ...calls.map((call) => ({ role: 'tool', tool_call_id: call.id, name: call.function.name, content: result(random) })),
  ];
}

function argumentsText(random: SeededRandom): string {
  const input = { text: sentence(random), count: random.integer(-3, 1_000), share: random.next(), nested: { list: [null, true, random.pick(words)] } };
  return random.pick([JSON.stringify(input), JSON.stringify(input), JSON.stringify(input, null, 2), '{}', '', '{ "text" :  "\\ud83c\\udf89" }']);
}

function result(random: SeededRandom): string {
  return random.pick([
    () => JSON.stringify({ found: Array.from({ length: random.integer(0, 5) }, () => ({ name: sentence(random), price: random.next() })) }),
    () => JSON.stringify([sentence(random)], null, 1),
    () => `Error: ${sentence(random)}`,
    () => sentence(random),
    () => '',
  ])();
}

function sentence(random: SeededRandom): string {
  return Array.from({ length: random.integer(1, 12) }, () => random.pick(words)).join(random.happens(0.9) ? ' ' : '');
}
