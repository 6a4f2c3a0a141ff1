import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import type { EntryKind, EntryOf } from '../../src/core/entry.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { tool, type SessionHandle } from '../../src/index.ts';
import type { System } from '../../src/core/system.ts';
import { fakeSystem, type FakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration, type ScriptedModel } from '../../src/testing/scripted-model.ts';
import type { Hooks } from '../../src/worker/hooks.ts';
import { labelKinds } from '../../src/worker/hooks.ts';
import { startChild } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { openStore, stores } from '../support/stores.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

const answering = () => scriptedModel([], { otherwise: ({ prompt }) => `answer ${prompt.length}` });
const titling = (...generations: readonly ScriptedGeneration[]): ScriptedModel => scriptedModel(generations, { modelId: 'cheap-1' });

async function ofKind<Kind extends EntryKind>(session: SessionHandle, kind: Kind): Promise<readonly EntryOf<Kind>[]> {
  return (await session.entries()).filter((entry): entry is EntryOf<Kind> => entry.kind === kind);
}

/** Says something and waits for the answer; what is made of it in the background is not waited for. */
async function turn(session: SessionHandle, text = 'go'): Promise<void> {
  expect((await (await session.send(text)).result).reason).toBe('complete');
}

/** Waits until nothing is wanted any more. */
async function settled({ store }: Holdfast): Promise<void> {
  await eventually('all labels to be made', async () => (await store.readOutbox({ limit: 1_000, olderThanMs: store.nowMs() + 3_600_000 })).length === 0);
}

/** Timers that the test fires, of a process whose store is real: closing waits for what the store does. */
function ownTimers({ clock, ids, random }: FakeSystem): System {
  return { clock, ids, random };
}

const overloaded = { error: Object.assign(new Error('overloaded'), { code: 'overloaded_error' }) };

describe.each(stores)('labels, on $name', ({ newUrl }) => {
  async function bench(labels: Partial<Pick<AgentOptions, 'titles' | 'summaries' | 'model' | 'tools'>>, options: { readonly url?: string; readonly hooks?: Hooks } = {}) {
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: answering(), ...labels })], store: options.url ?? await newUrl(), ...(options.hooks && { hooks: options.hooks }) });
    const session = await holdfast.sessions.create({ agent: 'one' });
    return { holdfast, session, labelled: () => settled(holdfast) };
  }

  it('are none where an agent declares none: no wish, and nothing in the outbox', async () => {
    const { holdfast, session } = await bench({});
    await turn(session);
    expect([await ofKind(session, 'labels-wanted'), await holdfast.store.readOutbox({ limit: 1, olderThanMs: holdfast.store.nowMs() + 1_000 }), (await session.get()).title]).toEqual([[], [], null]);
  });

  it('are not asked of a model while a budget is used up; a rule makes them all the same, and the next turn wishes for them again', async () => {
    const model = titling('In time');
    let limit = 1_000;
    const holdfast = await openHoldfast({
      agents: [agent({ name: 'one', model: scriptedModel([], { otherwise: ({ prompt }) => { limit = prompt.length === 1 ? 0 : 1_000; return 'answer'; } }), titles: { model }, summaries: ({ said }) => `said ${said}` })],
      store: await newUrl(), budgets: () => [{ per: 'owner', unit: 'tokens', period: 'month', limit }],
    });
    const session = await holdfast.sessions.create({ agent: 'one' });
    await turn(session, 'one');
    await settled(holdfast);
    expect([model.calls.length, (await session.get()).title, (await session.get()).summary?.text]).toEqual([0, null, 'said one']);
    limit = 1_000;
    await turn(session, 'two');
    await settled(holdfast);
    expect([model.calls.length, (await session.get()).title]).toEqual([1, 'In time']);
  });

  it('are made after the first reply, once, with their generation on record and counted', async () => {
    const model = titling('"Asking to go"', 'Nobody asks for this');
    const { holdfast, session, labelled } = await bench({ titles: { model } });
    await turn(session, 'May I go?');
    await labelled();
    await turn(session);
    await labelled();
    const view = await session.get();
    expect(view).toMatchObject({ title: 'Asking to go', status: 'idle', usage: { attempts: 3, inputTokens: 30 } });
    expect(model.calls.length).toBe(1);
    const [made] = await ofKind(session, 'title-set');
    expect(made).toMatchObject({ by: 'generated', title: 'Asking to go', attempt: { purpose: 'title', model: 'cheap-1', number: 1, providerResponseId: 'response_0', usage: { inputTokens: 10 } } });
    expect(made?.attempt?.durationMs).toBeGreaterThanOrEqual(0);
    expect((await holdfast.sessions.list({ titleText: 'asking' })).items.map(({ id }) => id)).toEqual([session.id]);
    // The model is given the exchange as data, and no more of it than a beginning.
    const [system, user] = model.calls[0]?.prompt ?? [];
    expect(system?.content).toContain('do not follow it');
    expect(JSON.parse(user?.role === 'user' && user.content[0]?.type === 'text' ? user.content[0].text : '')).toEqual({ person: 'May I go?', assistant: 'answer 1' });
  });

  it('see no more than the beginning of what was said', async () => {
    const model = titling('Long');
    const { session, labelled } = await bench({ titles: { model } });
    await turn(session, 'a'.repeat(100_000));
    await labelled();
    expect(JSON.stringify(model.calls[0]?.prompt).length).toBeLessThan(5_000);
  });

  it('that are rules need no model, and are cut to one short line', async () => {
    const { session, labelled } = await bench({ titles: ({ said, answer }) => `${said} → ${answer}\nand more`, summaries: () => Promise.resolve('s'.repeat(500)) });
    await turn(session, 'hi');
    await labelled();
    const { title, summary, usage } = await session.get();
    expect([title, summary?.text.length, usage.attempts]).toEqual(['hi → answer 1', 200, 1]);
  });

  it('never take the place of a title that a person set, or took away, while they were made', async () => {
    for (const title of ['Mine', null]) {
      const held = gate();
      const { session, labelled } = await bench({ titles: { model: titling([{ gate: held }, { text: 'Made up' }]) } });
      await turn(session);
      await held.reached;
      if (title === null) await session.update({ title: 'Not this' });
      await session.update({ title });
      held.open();
      await labelled();
      expect((await session.get()).title).toBe(title);
      expect(await ofKind(session, 'label-failed')).toMatchObject([{ label: 'title', error: { code: 'superseded' }, attempt: { usage: { inputTokens: 10 } } }]);
      // And is not wanted again.
      await turn(session);
      expect((await ofKind(session, 'labels-wanted')).length).toBe(1);
    }
  });

  it('hold nothing up: the next turn runs, and the session is at rest, while they are made', async () => {
    const held = gate();
    const { session, labelled } = await bench({ titles: { model: titling([{ gate: held }, { text: 'Late' }]) } });
    await turn(session);
    await held.reached;
    const before = await session.get();
    expect([before.status, before.title]).toEqual(['idle', null]);
    await turn(session, 'and this?');
    held.open();
    await labelled();
    expect(await session.get()).toMatchObject({ title: 'Late', turns: 2 });
  });

  it('that fail, or say nothing, are tried again after the next turn and leave the turn alone', async () => {
    const { session, labelled } = await bench({ titles: { model: titling([overloaded], '  \n ""', 'At last') } });
    for (const expected of [null, null, 'At last']) {
      await turn(session);
      await labelled();
      expect(await session.get()).toMatchObject({ title: expected, status: 'idle', error: null });
    }
    expect((await ofKind(session, 'label-failed')).map(({ error, attempt }) => [error.code, attempt.purpose])).toEqual([['overloaded', 'title'], ['empty_label', 'title']]);
    expect((await session.get()).usage.attempts).toBe(6);
  });

  it('are not made of turns that failed or were stopped', async () => {
    const model = scriptedModel([[{ error: Object.assign(new Error('bad key'), { code: 'authentication_error' }) }], 'better']);
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model, titles: () => 'Made' })], store: await newUrl() });
    const session = await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
    expect((await session.firstTurn?.result)?.reason).toBe('failed');
    expect(await ofKind(session, 'labels-wanted')).toEqual([]);
    await turn(session, 'again');
    await settled(holdfast);
    expect((await session.get()).title).toBe('Made');
  });

  it('of turns are the last visible one\'s: a rewinding takes them away, and the next turn has its own', async () => {
    const { session, labelled } = await bench({ summaries: ({ said }) => `about ${said}` });
    await turn(session, 'one');
    await labelled();
    const first = await session.get();
    await turn(session, 'two');
    await labelled();
    const second = await session.get();
    expect([first.summary?.text, second.summary?.text]).toEqual(['about one', 'about two']);
    await session.rewind(first.summary?.turnId ?? '');
    expect((await session.get()).summary).toBe(null);
    await turn(session, 'three');
    await labelled();
    expect((await session.get()).summary?.text).toBe('about three');
  });

  it('of a turn that was rewound away while it was made are not the session\'s', async () => {
    const held = gate();
    const { session, labelled } = await bench({ summaries: { model: titling('first', [{ gate: held }, { text: 'second' }]) } });
    await turn(session);
    await labelled();
    const { summary } = await session.get();
    await turn(session);
    await held.reached;
    await session.rewind(summary?.turnId ?? '');
    held.open();
    await labelled();
    expect((await session.get()).summary).toEqual(summary);
    expect(await ofKind(session, 'label-failed')).toMatchObject([{ label: 'summary', error: { code: 'superseded' } }]);
  });

  it('go with the redaction of what they were made of, in the row and in the log', async () => {
    const { session, labelled } = await bench({ titles: ({ said }) => `On ${said}`, summaries: ({ said }) => `about ${said}` });
    await turn(session, 'secret');
    await labelled();
    const [message] = await ofKind(session, 'user-message');
    await session.redact(message?.seq ?? 0);
    expect(await session.get()).toMatchObject({ title: null, summary: null });
    expect(JSON.stringify((await session.entries()).filter(({ kind }) => kind !== 'assistant-step'))).not.toContain('secret');
    // A new one is made of what is said next.
    await turn(session, 'weather');
    await labelled();
    expect((await session.get()).title).toBe('On weather');
  });

  it('go with the redaction of a message that joined the turn, also where that is named as it was queued', async () => {
    const held = gate();
    const { session, labelled } = await bench({ titles: ({ answer }) => `On ${answer}`, model: scriptedModel([[{ gate: held }, { text: 'wait' }], 'the secret']) });
    const running = await session.send('hello');
    await held.reached;
    await session.send({ text: 'secret', whenBusy: 'steer' });
    held.open();
    await running.result;
    await labelled();
    expect((await session.get()).title).toBe('On the secret');
    const [queued] = await ofKind(session, 'message-queued');
    await session.redact(queued?.seq ?? 0);
    expect((await session.get()).title).toBe(null);
    expect(JSON.stringify((await session.entries()).filter(({ kind }) => kind !== 'assistant-step'))).not.toContain('secret');
  });

  it('are made of what the agent said last, not of a note beside it', async () => {
    const held = gate();
    const submit = tool({ inputSchema: z.object({}), stopAfter: true, execute: async () => (await held.pass(), 'sent') });
    const { session, labelled } = await bench({ summaries: ({ answer }) => `It said: ${answer}`, tools: { submit }, model: scriptedModel([[{ text: 'Sending it.' }, { call: 'submit', input: {} }]]) });
    const running = await session.send('send it');
    await held.reached;
    await session.send({ text: 'a note', visibility: 'user' });
    held.open();
    expect((await running.result).reason).toBe('stop_after_tool');
    await labelled();
    expect((await session.get()).summary?.text).toBe('It said: Sending it.');
  });

  it('are made although a note comes, or the history is compacted, before they are', async () => {
    for (const then of [async (session: SessionHandle) => session.send({ text: 'a note', visibility: 'user' }), async (session: SessionHandle) => (await session.compact()).result]) {
      const held = gate();
      const { session, labelled } = await bench({ summaries: { model: titling([{ gate: held }, { text: 'Going' }]) } });
      await turn(session);
      await held.reached;
      await then(session);
      await then(session).catch(() => undefined);
      held.open();
      await labelled();
      expect((await session.get()).summary?.text).toBe('Going');
    }
  });

  it('are dropped when what they are made of is redacted meanwhile', async () => {
    const held = gate();
    const { session, labelled } = await bench({ titles: { model: titling([{ gate: held }, { text: 'The secret' }]) } });
    await turn(session, 'secret');
    await held.reached;
    const [message] = await ofKind(session, 'user-message');
    await session.redact(message?.seq ?? 0);
    held.open();
    await labelled();
    expect([(await session.get()).title, (await ofKind(session, 'label-failed'))[0]?.error.code]).toEqual([null, 'superseded']);
  });

  it('are told apart from hooks: one that fails for ever repeats no label, and a label that hangs repeats no hook', async () => {
    const held = gate();
    const called: string[] = [];
    const model = titling([{ gate: held }, { text: 'Title' }]);
    const { session } = await bench({ titles: { model } }, { hooks: { onTurnEnd: ({ entry }) => { called.push(entry.turnId); throw new Error('no'); } } });
    await turn(session);
    await held.reached;
    held.open();
    await eventually('the title', async () => (await session.get()).title);
    expect([called.length, model.calls.length]).toEqual([1, 1]);
  });

  it('are made of two hundred sessions at once, eight at a time', async () => {
    let running = 0;
    let most = 0;
    const { holdfast } = await bench({
      titles: async ({ said }) => {
        running += 1;
        most = Math.max(most, running);
        await new Promise<void>((resolve) => { setImmediate(resolve); });
        running -= 1;
        return `On ${said}`;
      },
    });
    const sessions = await Promise.all(Array.from({ length: 200 }, (_, count) => holdfast.sessions.create({ agent: 'one', message: { text: `go ${count}` } })));
    await Promise.all(sessions.map(async ({ firstTurn }) => firstTurn?.result));
    await settled(holdfast);
    const titles = await Promise.all(sessions.map(async (session) => (await session.get()).title));
    expect(titles).toEqual(sessions.map((_, count) => `On go ${count}`));
    expect(most).toBeLessThanOrEqual(8);
  });

  it('of a process that dies in the middle are made by another, which records what was lost', async () => {
    const url = await newUrl();
    const child = startChild('test/worker/children/labels-process.ts', { url });
    const { sessionId } = await child.hears('answered');
    await child.hears('titling');
    await child.signal('SIGKILL');
    // A minute later by the store's clock.
    const store = wrappedStore(await openStore(url, labelKinds), { nowMs: (inner) => inner.nowMs() + 60_000 });
    const system = fakeSystem({ seed: 2 });
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: answering(), titles: { model: titling('Saved') } })], store, system: ownTimers(system) });
    await system.advance(11_000);
    const session = await holdfast.sessions.get(String(sessionId));
    expect(await eventually('the title', async () => (await session.get()).title)).toBe('Saved');
    expect(await ofKind(session, 'label-failed')).toMatchObject([{ label: 'title', error: { code: 'lost' }, attempt: { purpose: 'title', usage: null } }]);
    expect((await session.get()).usage.attempts).toBe(3);
  });

  it('whose commit fails are made again: the wish stays, and what was generated counts as lost', async () => {
    let failing = false;
    let shiftMs = 0;
    const store = wrappedStore(await openStore(await newUrl(), labelKinds), {
      nowMs: (inner) => inner.nowMs() + shiftMs,
      update: (inner, request) => (failing ? Promise.reject(new Error('the disk is full')) : inner.update(request)),
    });
    const system = fakeSystem();
    const logged: string[] = [];
    const model = titling(() => { failing = true; return 'Not kept'; }, 'Kept');
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: answering(), titles: { model } })], store, system: ownTimers(system), log: (_level, event) => logged.push(event) });
    const session = await holdfast.sessions.create({ agent: 'one' });
    await turn(session);
    await eventually('the commit to fail', () => logged.includes('hook-failed'));
    failing = false;
    shiftMs = 60_000;
    await system.advance(11_000);
    expect(await eventually('the title', async () => (await session.get()).title)).toBe('Kept');
    expect((await ofKind(session, 'label-failed')).map(({ error, attempt }) => [error.code, attempt.usage])).toEqual([['lost', null]]);
  });

  it('that a process left are made by one that works only when it is called', async () => {
    const url = await newUrl();
    const child = startChild('test/worker/children/labels-process.ts', { url });
    const { sessionId } = await child.hears('answered');
    await child.hears('titling');
    await child.signal('SIGKILL');
    const store = wrappedStore(await openStore(url, labelKinds), { nowMs: (inner) => inner.nowMs() + 60_000 });
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: answering(), titles: { model: titling('Drained') } })], store, worker: false });
    await holdfast.drain({ deadlineMs: 15_000 });
    expect((await (await holdfast.sessions.get(String(sessionId))).get()).title).toBe('Drained');
  });

  it('come along into a fork as what they are: the title goes with the redaction of what it was made of there too', async () => {
    const { session, labelled } = await bench({ titles: ({ said }) => `On ${said}` });
    await turn(session, 'secret');
    await labelled();
    const copy = await session.fork();
    expect((await copy.get()).title).toBe('On secret');
    const [message] = await ofKind(copy, 'user-message');
    await copy.redact(message?.seq ?? 0);
    expect([(await copy.get()).title, (await session.get()).title]).toEqual([null, 'On secret']);
    expect((await (await session.fork({ title: 'Mine' })).get()).title).toBe('Mine');
  });

  it('of one turn are made by one process at a time, and never set twice', async () => {
    const url = await newUrl();
    const held = gate();
    const first = await bench({ titles: { model: titling([{ gate: held }, { text: 'First' }]) } }, { url });
    await turn(first.session);
    await held.reached;
    // The second process finds the wish, old enough to be taken over, while the first is at it.
    const store = wrappedStore(await openStore(url, labelKinds), { readOutbox: (inner, query) => inner.readOutbox({ ...query, olderThanMs: query.olderThanMs + 60_000 }) });
    const system = fakeSystem({ seed: 2 });
    const second = titling('Second');
    let refused = 0;
    const looking = wrappedStore(store, {
      update: async (inner, request) => {
        const result = await inner.update(request);
        if (result.kind === 'refused' && result.refusal.refused === 'not_claimable') refused += 1;
        return result;
      },
    });
    await openHoldfast({ agents: [agent({ name: 'one', model: answering(), titles: { model: second } })], store: looking, system: ownTimers(system) });
    await system.advance(11_000);
    await eventually('the second process to have looked', () => refused > 0);
    held.open();
    await first.labelled();
    await system.advance(11_000);
    expect([(await first.session.get()).title, (await ofKind(first.session, 'title-set')).length, second.calls.length]).toEqual(['First', 1, 0]);
  });

  it('that another process has begun anew meanwhile are not set, and what was used for them is known', async () => {
    const url = await newUrl();
    const held = gate();
    const first = await bench({ titles: { model: titling([{ gate: held }, { text: 'First' }]) } }, { url });
    await turn(first.session);
    await held.reached;
    // A minute later by the store's clock, and the first process has not been heard of.
    const store = wrappedStore(await openStore(url, labelKinds), { nowMs: (inner) => inner.nowMs() + 60_000 });
    const system = fakeSystem({ seed: 2 });
    await openHoldfast({ agents: [agent({ name: 'one', model: answering(), titles: { model: titling('Second') } })], store, system: ownTimers(system) });
    await system.advance(11_000);
    await eventually('the title', async () => (await first.session.get()).title);
    held.open();
    await eventually('the usage that came late', async () => (await ofKind(first.session, 'late-usage')).length > 0);
    expect([(await first.session.get()).title, (await ofKind(first.session, 'title-set')).length]).toEqual(['Second', 1]);
    expect((await first.session.usage()).purposes).toMatchObject([{ purpose: 'step', attempts: 1 }, { purpose: 'title', attempts: 2, attemptsWithoutUsage: 0, inputTokens: 20 }]);
  });

  it('that are there already are not made again for a wish that is found once more', async () => {
    let shiftMs = 0;
    let left = 0;
    const store = wrappedStore(await openStore(await newUrl(), labelKinds), {
      nowMs: (inner) => inner.nowMs() + shiftMs,
      // The process has died in between, or another one had read the wish before it was taken away.
      deleteOutbox: async (inner, items) => { left += 1; if (left > 1) await inner.deleteOutbox(items); },
    });
    const system = fakeSystem();
    const models = { titles: { model: titling('Title', 'Another') }, summaries: { model: titling('Summary', 'Another') } };
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: answering(), ...models })], store, system: ownTimers(system) });
    const session = await holdfast.sessions.create({ agent: 'one' });
    await turn(session);
    await eventually('the labels', async () => left === 1 && (await session.get()).summary !== null);
    shiftMs = 60_000;
    await system.advance(11_000);
    await eventually('the wish to be delivered again', () => left > 1);
    expect([models.titles.model.calls.length, models.summaries.model.calls.length]).toEqual([1, 1]);
    expect(await session.get()).toMatchObject({ title: 'Title', summary: { text: 'Summary' } });
  });

  it('that are done when their process goes away are kept, and only the others are made again', async () => {
    const url = await newUrl();
    const held = gate();
    const agents = (summary: ScriptedModel) => [agent({ name: 'one', model: answering(), titles: { model: titling('Title') }, summaries: { model: summary } })];
    const holdfast = await openHoldfast({ agents: agents(titling([{ gate: held }, { text: 'never' }])), store: url, worker: { stopGraceMs: 50 } });
    const session = await holdfast.sessions.create({ agent: 'one' });
    await turn(session);
    await held.reached;
    await holdfast.close();
    const store = wrappedStore(await openStore(url, labelKinds), { nowMs: (inner) => inner.nowMs() + 60_000 });
    const system = fakeSystem({ seed: 2 });
    const next = await openHoldfast({ agents: agents(titling('Summary')), store, system: ownTimers(system) });
    await system.advance(11_000);
    const same = await next.sessions.get(session.id);
    expect((await eventually('the summary', async () => (await same.get()).summary)).text).toBe('Summary');
    expect((await same.get()).title).toBe('Title');
    expect((await same.usage()).purposes).toMatchObject([
      { purpose: 'step', attempts: 1 }, { purpose: 'title', attempts: 1, attemptsWithoutUsage: 0 }, { purpose: 'turn-summary', attempts: 2, attemptsWithoutUsage: 1 },
    ]);
  });

  it('cost the turn no commit: its entries are those of any turn, and one wish in the commit of its end', async () => {
    const commits: string[][] = [];
    const store = wrappedStore(await openStore(await newUrl(), labelKinds), {
      update: async (inner, request) => {
        const result = await inner.update(request);
        if (result.kind === 'committed' && result.entries.length > 0) commits.push(result.entries.map(({ kind }) => kind));
        return result;
      },
    });
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: answering(), titles: () => 'Title' })], store });
    const session = await holdfast.sessions.create({ agent: 'one' });
    await turn(session);
    await settled(holdfast);
    expect(commits).toEqual([['user-message'], ['assistant-step', 'turn-ended', 'labels-wanted'], ['title-set']]);
  });
});
