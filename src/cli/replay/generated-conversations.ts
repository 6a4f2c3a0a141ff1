import { answersOf } from '../../core/action.ts';
import { deniedCall } from '../../core/call-result.ts';
import type { JsonObject } from '../../core/json.ts';
import { SeededRandom } from './seeded-random.ts';
import { toolKind } from './tool-kind.ts';

/** A conversation in OpenAI chat format, as a line of a file. */
export interface GeneratedConversation {
  readonly id: string;
  readonly messages: readonly JsonObject[];
}

const turnsMax = 5;
const callsMax = 6;
/** Few ids, so that most of them name several calls of their conversation. */
const providerIds = ['call_0', 'call_1', 'call_2', 'call_3', 'toolu_é', 'functions.f:0'] as const;
const plainTools = ['rerun_search', 'rerun_read', 'keyed_charge', 'keyed_email', 'report_book', 'report_ship', 'ask_wire'] as const;
/** Tools that pause a turn or go on beside it. */
const pausingTools = [
  ['asked_rerun_quote', 'asked_keyed_pay', 'asked_report_refund', 'asked_report_cancel', 'asked_ask_transfer'],
  ['client_locate', 'client_pick', 'question_which'],
  ['awaited_rerun_index', 'awaited_keyed_sync', 'awaited_report_import', 'asked_awaited_report_migrate'],
  ['detached_rerun_crawl', 'detached_keyed_notify', 'detached_report_publish', 'asked_detached_keyed_mail'],
] as const;
const words = [
  'flight', 'please', 'JFK', 'to', 'SEA', 'on', 'May', '20th', '日本', 'naïve', '👩‍👩‍👧‍👦', '🎉🎉', 'e\u0301', 'مرحبا', '"quoted"', '\\n', '\n', '<b>', '{"a":1}', '###STOP###', 'x'.repeat(300),
] as const;

/**
 * Conversations made to be hard to keep: steps of one to six calls of tools with every recovery, provider ids used again (also within a step),
 * characters of many units, results that are JSON or errors, empty texts, turns without an answer, ends on a tool result, openings by the assistant. In half of the steps calls
 * wait for approval, for a client or an answer, or run as operations, awaited and detached; now and then a message is steered into a turn. The same seed gives the same
 * conversations, and the first of a longer list are those of a shorter one.
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
    for (let step = 0; step < steps; step += 1) {
      messages.push(...toolStep(random));
      // The number keeps it apart from every other message.
      if (random.happens(0.12)) messages.push({ role: 'user', steered: true, content: `By the way (${messages.length}): ${sentence(random)}` });
    }
    // What is left out here is a turn that ends on a tool result, or on nothing.
    if (random.happens(0.85)) messages.push({ role: 'assistant', content: random.pick([sentence(random), sentence(random), sentence(random), '', null]) });
  }
  return messages;
}

function toolStep(random: SeededRandom): readonly JsonObject[] {
  const pauses = random.happens(0.5);
  const calls = Array.from({ length: random.happens(0.4) ? 1 : random.integer(2, callsMax) }, () => {
    const name = pauses && random.happens(0.6) ? random.pick(random.pick<readonly string[]>(pausingTools)) : random.pick(plainTools);
    const call = { id: random.pick(providerIds), type: 'function', function: { name, arguments: argumentsText(random) } };
    return answered(random, name, call);
  });
  return [
    { role: 'assistant', content: random.happens(0.3) ? sentence(random) : null, tool_calls: calls.map(({ call }) => call) },
    ...calls.map(({ call, name, content }) => ({ role: 'tool', tool_call_id: call['id'] ?? '', name, content })),
  ];
}

/** A call with what somebody says to it, and what comes of it. */
function answered(random: SeededRandom, name: string, call: JsonObject): { readonly call: JsonObject; readonly name: string; readonly content: string } {
  const { asks } = toolKind(name);
  if (asks === null) return { call, name, content: result(random) };
  const [goesOn] = answersOf[asks];
  const type = random.happens(0.65) ? goesOn : random.pick(answersOf[asks]);
  const reason = random.happens(0.7) ? sentence(random) : undefined;
  const input: JsonObject = { edited: sentence(random), count: random.integer(0, 9) };
  const isEdited = type === 'approve' && random.happens(0.35);
  const answer: JsonObject = { type, ...(type === 'deny' && reason !== undefined ? { reason } : {}), ...(isEdited ? { input } : {}) };
  const came = result(random);
  const content = type === 'deny' ? (deniedCall({ index: 0, toolCallId: '', toolName: name }, reason).errorText ?? '') : type === 'error' ? `the client failed: ${came}` : came;
  return { call: { ...call, answer }, name, content };
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
