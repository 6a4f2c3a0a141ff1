import { convertToModelMessages, validateUIMessages, type UIMessage } from 'ai';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { examineSession } from '../../src/examine/examine-session.ts';
import { importSession } from '../../src/core/accept/import.ts';
import type { Entry } from '../../src/core/entry.ts';
import type { JsonObject } from '../../src/core/json.ts';
import { isRedactable, redactEntry } from '../../src/core/redact.ts';
import { dueAtMs, statusOf, type Session } from '../../src/core/session.ts';
import { chatConversation } from '../../src/exchange/chat/chat-conversation.ts';
import { importCommand } from '../../src/exchange/chat/import-command.ts';
import { readConversation } from '../../src/exchange/chat/read-conversation.ts';
import { parseLine } from '../../src/exchange/parse-line.ts';
import { uiConversation } from '../../src/exchange/ui/ui-conversation.ts';
import { isUiConversation, uiImportCommand } from '../../src/exchange/ui/ui-import-command.ts';
import { seedOf } from '../support/seed.ts';

interface Imported {
  readonly session: Session;
  readonly entries: readonly Entry[];
  readonly warnings: readonly string[];
}

function imported(line: object, reads: typeof uiImportCommand | typeof importCommand = uiImportCommand): Imported {
  const parsed = parseLine(JSON.stringify(line));
  const read = typeof parsed === 'string' ? { kind: 'bad', message: parsed } as const : readConversation(parsed);
  if (read.kind === 'bad') throw new Error(read.message);
  const { command, warnings } = reads(read.conversation, { agent: 'demo', owner: 'local' });
  let minted = 0;
  const change = importSession({ tenant: 'default', id: 'ses_1' }, command, { nowMs: 1_000, mintId: (prefix) => `${prefix}_${String((minted += 1)).padStart(26, '0')}` });
  return { session: change.session, entries: JSON.parse(JSON.stringify(change.entries)) as Entry[], warnings: [...read.warnings, ...warnings] };
}

function problems({ session, entries }: Imported): readonly unknown[] {
  const columns = {
    tenant: session.tenant, id: session.id, owner: session.owner, agent: session.agent, external_id: session.externalId, title_lower_case: null, status: statusOf(session),
    archived: 0, active_at_ms: session.activeAtMs, due_at_ms: dueAtMs(session), worker: null, fence: session.fence, attempt_id: null,
  };
  return examineSession({ columns, session }, entries, { operations: [], outcomes: [], branches: [] });
}

let ids = 0;
const user = (...parts: readonly unknown[]): object => ({ id: `u${(ids += 1)}`, role: 'user', parts });
const says = (...parts: readonly unknown[]): object => ({ id: `a${(ids += 1)}`, role: 'assistant', parts });
const text = (words: string, more: object = {}): object => ({ type: 'text', text: words, ...more });
const start = { type: 'step-start' };
const call = (state: string, more: object = {}): object => ({ type: 'tool-weather', toolCallId: `c${(ids += 1)}`, state, input: { city: 'Rome' }, ...more });
const asked = { id: 'ap1', requestReason: 'dear' };

/** Calls in every state that the AI SDK has, and how each ends here. */
const states: readonly (readonly [what: string, part: object, outcome: string | null, warns: string | null])[] = [
  ['input-streaming', call('input-streaming', { input: { ci: 'R' }, rawInput: '{"ci":"R' }), null, 'was cut off while its input was written'],
  ['input-available', call('input-available'), 'stopped', 'has no result; it ended as stopped'],
  ['approval-requested', call('approval-requested', { approval: asked }), 'stopped', 'has no result'],
  ['approval-responded, approved', call('approval-responded', { approval: { ...asked, approved: true } }), 'stopped', 'has no result'],
  ['approval-responded, denied', call('approval-responded', { approval: { ...asked, approved: false, reason: 'no' } }), 'denied', null],
  ['output-available', call('output-available', { output: { degrees: 21 } }), 'done', null],
  ['output-available, approved', call('output-available', { output: 'x', approval: { ...asked, approved: true }, resultProviderMetadata: { p: { a: 1 } } }), 'done', null],
  ['output-available, preliminary', call('output-available', { output: [1], preliminary: true }), 'done', null],
  ['output-error', call('output-error', { errorText: 'no such city' }), 'failed', null],
  ['output-error, of an input that was none', { type: 'tool-weather', toolCallId: 'c0', state: 'output-error', rawInput: '{"city":', errorText: 'not JSON' }, 'failed', null],
  ['output-denied', call('output-denied', { approval: { ...asked, approved: false } }), 'denied', null],
  ['dynamic-tool', { type: 'dynamic-tool', toolName: 'mcp__x', toolCallId: 'c1', state: 'output-available', input: 5, output: null, title: 'X' }, 'done', null],
  ['run by the provider', call('output-available', { providerExecuted: true, output: { hits: 3 }, callProviderMetadata: { p: { id: 'x' } } }), null, null],
  ['run by the provider, which failed', call('output-error', { providerExecuted: true, errorText: 'down' }), null, null],
];

/** Conversations with something odd in them: each comes out as it went in. */
const traps: readonly (readonly [what: string, line: object])[] = [
  ['nothing in it', { id: 'a', messages: [] }],
  ['a question and an answer', { id: 'a', messages: [user(text('hi')), says(start, text('hello', { state: 'done' }))] }],
  ['fields of its own', { id: 'a', userId: 7, messages: [{ ...user(text('hi')), metadata: { at: 'noon' }, createdAt: '2026-01-01' }, { ...says(start, text('ho')), metadata: { model: 'x' }, annotations: [] }] }],
  ['no id, and messages without one, or with one twice', { messages: [{ role: 'user', parts: [text('1')] }, { id: 'x', role: 'user', parts: [text('2')] }, { id: 'x', role: 'user', parts: [text('3')] }] }],
  ['system messages before, between and after', { id: 'a', messages: [{ id: 's', role: 'system', parts: [text('A')] }, user(text('1')), { id: 's2', role: 'system', parts: [text('B')] }, says(start, text('2')), user(text('3')), { id: 's3', role: 'system', parts: [text('C')] }] }],
  ['the assistant first', { id: 'a', messages: [says(start, text('Hello!')), user(text('1'))] }],
  ['steps without a step-start, and one that begins twice', { id: 'a', messages: [user(text('1')), says(text('2')), user(text('3')), says(start, start, text('4'), start)] }],
  ['two assistant messages in a row', { id: 'a', messages: [user(text('1')), says(start, text('2')), says(text('3'), start, text('4'))] }],
  ['an answer without parts', { id: 'a', messages: [user(text('1')), says(), user(text('2')), says(start)] }],
  ['a message without parts', { id: 'a', messages: [user(), says(start, text('?'))] }],
  ['reasoning, sources and files', {
    id: 'a', messages: [user(text('look'), { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,AAAA', filename: 'a.png' }, { type: 'file', mediaType: 'application/pdf', url: 'https://example.com/a.pdf' }),
      says(start, { type: 'reasoning', text: 'hm', state: 'done', providerMetadata: { p: { signature: 's' } } }, text('so', { providerMetadata: { p: { a: 1 } } }), { type: 'source-url', sourceId: 's1', url: 'https://example.com', title: 'E' },
        { type: 'source-document', sourceId: 's2', mediaType: 'application/pdf', title: 'D', filename: 'd.pdf' }, { type: 'file', mediaType: 'image/png', url: 'data:image/png;base64,AAAA' })],
  }],
  ['a text that is still streaming', { id: 'a', messages: [user(text('1')), says(start, text('he', { state: 'streaming' }))] }],
  ['data parts, in both roles, alone and beside others', { id: 'a', messages: [user(text('1'), { type: 'data-place', data: { x: 1 } }), says(start, { type: 'data-chart', id: 'd', data: [1] }, text('2')), user({ type: 'data-x', data: 1 }), says({ type: 'data-y', data: 2 })] }],
  ['parts of unknown types, of none, and that are no objects', { id: 'a', messages: [user(text('1'), { type: 'hologram' }, null, 'x'), says(start, { type: 'hologram' }, 5, {}, text('2'), { type: 'file', url: 'ftp://x', mediaType: 'a/b' })] }],
  ['messages of unknown roles, without parts, and that are no objects', { id: 'a', messages: [5, user(text('1')), { id: 'x', role: 'critic', parts: [] }, { id: 'y', role: 'assistant', content: 'old' }, null] }],
  ['calls and text in one step', { id: 'a', messages: [user(text('1')), says(start, text('one moment'), call('output-available', { output: 1 }), call('output-available', { output: 2 }), text('both'), start, text('end'))] }],
  ['a call of no tool, without an id, in no state', { id: 'a', messages: [user(text('1')), says(start, { type: 'tool-', toolCallId: 'x', state: 'output-available' }, { type: 'tool-a', state: 'output-available', input: 1, output: 2 }, call('dreaming'), { type: 'dynamic-tool', toolCallId: 'c' })] }],
  ['ids of calls that are reused', { id: 'a', messages: [user(text('1')), says(start, call('output-available', { toolCallId: 'c', output: 1 }), start, call('output-available', { toolCallId: 'c', output: 2 }), start, text('2'))] }],
  ...states.map(([what, part]) => [`a call in the state ${what}`, { id: 'a', messages: [user(text('1')), says(start, part, start, text('2'))] }] as const),
];

describe('a conversation of UIMessages that is imported', () => {
  it.each(traps)('comes out as it went in, with %s', (_what, line) => {
    const once = imported(line);
    expect(uiConversation(once.session, once.entries)).toEqual(JSON.parse(JSON.stringify(line)));
    expect(problems(once)).toEqual([]);
  });

  it.each(states)('has a call in the state %s end as it did', (_what, part, outcome, warns) => {
    const { entries, warnings } = imported({ id: 'a', messages: [user(text('1')), says(start, part, start, text('2'))] });
    expect(entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map((result) => result.outcome) : []))).toEqual(outcome === null ? [] : [outcome]);
    expect(warnings).toEqual(warns === null ? [] : [expect.stringContaining(warns) as string]);
  });

  it('names everything that has no place, by its message', () => {
    const { warnings } = imported({ id: 'a', messages: [user(text('1'), { type: 'data-x', data: 1 }), { id: 'y', role: 'critic', parts: [] }, says(start, call('dreaming'), { type: 'hologram' }), { role: 'user', content: 'old' }] });
    expect(warnings).toEqual([
      expect.stringMatching(/^message 1: a part of type "data-x" has no place in a user's message; it is kept/) as string, expect.stringMatching(/^message 2: the role "critic" is unknown/) as string,
      expect.stringMatching(/^message 3: a part of type "tool-weather", in the state "dreaming", has no place/) as string, expect.stringMatching(/^message 3: a part of type "hologram" has no place/) as string,
      expect.stringMatching(/^message 4: it has no list of parts/) as string,
    ]);
  });

  it('loses what a redaction removes, wherever it was kept', () => {
    const once = imported({ id: 'a', messages: [user(text('secret', { extra: 'secret too' })), says(start, text('fine'))] });
    expect(JSON.stringify(once.entries.filter(({ kind }) => kind !== 'user-message'))).not.toContain('secret');
  });

  it('has what is left of a turn of which something was redacted, each with who said it', () => {
    const once = imported({ id: 'a', messages: [user(text('hi')), says(start, text('one'), start, text('two'))] });
    const without = (redacts: (entry: Entry) => boolean): unknown => {
      const entries = once.entries.map((entry) => (redacts(entry) ? redactEntry(entry, { atMs: 1, by: 'ada' }) : entry));
      return (uiConversation(once.session, entries)['messages'] as unknown as UIMessage[]).map(({ role, parts }) => [role, ...parts.flatMap((part) => (part.type === 'text' ? [part.text] : []))]);
    };
    const [first, second] = once.entries.filter(({ kind }) => kind === 'assistant-step');
    expect(without(({ kind }) => kind === 'user-message')).toEqual([['user', '[redacted]'], ['assistant', 'one', 'two']]);
    expect(without((entry) => entry === first)).toEqual([['user', 'hi'], ['assistant', '[redacted]', 'two']]);
    expect(without((entry) => entry === second)).toEqual([['user', 'hi'], ['assistant', 'one', '[redacted]']]);
    expect(without((entry) => entry === first || entry === second)).toEqual([['user', 'hi'], ['assistant', '[redacted]', '[redacted]']]);
  });

  it('loses with the end of a turn, once that is redacted, what stood behind it and has no entry', () => {
    const once = imported({ id: 'a', messages: [user(text('hi')), says(start, text('fine')), { id: 's', role: 'system', parts: [text('secret')] }] });
    const saying = once.entries.filter((entry) => JSON.stringify(entry).includes('secret'));
    expect(saying.map((entry) => [entry.kind, isRedactable(entry)])).toEqual([['turn-ended', true]]);
    const entries = once.entries.map((entry) => (saying.includes(entry) ? redactEntry(entry, { atMs: 1, by: 'ada' }) : entry));
    expect(JSON.stringify(entries)).not.toContain('secret');
    expect(uiConversation(once.session, entries)['messages']).toMatchObject([{ role: 'user' }, { role: 'assistant' }]);
  });

  it('is what the AI SDK takes, goes to a model, and is the same again when it is imported from an export of another format', async () => {
    const messages = [user(text('weather?')), says(start, call('output-available', { output: { degrees: 21 } }), start, text('21 degrees')), user(text('and there?')), says(start, call('output-error', { errorText: 'no' }), start, text('no idea'))];
    const once = imported({ id: 'a', messages });
    const exported = uiConversation(once.session, once.entries)['messages'] as unknown as UIMessage[];
    expect(await validateUIMessages({ messages: exported })).toHaveLength(4);
    const chat = chatConversation(once.session, once.entries);
    const again = imported(chat, importCommand);
    const fromChat = uiConversation(again.session, again.entries)['messages'] as unknown as UIMessage[];
    expect(await validateUIMessages({ messages: fromChat })).toHaveLength(4);
    const plain = (list: Awaited<ReturnType<typeof convertToModelMessages>>): unknown => list.map(({ role, content }) => [role, typeof content === 'string' ? content : content.map((part) => ('text' in part ? part.text : part.type))]);
    expect(plain(await convertToModelMessages(fromChat))).toEqual(plain(await convertToModelMessages(exported)));
  });

  it('is known by its parts', () => {
    expect([isUiConversation([]), isUiConversation([{ role: 'user', content: 'x' }]), isUiConversation([{ role: 'user', parts: [] }])]).toEqual([false, false, true]);
  });

  it('comes out as it went in, whatever parts it has in whatever order', () => {
    const part = fc.oneof(
      fc.constantFrom<object>(start, text('a'), text(''), { type: 'reasoning', text: 'r' }, { type: 'data-x', data: 1 }, { type: 'odd' }, ...states.map(([, each]) => each)),
      fc.json().map((each) => JSON.parse(each) as object),
    );
    const message = fc.record({ id: fc.string({ minLength: 1, maxLength: 4 }), role: fc.constantFrom('user', 'user', 'assistant', 'assistant', 'assistant', 'system', 'odd'), parts: fc.array(part, { maxLength: 6 }) });
    fc.assert(fc.property(fc.array(message, { maxLength: 8 }), (messages) => {
      const line = JSON.parse(JSON.stringify({ id: 'a', messages })) as JsonObject;
      const once = imported(line);
      expect(uiConversation(once.session, once.entries)).toEqual(line);
      expect(problems(once)).toEqual([]);
    }), { seed: seedOf('UIMessages'), numRuns: Number(process.env['HOLDFAST_EXCHANGE_RUNS'] ?? 200) });
  });
});
