import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import { compactionRequestHead } from '../../src/agent/compaction-text.ts';
import { PromptHistory, summaryHead } from '../../src/agent/prompt.ts';
import { tool } from '../../src/index.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedCall, type ScriptedGeneration, type ScriptedItem } from '../../src/testing/scripted-model.ts';
import { startChild } from '../support/child-process.ts';
import { asksForSummary, promptTokens, userTexts } from '../support/checked-prompts.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { openStore, stores, type TestStore } from '../support/stores.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

/** Says what it is told to; a summary is `what was said` unless the test says otherwise. Counts what it is sent. */
function countingModel(answer: (call: ScriptedCall) => string | readonly ScriptedItem[], summary: ScriptedGeneration = 'what was said') {
  return scriptedModel([], {
    otherwise: (call) => {
      const made = asksForSummary(call.prompt) ? (typeof summary === 'function' ? summary(call) : summary) : answer(call);
      const items: readonly ScriptedItem[] = typeof made === 'string' ? [{ text: made }] : made;
      const total = promptTokens(call.prompt);
      const finish = items.some((item) => 'call' in item) ? 'tool-calls' : 'stop';
      return items.some((item) => 'finish' in item || 'error' in item) ? items : [...items, { finish, usage: { inputTokens: { total, noCache: total, cacheRead: 0, cacheWrite: 0 }, outputTokens: { total: 1, text: 1, reasoning: 0 } } }];
    },
  });
}

const filler = (name: string, words: number): string => `${name} ${'lorem '.repeat(words)}`.trim();
const small = { contextWindowTokens: 1_000 };

async function open(kind: TestStore, options: Partial<AgentOptions> & { readonly model: AgentOptions['model'] }) {
  const holdfast = await openHoldfast({ agents: [agent({ name: 'tester', limits: small, ...options })], store: await kind.newUrl() });
  return { holdfast, session: await holdfast.sessions.create({ agent: 'tester' }) };
}

async function say(session: SessionHandle, text: string) {
  return (await session.send(text)).result;
}

/** Turns of about 130 tokens each, all answered. */
async function talk(session: SessionHandle, turns: number, from = 1): Promise<void> {
  for (let turn = from; turn < from + turns; turn += 1) expect((await say(session, filler(`question ${turn}`, 50))).reason).toBe('complete');
}

const answering = ({ prompt }: ScriptedCall): string => filler(`answer to ${userTexts(prompt).at(-1)?.split(' ').slice(0, 2).join(' ')}`, 10);

describe.each(stores)('a history that grows too long on $name', (kind) => {
  it('is compacted before the generation that would go over 70 % of the window, within its turn', async () => {
    const model = countingModel(answering);
    const { session } = await open(kind, { model });
    await talk(session, 8);
    const entries = await session.entries();
    const [compacted] = ofKind(entries, 'history-compacted');
    expect(compacted).toMatchObject({ trigger: 'threshold', summary: 'what was said', windowTokens: 1_000, attempt: { purpose: 'compaction' } });
    expect(compacted?.tokensBefore).toBeGreaterThan(700);
    expect(compacted?.tokensAfter).toBeLessThan(400);
    expect(ofKind(entries, 'turn-ended').every(({ reason }) => reason === 'complete')).toBe(true);
    for (const { prompt } of model.calls) expect(promptTokens(prompt)).toBeLessThan(1_000);
    // In the turn that is about to answer: what was asked in it is not yet answered and stays.
    const at = entries.findIndex(({ kind: of }) => of === 'history-compacted');
    expect(entries[at - 1]?.kind).toBe('user-message');
    expect(entries[at + 1]?.kind).toBe('assistant-step');
    expect((await session.get()).usage.attempts).toBe(8 + ofKind(entries, 'history-compacted').length);
  });

  it('shows the model the summary and what follows, and people everything with a mark', async () => {
    const model = countingModel(answering);
    const { session } = await open(kind, { model });
    await talk(session, 6);
    const entries = await session.entries();
    const [compacted] = ofKind(entries, 'history-compacted');
    const [first = '', ...rest] = userTexts(model.calls.at(-1)?.prompt ?? []);
    expect(first).toBe(`${summaryHead}\nwhat was said`);
    expect(rest.join()).not.toContain('question 1');
    const { items } = await session.messages({ limit: 100 });
    expect(items.filter(({ role }) => role === 'user')).toHaveLength(6);
    expect(items.filter(({ parts }) => parts.some(({ type }) => type === 'text'))).toHaveLength(12);
    const marks = items.flatMap(({ parts }) => parts.filter(({ type }) => type === 'data-compaction'));
    const { seq, trigger, tokensBefore, tokensAfter } = compacted ?? {};
    expect(marks).toEqual([{ type: 'data-compaction', data: { seq, trigger, tokensBefore, tokensAfter } }]);
  });

  it('keeps calls with their results, and what has not been answered word for word, also in the middle of a turn', async () => {
    let steps = 0;
    const model = countingModel(() => {
      steps += 1;
      return steps % 8 === 0 ? 'at last' : [{ call: 'look', input: { step: steps } }];
    });
    const look = tool({ recovery: 'rerun', inputSchema: z.object({ step: z.number() }), execute: ({ step }) => filler(`result ${step}`, 60) });
    const { session } = await open(kind, { model, tools: { look } });
    const asked = filler('find out', 20);
    expect((await say(session, asked)).reason).toBe('complete');
    const entries = await session.entries();
    const compactions = ofKind(entries, 'history-compacted');
    expect(compactions.length).toBeGreaterThan(0);
    const [message] = ofKind(entries, 'user-message');
    for (const { keeps } of compactions) expect(keeps).toEqual([message?.seq]);
    for (const { prompt } of model.calls) {
      expect(promptTokens(prompt)).toBeLessThan(1_000);
      if (!asksForSummary(prompt)) expect(userTexts(prompt)).toContain(asked);
      else expect(userTexts(prompt).at(-1)).toContain('Result of look: result');
    }
  });

  it('is compacted when somebody asks, in a turn of its own that ends when the summary is there', async () => {
    const model = countingModel(answering);
    const { session } = await open(kind, { model });
    await talk(session, 2);
    const turn = await session.compact({ instructions: 'Keep the numbers.' });
    const parts = [];
    for await (const part of turn.stream) parts.push(part);
    expect(parts).toMatchObject([{ type: 'compaction', trigger: 'manual' }, { type: 'end', reason: 'complete' }]);
    expect(await turn.result).toMatchObject({ reason: 'complete', steps: 0, text: '' });
    const entries = await session.entries();
    expect(ofKind(entries, 'history-compacted')).toMatchObject([{ trigger: 'manual', instructions: 'Keep the numbers.', keeps: [] }]);
    expect(userTexts(model.calls.at(-1)?.prompt ?? []).at(-1)).toContain('Keep the numbers.');
    expect((await session.get()).context).toMatchObject({ windowTokens: 1_000 });
    await expect(session.compact()).rejects.toMatchObject({ code: 'nothing_to_compact' });
    await talk(session, 1, 3);
    expect(userTexts(model.calls.at(-1)?.prompt ?? [])).toEqual([`${summaryHead}\nwhat was said`, filler('question 3', 50)]);
    expect((await (await session.compact()).result).reason).toBe('complete');
    const request = userTexts(model.calls.at(-1)?.prompt ?? []).at(-1);
    expect(request).toContain('<summary>\nwhat was said\n</summary>');
    expect(request).not.toContain('question 2');
  });

  it('is not compacted while a turn runs, when there is nothing in it, and when the session is over', async () => {
    const held = gate();
    const model = countingModel(() => [{ gate: held }, { text: 'yes' }]);
    const { session } = await open(kind, { model });
    await expect(session.compact()).rejects.toMatchObject({ code: 'nothing_to_compact' });
    const turn = await session.send('go');
    await expect(session.compact()).rejects.toMatchObject({ code: 'session_busy' });
    held.open();
    await turn.result;
    await expect(session.compact({ instructions: '' })).rejects.toMatchObject({ code: 'invalid_request' });
    await session.end();
    await expect(session.compact()).rejects.toMatchObject({ code: 'session_ended' });
  });

  it('is shown whole again by a rewind to before its compaction, and by its summary again when that is brought back', async () => {
    const model = countingModel(answering);
    const { session } = await open(kind, { model });
    await talk(session, 2);
    const [first] = ofKind(await session.entries(), 'turn-ended');
    await (await session.compact()).result;
    await session.rewind(first?.turnId ?? '');
    await talk(session, 1, 3);
    expect(userTexts(model.calls.at(-1)?.prompt ?? [])).toEqual([filler('question 1', 50), filler('question 3', 50)]);
    const [branch] = (await session.branches.list()).items;
    await session.branches.restore(branch?.id ?? '');
    await talk(session, 1, 4);
    expect(userTexts(model.calls.at(-1)?.prompt ?? [])).toEqual([`${summaryHead}\nwhat was said`, filler('question 4', 50)]);
  });

  it('is as short in a fork of it, which needs the origin no more', async () => {
    const model = countingModel(answering);
    const { holdfast, session } = await open(kind, { model });
    await talk(session, 1);
    await session.send('a note', { idempotencyKey: 'n' }).then((turn) => turn.result);
    await (await session.compact()).result;
    await talk(session, 1, 2);
    const copy = await session.fork();
    await holdfast.sessions.get(session.id).then((origin) => origin.delete());
    await talk(copy, 1, 3);
    expect(userTexts(model.calls.at(-1)?.prompt ?? [])).toEqual([`${summaryHead}\nwhat was said`, filler('question 2', 50), filler('question 3', 50)]);
    expect((await copy.get()).usage.attempts).toBe(1);
  });

  it('is shown as it is again once something that a summary stands for was redacted, and compacted anew', async () => {
    const model = countingModel(() => 'so it is', ({ prompt }) => `summary of ${String(/question \d+|\[redacted\]/.exec(userTexts(prompt).at(-1) ?? '')?.[0])}`);
    const { session } = await open(kind, { model });
    await talk(session, 2);
    await (await session.compact()).result;
    const secret = ofKind(await session.entries(), 'user-message')[0];
    await session.redact(secret?.seq ?? 0);
    const entries = await session.entries();
    expect(ofKind(entries, 'entry-redacted').map(({ redactedKind }) => redactedKind)).toEqual(['user-message', 'history-compacted']);
    expect(JSON.stringify(entries)).not.toMatch(/question 1|summary of/);
    await talk(session, 1, 3);
    expect(userTexts(model.calls.at(-1)?.prompt ?? [])).toEqual(['[redacted]', filler('question 2', 50), filler('question 3', 50)]);
    await (await session.compact()).result;
    expect(ofKind(await session.entries(), 'history-compacted').at(-1)?.summary).toBe('summary of [redacted]');
  });

  it('is compacted when somebody asks although nothing was said since, once its summary was removed', async () => {
    const { session } = await open(kind, { model: countingModel(() => 'so it is') });
    await talk(session, 2);
    await (await session.compact()).result;
    await expect(session.compact()).rejects.toMatchObject({ code: 'nothing_to_compact' });
    await session.redact(ofKind(await session.entries(), 'user-message')[0]?.seq ?? 0);
    expect((await (await session.compact()).result).reason).toBe('complete');
    expect(ofKind(await session.entries(), 'history-compacted').map(({ redacted }) => redacted === undefined)).toEqual([false, true]);
    await expect(session.compact()).rejects.toMatchObject({ code: 'nothing_to_compact' });
  });

  it('is left as it is by a stop, while messages wait or are to join', async () => {
    const held = gate();
    const model = countingModel(answering, () => [{ gate: held }, { text: 'late' }]);
    const { session } = await open(kind, { model });
    await talk(session, 2);
    const turn = await session.compact();
    await model.called(2);
    const queued = await session.send('queued');
    const steered = await session.send({ text: 'steered', whenBusy: 'steer' });
    await session.stop({ turnId: turn.id });
    expect((await turn.result).reason).toBe('stopped');
    expect([(await steered.result).reason, (await queued.result).reason]).toEqual(['complete', 'complete']);
    held.open();
    const entries = await session.entries();
    expect(ofKind(entries, 'history-compacted')).toEqual([]);
    expect(ofKind(entries, 'attempt-stopped')).toMatchObject([{ attempt: { purpose: 'compaction' } }]);
    expect(ofKind(entries, 'user-message').map(({ parts }) => parts[0]).slice(-2)).toEqual([{ type: 'text', text: 'steered' }, { type: 'text', text: 'queued' }]);
  });

  it('is compacted before the messages that came meanwhile are answered', async () => {
    const held = gate();
    const model = countingModel(answering, () => [{ gate: held }, { text: 'what was said' }]);
    const { session } = await open(kind, { model });
    await talk(session, 2);
    const turn = await session.compact();
    await model.called(2);
    const queued = await session.send('queued');
    const steered = await session.send({ text: 'steered', whenBusy: 'steer' });
    held.open();
    await Promise.all([turn.result, queued.result, steered.result]);
    expect(ofKind(await session.entries(), 'turn-ended').map(({ reason }) => reason)).toEqual(['complete', 'complete', 'complete', 'complete', 'complete']);
    expect(userTexts(model.calls[3]?.prompt ?? [])).toEqual([`${summaryHead}\nwhat was said`, 'steered']);
    expect(userTexts(model.calls[4]?.prompt ?? [])).toEqual([`${summaryHead}\nwhat was said`, 'steered', 'queued']);
  });

  it('is compacted once although the process that began to went away, and the lost attempt is counted', async () => {
    const held = gate();
    const url = await kind.newUrl();
    const agents = (model: AgentOptions['model']) => [agent({ name: 'tester', limits: small, model })];
    const first = countingModel(answering, () => [{ gate: held }, { text: 'late' }]);
    const holdfast = await openHoldfast({ agents: agents(first), store: url, worker: { stopGraceMs: 0 } });
    const begun = await holdfast.sessions.create({ agent: 'tester' });
    await talk(begun, 2);
    const { id: turnId } = await begun.compact();
    await first.called(2);
    await holdfast.close();
    const other = await openHoldfast({ agents: agents(countingModel(answering)), store: url });
    const session = await other.sessions.get(begun.id);
    expect((await session.turn({ turnId }).result).reason).toBe('complete');
    const entries = await session.entries();
    expect(ofKind(entries, 'history-compacted').map(({ summary }) => summary)).toEqual(['what was said']);
    expect(ofKind(entries, 'attempt-lost')).toMatchObject([{ attempt: { purpose: 'compaction', usage: null } }]);
    expect((await session.get()).usage.attempts).toBe(4);
  });
});

describe.each(stores)('after kill -9 of a worker in the middle of a summary on $name', (kind) => {
  it.each(['asked for', 'at the threshold'])('another one makes it, once, and the turn completes (%s)', async (how) => {
    const url = await kind.newUrl();
    const child = startChild('test/worker/children/compaction-process.ts', { url, leaseMs: 1_000, ...small });
    await child.hears('ready');
    const watcher = await openHoldfast({ agents: [agent({ name: 'tester', model: scriptedModel([]) })], store: url, worker: false });
    const { id } = await watcher.sessions.create({ agent: 'tester' });
    const session = await watcher.sessions.get(id);
    for (const text of ['one', 'two']) await (await session.send(filler(text, how === 'asked for' ? 10 : 150))).result;
    const turn = how === 'asked for' ? await session.compact() : await session.send(filler('three', 150));
    await child.hears('summarising');
    await child.signal('SIGKILL');
    await openHoldfast({ agents: [agent({ name: 'tester', model: countingModel(() => 'yes'), limits: small })], store: url, worker: { leaseMs: 1_000 } });
    expect((await turn.result).reason).toBe('complete');
    const entries = await session.entries();
    expect(ofKind(entries, 'history-compacted').map(({ summary }) => summary)).toEqual(['what was said']);
    expect(ofKind(entries, 'attempt-lost').map(({ attempt }) => attempt.usage)).toEqual([null]);
    expect(JSON.stringify(entries)).not.toContain('half a summ');
    expect((await session.messages()).items.filter(({ role }) => role === 'user')).toHaveLength(how === 'asked for' ? 2 : 3);
  });
});

const [sqlite] = stores;

describe('a compaction', () => {
  if (sqlite === undefined) throw new Error('there is a store');

  it('reads what is too long for one prompt in pieces, each with the summary of those before', async () => {
    const model = countingModel(() => [{ text: 'answer' }], ({ number }) => `summary ${number}`);
    const { session } = await open(sqlite, { model, limits: { ...small, compactAtShare: null } });
    for (let turn = 1; turn <= 7; turn += 1) expect((await say(session, filler(`question ${turn}`, 60))).reason).toBe('complete');
    const before = model.calls.length;
    await (await session.compact()).result;
    const requests = model.calls.slice(before).map(({ prompt }) => userTexts(prompt).at(-1) ?? '');
    expect(requests.length).toBeGreaterThan(1);
    requests.slice(1).forEach((request, place) => expect(request).toContain(`<summary>\nsummary ${before + place}\n</summary>`));
    for (let turn = 1; turn <= 7; turn += 1) expect(requests.filter((request) => request.includes(filler(`question ${turn}`, 60)))).toHaveLength(1);
    const [compacted] = ofKind(await session.entries(), 'history-compacted');
    expect(compacted?.summary).toBe(`summary ${model.calls.length - 1}`);
    expect(compacted?.attempt.usage?.inputTokens).toBe(model.calls.slice(before).reduce((sum, { prompt }) => sum + promptTokens(prompt), 0));
  });

  it('is written by its own model with its own instructions, where the agent has them, and is sent no tools', async () => {
    const model = countingModel(answering);
    const writer = scriptedModel([], { otherwise: 'in short', modelId: 'writer' });
    const look = tool({ recovery: 'rerun', inputSchema: z.object({}), execute: () => 'seen' });
    const { session } = await open(sqlite, { model, tools: { look }, settings: { toolChoice: { type: 'required' } }, compaction: { model: writer, instructions: 'Be terse.' } });
    await talk(session, 1);
    await (await session.compact()).result;
    const [call] = writer.calls;
    expect(call?.prompt[0]).toEqual({ role: 'system', content: 'Be terse.' });
    expect(userTexts(call?.prompt ?? [])[0]).toMatch(new RegExp(`^${compactionRequestHead.replace('.', '\\.')}`));
    expect([call?.options.tools, call?.options.toolChoice]).toEqual([undefined, undefined]);
    expect(ofKind(await session.entries(), 'history-compacted')[0]).toMatchObject({ summary: 'in short', attempt: { model: 'writer' } });
  });

  it('makes pieces smaller that the provider finds too long: it counts otherwise than the estimate', async () => {
    const realMax = 450;
    const model = countingModel(answering, ({ prompt, number }) => (promptTokens(prompt) > realMax ? [{ error: new Error('maximum context length exceeded') }] : `summary ${number}`));
    const { session } = await open(sqlite, { model, limits: { ...small, compactAtShare: null } });
    await talk(session, 5);
    const before = model.calls.length;
    expect((await (await session.compact()).result).reason).toBe('complete');
    const sizes = model.calls.slice(before).map(({ prompt }) => promptTokens(prompt));
    expect(sizes[0]).toBeGreaterThan(realMax);
    expect(sizes.at(-1)).toBeLessThanOrEqual(realMax);
    const [compacted] = ofKind(await session.entries(), 'history-compacted');
    // What the provider refused it did not count: the sum is not known.
    expect(compacted?.attempt.usage).toBe(null);
  });

  it('that comes to nothing fails its turn with compaction_empty, and leaves the history as it is', async () => {
    const model = countingModel(answering, () => [{ text: ' \n' }]);
    const { session } = await open(sqlite, { model });
    await talk(session, 2);
    expect(await (await session.compact()).result).toMatchObject({ reason: 'failed', error: { code: 'compaction_empty', retryable: false } });
    await talk(session, 1, 3);
    expect(userTexts(model.calls.at(-1)?.prompt ?? [])).toHaveLength(3);
  });

  it('is tried again when the provider fails, as any generation is', async () => {
    let tries = 0;
    const model = countingModel(answering, () => {
      tries += 1;
      return tries === 1 ? [{ error: Object.assign(new Error('overloaded'), { code: 'overloaded_error' }) }] : 'what was said';
    });
    const { session } = await open(sqlite, { model });
    await talk(session, 1);
    expect((await (await session.compact()).result).reason).toBe('complete');
    expect(ofKind(await session.entries(), 'attempt-failed')).toMatchObject([{ attempt: { purpose: 'compaction' }, error: { code: 'overloaded' } }]);
  });

  it('that does not get a prompt under the window fails the turn with context_overflow and its figures; people still see everything', async () => {
    const model = countingModel(answering);
    const { session } = await open(sqlite, { model });
    await talk(session, 2);
    const result = await say(session, filler('far too long', 600));
    expect(result).toMatchObject({ reason: 'failed', error: { code: 'context_overflow', retryable: false } });
    expect(result.error?.message).toMatch(/^the prompt takes about 1\d{3} tokens and the model takes 1000, also now that the history has been compacted$/);
    expect(ofKind(await session.entries(), 'history-compacted')).toHaveLength(1);
    expect((await session.messages({ limit: 100 })).items.filter(({ role }) => role === 'user')).toHaveLength(3);
  });

  it('follows on a prompt that the provider finds too long, once, and then it is tried again', async () => {
    const tooLong = new Error('prompt is too long: 1100 tokens > 1000 maximum');
    let refusals = 1;
    const model = countingModel((call) => {
      if (call.number < 2 || refusals === 0) return answering(call);
      refusals -= 1;
      return [{ error: tooLong }];
    });
    const { session } = await open(sqlite, { model });
    await talk(session, 3);
    const entries = await session.entries();
    expect(ofKind(entries, 'attempt-failed')).toMatchObject([{ error: { code: 'context_overflow' }, compacts: true, retry: { delayMs: 0 } }]);
    expect(ofKind(entries, 'history-compacted')).toMatchObject([{ trigger: 'overflow' }]);
    refusals = Number.POSITIVE_INFINITY;
    expect(await say(session, 'and now?')).toMatchObject({ reason: 'failed', error: { code: 'context_overflow' } });
    expect(ofKind(await session.entries(), 'history-compacted')).toHaveLength(2);
  });
});

describe.each(stores)('a process that has not seen a session on $name', (kind) => {
  it('goes on from its last summary without reading what that stands for, with the same prompt as one that has', async () => {
    const url = await kind.newUrl();
    let steps = 0;
    // The provider uses the same id for every call.
    const model = countingModel(() => {
      steps += 1;
      return steps % 4 === 0 ? 'found' : [{ call: 'look', id: 'call_1', input: { step: steps } }];
    });
    const look = tool({ recovery: 'rerun', inputSchema: z.object({ step: z.number() }), execute: ({ step }) => filler(`result ${step}`, 20) });
    const agents = [agent({ name: 'tester', model, tools: { look }, limits: small, contextProviders: { profile: { version: () => '1', load: () => 'Ada' }, none: { version: () => '1', load: () => null } } })];
    const first = await openHoldfast({ agents, store: url });
    const { id } = await first.sessions.create({ agent: 'tester' });
    const session = await first.sessions.get(id);
    for (let turn = 1; turn <= 6; turn += 1) expect((await say(session, filler(`question ${turn}`, 10))).reason).toBe('complete');
    const row = await first.store.readSession({ tenant: 'default', id });
    const compacted = ofKind(await session.entries(), 'history-compacted').at(-1);
    expect(row?.compactedSeq).toBe(compacted?.seq);
    expect(compacted?.throughSeq).toBeGreaterThan(20);
    await first.close();

    const reads: number[] = [];
    const store = wrappedStore(await openStore(url), {
      readEntries: async (inner, key, range) => {
        reads.push(range.afterSeq ?? 0);
        return inner.readEntries(key, range);
      },
    });
    const other = await openHoldfast({ agents, store });
    const before = model.calls.length;
    const again = await other.sessions.get(id);
    const turn = await again.send('and now?');
    await model.called(before);
    await turn.result;
    expect(Math.min(...reads)).toBeGreaterThanOrEqual(compacted?.throughSeq ?? 0);
    const entries = await again.entries();
    const whole = new PromptHistory(row?.visible ?? []);
    whole.append(entries.filter(({ seq }) => seq <= (ofKind(entries, 'user-message').at(-1)?.seq ?? 0)));
    expect(model.calls[before]?.prompt).toEqual(whole.messages);
  });
});
