import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chatConversation } from '../../src/exchange/chat/chat-conversation.ts';
import { importCommand } from '../../src/exchange/chat/import-command.ts';
import { readConversation } from '../../src/exchange/chat/read-conversation.ts';
import { parseLine } from '../../src/exchange/parse-line.ts';
import { examineSession } from '../../src/examine/examine-session.ts';
import { importSession } from '../../src/core/accept/import.ts';
import { redactEntry } from '../../src/core/redact.ts';
import type { Entry, EntryKind, EntryOf } from '../../src/core/entry.ts';
import { InvariantError } from '../../src/core/errors.ts';
import type { JsonObject } from '../../src/core/json.ts';
import { dueAtMs, statusOf, type Session } from '../../src/core/session.ts';

interface Imported {
  readonly session: Session;
  readonly entries: readonly Entry[];
  readonly warnings: readonly string[];
}

function imported(line: unknown): Imported {
  const parsed = parseLine(typeof line === 'string' ? line : JSON.stringify(line));
  if (typeof parsed === 'string') throw new Error(parsed);
  const read = readConversation(parsed);
  if (read.kind === 'bad') throw new Error(read.message);
  const { command, warnings } = importCommand(read.conversation, { agent: 'demo', owner: 'local' });
  let minted = 0;
  const mintId = (prefix: string): string => `${prefix}_${String((minted += 1)).padStart(26, '0')}`;
  const change = importSession({ tenant: 'default', id: 'ses_1' }, command, { nowMs: 1_000, mintId });
  // As a store gives them back.
  const entries = JSON.parse(JSON.stringify(change.entries)) as Entry[];
  return { session: change.session, entries, warnings: [...read.warnings, ...warnings] };
}

function exported({ session, entries }: Imported): JsonObject {
  return chatConversation(session, entries);
}

function ofKind<Kind extends EntryKind>(entries: readonly Entry[], kind: Kind): readonly EntryOf<Kind>[] {
  return entries.filter((entry): entry is EntryOf<Kind> => entry.kind === kind);
}

function problems({ session, entries }: Imported): readonly unknown[] {
  const columns = {
    tenant: session.tenant, id: session.id, owner: session.owner, agent: session.agent, external_id: session.externalId, title_lower_case: session.title?.toLowerCase() ?? null, status: statusOf(session),
    archived: 0, active_at_ms: session.activeAtMs, due_at_ms: dueAtMs(session), worker: null, fence: session.fence, attempt_id: null,
  };
  return examineSession({ columns, session }, entries, { operations: [], outcomes: [], branches: [] });
}

const user = (content: unknown, more: object = {}): object => ({ role: 'user', content, ...more });
const says = (content: unknown, more: object = {}): object => ({ role: 'assistant', content, ...more });
const calls = (...list: readonly (readonly [id: string, name: string, args: unknown])[]): object =>
  ({ role: 'assistant', content: null, tool_calls: list.map(([id, name, args]) => ({ id, type: 'function', function: { name, arguments: args } })) });
const result = (id: string, content: unknown, more: object = {}): object => ({ role: 'tool', tool_call_id: id, content, ...more });

/** Conversations with something odd in them: each comes out as it went in. */
const traps: readonly (readonly [what: string, line: object])[] = [
  ['nothing in it', { id: 'a', messages: [] }],
  ['a system message alone', { id: 'a', messages: [{ role: 'system', content: 'Be kind.' }] }],
  ['system and developer messages before, between and after', {
    id: 'a', messages: [{ role: 'system', content: 'A' }, { role: 'developer', content: 'B', name: 'x' }, user('1'), { role: 'system', content: 'C' }, says('2'), { role: 'developer', content: 'D' }],
  }],
  ['fields of its own', { id: 'a', taskId: 7, reward: 0.5, tags: ['x', null], nested: { a: { b: [] } }, messages: [user('1', { name: 'Ada', extra: { n: 1 } }), says('2', { refusal: null, annotations: [], audio: null })] }],
  ['no id', { messages: [user('1'), says('2')] }],
  ['an id that is null', { id: null, messages: [user('1')] }],
  ['an id that is a number', { id: 42, messages: [user('1')] }],
  ['a user who says two things and gets no answer', { id: 'a', messages: [user('1'), user('2')] }],
  ['the assistant first', { id: 'a', messages: [says('Hello!'), user('1'), says('2')] }],
  ['two assistant messages in a row', { id: 'a', messages: [user('1'), says('2'), says('3')] }],
  ['an empty answer, one that is null and one that has no content', { id: 'a', messages: [user('1'), says(''), user('2'), says(null), user('3'), { role: 'assistant' }] }],
  ['text beside calls', { id: 'a', messages: [user('1'), { ...calls(['c1', 'f', '{}']), content: 'one moment' }, result('c1', 'ok'), says('2')] }],
  ['an empty text beside calls', { id: 'a', messages: [user('1'), { ...calls(['c1', 'f', '{}']), content: '' }, result('c1', 'ok'), says('2')] }],
  ['a refusal', { id: 'a', messages: [user('1'), says(null, { refusal: 'I will not.' })] }],
  ['content as a list', { id: 'a', messages: [user([{ type: 'text', text: '1' }]), says([{ type: 'text', text: '2' }, { type: 'refusal', refusal: '3' }]), user([])] }],
  ['an image, audio and files', {
    id: 'a', messages: [user([
      { type: 'text', text: 'look' }, { type: 'image_url', image_url: { url: 'https://example.com/a.png', detail: 'low' } }, { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
      { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } }, { type: 'file', file: { file_data: 'data:application/pdf;base64,AAAA', filename: 'a.pdf' } },
      { type: 'file', file: { file_id: 'file-1' } }, { type: 'video', video: 1 }, 'text', null,
    ])],
  }],
  ['content that is a number, an object, or missing', { id: 'a', messages: [user(5), user({ a: 1 }), { role: 'user' }, user(null), says(7), says({ a: 1 })] }],
  ['arguments with white space, none, not JSON, and no text', {
    id: 'a', messages: [user('1'), calls(['c1', 'f', '{ "a": 1 }'], ['c2', 'f', ''], ['c3', 'f', '{"a":'], ['c4', 'f', { a: 1 }], ['c5', 'f', null]),
      result('c1', '1'), result('c2', '2'), result('c3', '3'), result('c4', '4'), result('c5', '5'), says('2')],
  }],
  ['arguments with a lone surrogate, a large number and a repeated key', { id: 'a', messages: [user('1'), calls(['c1', 'f', '{"a":"\\ud800","b":12345678901234567890,"a":2}']), result('c1', '1')] }],
  ['ids reused between steps', { id: 'a', messages: [user('1'), calls(['c1', 'f', '{}']), result('c1', 'first'), calls(['c1', 'f', '{}']), result('c1', 'second'), says('2')] }],
  ['ids reused within a step', { id: 'a', messages: [user('1'), calls(['c1', 'f', '{}'], ['c1', 'g', '{}']), result('c1', 'first'), result('c1', 'second'), says('2')] }],
  ['results in another order than the calls', { id: 'a', messages: [user('1'), calls(['c1', 'f', '{}'], ['c2', 'g', '{}']), result('c2', 'second'), { role: 'system', content: 'x' }, result('c1', 'first'), says('2')] }],
  ['results with a name, a list, null, an object and no content', {
    id: 'a', messages: [user('1'), calls(['c1', 'f', '{}'], ['c2', 'f', '{}'], ['c3', 'f', '{}'], ['c4', 'f', '{}'], ['c5', 'f', '{}']),
      result('c1', 'x', { name: 'f' }), result('c2', [{ type: 'text', text: 'a' }, { type: 'text', text: 'b' }]), result('c3', null), result('c4', { a: 1 }), { role: 'tool', tool_call_id: 'c5' }, says('2')],
  }],
  ['a result without a call, a second result, and one that comes too late', {
    id: 'a', messages: [result('c0', 'before'), user('1'), result('c9', 'none'), calls(['c1', 'f', '{}']), result('c1', 'x'), result('c1', 'again'), user('2'), result('c1', 'late'), says('3')],
  }],
  ['calls without a result, between and at the end', { id: 'a', messages: [user('1'), calls(['c1', 'f', '{}'], ['c2', 'f', '{}']), result('c2', 'x'), says('2'), user('3'), calls(['c3', 'f', '{}'])] }],
  ['a user message between a call and its result', { id: 'a', messages: [user('1'), calls(['c1', 'f', '{}']), user('hurry'), result('c1', 'x'), says('2')] }],
  ['the old function format', { id: 'a', messages: [user('1'), { role: 'assistant', content: null, function_call: { name: 'f', arguments: '{"a":1}' } }, { role: 'function', name: 'f', content: 'x' }, says('2')] }],
  ['calls without an id, of a custom tool, and of no tool at all', {
    id: 'a', messages: [user('1'), { role: 'assistant', content: null, tool_calls: [{ type: 'function', function: { name: 'f', arguments: '{}' } }, { id: 'c2', type: 'custom', custom: { name: 'g', input: 'plain text' } }, { id: 'c3' }, null, 'x'] }, result('c2', 'ok'), says('2')],
  }],
  ['tool_calls that is no list, is empty, or is null', { id: 'a', messages: [user('1'), { role: 'assistant', content: '2', tool_calls: 'x' }, { role: 'assistant', content: '3', tool_calls: [] }, { role: 'assistant', content: '4', tool_calls: null }] }],
  ['messages of unknown roles, of none, and that are no objects', { id: 'a', messages: ['x', user('1'), { role: 'critic', content: 'y' }, { content: 'z' }, null, 5, [], says('2')] }],
];

describe('a conversation that is imported', () => {
  it.each(traps)('comes out as it went in, with %s', (_what, line) => {
    const once = imported(line);
    expect(exported(once)).toEqual(JSON.parse(JSON.stringify(line)));
    expect(problems(once)).toEqual([]);
  });

  it('keeps a field named __proto__', () => {
    const line = '{"id":"a","__proto__":{"x":1},"messages":[{"role":"user","content":"1","__proto__":2}]}';
    expect(JSON.stringify(exported(imported(line)))).toBe('{"id":"a","__proto__":{"x":1},"messages":[{"role":"user","content":"1","__proto__":2}]}');
  });

  it('breaks an invariant rather than take a result that belongs to no call', () => {
    const results = [{ index: 0, toolCallId: 'c1', toolName: 'f', outcome: 'done' as const }];
    const steps = [{ parts: [{ type: 'text' as const, text: 'no call' }], finishReason: 'stop' as const, results }];
    const command = { agent: 'demo', owner: 'local', turns: [{ message: { parts: [] }, steps }] };
    expect(() => importSession({ tenant: 'default', id: 'ses_1' }, command, { nowMs: 0, mintId: (prefix) => prefix })).toThrow(InvariantError);
  });

  it('needs nothing beside its entries where it is as an export would write it', () => {
    const { entries } = imported({ id: 'a', messages: [user('1'), calls(['c1', 'f', '{"a":1}']), result('c1', 'x'), says('2')] });
    expect(ofKind(entries, 'turn-ended').map((entry) => entry.imported)).toEqual([undefined]);
  });

  it('is at rest, with every call answered and every turn ended', () => {
    const { session, entries } = imported({ id: 'a', messages: [user('1'), says('2'), user('3'), calls(['c1', 'f', '{}'], ['c2', 'g', '{}']), result('c1', 'x')] });
    expect([statusOf(session), dueAtMs(session), session.turns]).toEqual(['idle', null, 2]);
    expect(ofKind(entries, 'turn-ended').map(({ reason }) => reason)).toEqual(['complete', 'stopped']);
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'done', output: 'x' }, { outcome: 'stopped', mayHaveRun: true }]);
    expect(ofKind(entries, 'assistant-step').map(({ attempt }) => attempt.usage)).toEqual([null, null]);
  });

  it('names what is odd, with the place of the message', () => {
    const { warnings } = imported({ id: 'a', messages: [user('1'), result('c9', 'x'), calls(['c1', 'f', '{"a":']), { role: 'critic' }] });
    expect(warnings).toEqual([
      'message 2: this result answers no open call ("c9"); it is kept and not shown',
      'message 3: the arguments of a call are not JSON, or nest deeper than 64; they are kept as text',
      'message 4: the role "critic" is unknown; it is kept and not shown',
      'message 3: the call "c1" has no result; it ended as stopped',
    ]);
  });

  it('loses with a redaction all that was kept of what is removed, and nothing else', () => {
    const once = imported({ id: 'a', messages: [user([{ type: 'text', text: 'secret', odd: 'secret' }], { note: 'secret' }), { role: 'critic', content: 'secret' }, { ...calls(['c1', 'f', '{}']), extra: 'call' }, result('c1', 'x', { extra: 'result' }), says('2', { extra: 'answer' })] });
    const redacted = once.entries.map((entry) => (entry.kind === 'user-message' ? redactEntry(entry, { atMs: 1, by: 'ada' }) : entry));
    expect(JSON.stringify(once.entries).match(/secret/g)?.length).toBeGreaterThan(3);
    expect(JSON.stringify(redacted)).not.toContain('secret');
    expect(exported({ ...once, entries: redacted })['messages']).toEqual([user('[redacted]'), { ...calls(['c1', 'f', '{}']), extra: 'call' }, result('c1', 'x', { extra: 'result' }), says('2', { extra: 'answer' })]);
  });

  it('comes out as it went in when it was imported by a version that kept it all with the end of the turn', () => {
    const once = imported({ id: 'a', messages: [user('1'), says('2')] });
    const older = once.entries.map((entry) => (entry.kind === 'turn-ended' ? { ...entry, imported: { messages: [{ of: 0, set: { name: 'Ada' } }, { message: { role: 'critic', content: 'x' } }, 1] } } : entry));
    expect(exported({ ...once, entries: older })['messages']).toEqual([user('1', { name: 'Ada' }), { role: 'critic', content: 'x' }, says('2')]);
  });

  it('names every malformed call and message, and keeps all of them', () => {
    const malformed = [
      { role: 'assistant', content: null, tool_calls: [{ id: 'c1', type: 'function', function: { arguments: '{}' } }, { id: 'c2', type: 'function', function: { name: 'f', arguments: '{"a"' } }, { id: 'c3' }] },
      result('c2', 'ok'), result('c7', 'nobody asked'), { role: 'function', name: 'g', content: 'old' }, { role: 'assistant', content: null, function_call: { arguments: '{}' } },
      { role: 'assistant', content: null, tool_calls: 'none' }, { role: 'robot', content: 'x' }, { content: 'y' }, 7,
    ];
    const once = imported({ id: 'a', messages: [user('1'), ...malformed] });
    expect(once.warnings).toEqual([
      'message 2: a call names no tool; it is kept and not shown', 'message 2: the arguments of a call are not JSON, or nest deeper than 64; they are kept as text', 'message 2: a call names no tool; it is kept and not shown',
      'message 4: this result answers no open call ("c7"); it is kept and not shown', 'message 5: this result answers no open call ("g"); it is kept and not shown', 'message 6: a call names no tool; it is kept and not shown',
      'message 7: its tool_calls is no list; it is kept and not shown', 'message 8: the role "robot" is unknown; it is kept and not shown', 'message 9: the role null is unknown; it is kept and not shown',
      'message 10: it is no object; it is kept and not shown',
    ]);
    expect(exported(once)['messages']).toEqual([user('1'), ...malformed]);
  });

  it('says which numbers lose digits', () => {
    expect(imported('{"id":"a","n":12345678901234567890,"m":0.25,"k":1e21,"messages":[]}').warnings).toEqual(['the number 12345678901234567890 has no exact form here; it became 12345678901234567000']);
  });

  it('says that text which no store keeps was mended', () => {
    const once = imported('{"id":"a","messages":[{"role":"user","content":"a\\u0000b\\ud800c"}]}');
    expect(once.warnings).toHaveLength(1);
    expect(exported(once)).toEqual({ id: 'a', messages: [{ role: 'user', content: 'a\uFFFDb\uFFFDc' }] });
  });

  it.each([
    ['not JSON', 'it is not JSON'], ['[]', 'it is no object'], ['{"id":"a"}', 'it has no messages'], ['{"id":"a","messages":{}}', 'messages is no list'],
    ['{"id":{},"messages":[]}', 'id is neither'], ['{"id":"","messages":[]}', 'id is empty'], [`{"id":"${'x'.repeat(249)}","messages":[]}`, 'id is longer than 248'],
    [`{"id":"a","messages":[],"deep":${'['.repeat(65)}${']'.repeat(65)}}`, 'it nests deeper than 64'], ['{"id":"a","messages":[],"n":1e999}', 'the number 1e999 is too large'],
  ])('is refused with a reason: %.40s', (text, reason) => {
    const parsed = parseLine(text);
    expect(typeof parsed === 'string' ? { kind: 'bad', message: parsed } : readConversation(parsed)).toMatchObject({ kind: 'bad', message: expect.stringContaining(reason) as string });
  });

  it('comes out as it went in, whatever well-formed conversation it is', () => {
    fc.assert(fc.property(fc.record({ id: fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }), messages: conversation }), (line) => {
      const once = imported(line);
      expect(exported(once)).toEqual(line);
      expect(problems(once)).toEqual([]);
    }), { numRuns: 300 });
  });

  it('comes out as it went in, whatever messages it has in whatever order', () => {
    fc.assert(fc.property(fc.record({ id: fc.integer(), messages: fc.array(anyMessage, { maxLength: 12 }) }), (line) => {
      const plain = JSON.parse(JSON.stringify(line)) as object;
      const once = imported(plain);
      expect(exported(once)).toEqual(plain);
      expect(problems(once)).toEqual([]);
    }), { numRuns: 500 });
  });
});

const words = fc.string({ maxLength: 30, unit: 'grapheme' }).map((text) => text.replaceAll('\u0000', '0'));
const callId = fc.constantFrom('c1', 'c2', 'c3');
const toolName = fc.constantFrom('f', 'g');

const toolStep = fc.array(fc.record({ id: callId, name: toolName, args: fc.dictionary(fc.constantFrom('a', 'b'), fc.oneof(words, fc.integer())), output: words }), { minLength: 1, maxLength: 3 })
  .map((list) => [
    { role: 'assistant', content: null, tool_calls: list.map(({ id, name, args }) => ({ id, type: 'function', function: { name, arguments: JSON.stringify(args) } })) },
    ...list.map(({ id, output }) => ({ role: 'tool', tool_call_id: id, content: output })),
  ]);
const turn = fc.tuple(words, fc.array(toolStep, { maxLength: 2 }), words).map(([asked, steps, answer]) => [user(asked), ...steps.flat(), says(answer)]);
const conversation = fc.array(turn, { maxLength: 4 }).map((turns) => turns.flat());

const content = fc.oneof(words, fc.constant(null), fc.array(fc.oneof(fc.record({ type: fc.constant('text'), text: words }), fc.constant({ type: 'image_url', image_url: { url: 'https://example.com/a.png' } })), { maxLength: 2 }));
const anyMessage = fc.oneof(
  fc.record({ role: fc.constantFrom('user', 'system', 'assistant', 'developer', 'odd'), content, name: words }, { requiredKeys: ['role'] }),
  fc.record({ role: fc.constant('tool'), tool_call_id: callId, content }, { requiredKeys: ['role'] }),
  fc.record({ role: fc.constant('function'), name: toolName, content }),
  fc.record({ role: fc.constant('assistant'), content, function_call: fc.record({ name: toolName, arguments: words }) }),
  fc.record({
    role: fc.constant('assistant'), content,
    tool_calls: fc.array(fc.record({ id: callId, type: fc.constant('function'), function: fc.record({ name: toolName, arguments: fc.oneof(words, fc.constant('{"a": 1}'), fc.constant('{}')) }) }, { requiredKeys: ['function'] }), { maxLength: 3 }),
  }),
  fc.jsonValue({ maxDepth: 2 }),
);
