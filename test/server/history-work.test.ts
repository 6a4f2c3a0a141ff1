import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tool } from '../../src/agent/tool.ts';
import { gate, type Gate } from '../../src/testing/gate.ts';
import type { ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { effectNames, edited, historyOf, moved, serveHistory, type ServedHistory } from '../support/served-history.ts';
import { sessionOf } from '../support/paused-turn.ts';

const anything = z.object({}).loose();

/** `pay` is done once, `look` as often as one likes; `hold` waits at the gate and is not to be run twice; `ask` is put to a person. */
function toolsWith(held: Gate) {
  return {
    pay: tool({ inputSchema: anything, execute: () => 'paid' }),
    refuse: tool({ inputSchema: anything, execute: () => Promise.reject(new TypeError('no')) }),
    look: tool({ recovery: 'rerun', inputSchema: anything, execute: () => 'seen' }),
    hold: tool({ inputSchema: anything, execute: () => held.pass().then(() => 'held') }),
    report: tool({ inputSchema: anything, execute: () => 'x'.repeat(200_000) }),
    index: tool({ inputSchema: anything, background: 'detach', execute: () => held.pass().then(() => 'indexed') }),
    wait: tool({ inputSchema: anything, background: 'await', execute: () => held.pass().then(() => 'waited') }),
  };
}

async function working(script: readonly ScriptedGeneration[]): Promise<ServedHistory & { readonly held: Gate }> {
  const held = gate();
  return { ...(await serveHistory({ script, agent: { tools: toolsWith(held) } })), held };
}

const call = (name: string, input = {}) => ({ call: name, input });

describe('a rewind that stops the running turn', () => {
  it('while the model writes: nothing that it writes afterwards lands anywhere', async () => {
    const held = gate();
    const session = await serveHistory({ script: ['ok', [{ text: 'half' }, { gate: held }, { text: ' and half' }]] });
    const first = await session.say('one');
    const { turnId } = (await session.post('/messages', { text: 'two' })).json;
    await held.reached;
    expect(moved(await session.post('/rewind', { turnId: first, stop: true }))).toMatchObject({ turns: 1, effects: [] });
    const left = await session.entries();
    held.open();
    await session.say('three');
    const since = (await session.entries()).slice(left.length);
    expect(since.filter((entry) => 'turnId' in entry && entry.turnId === turnId)).toEqual([]);
    expect(since.map(({ kind }) => kind)).toEqual(['branch-discarded', 'user-message', 'assistant-step', 'turn-ended']);
    expect(await session.said()).toEqual(['one', 'three']);
  });

  it('while a tool runs: its call is listed as one that may have run, and what it comes to is kept beside it only', async () => {
    const session = await working(['ok', [call('hold', { amount: 7 })]]);
    const first = await session.say('one');
    const { turnId } = (await session.post('/messages', { text: 'two' })).json;
    await session.held.reached;
    const { effects } = moved(await session.post('/rewind', { turnId: first, stop: true }));
    expect(effects).toMatchObject([{ toolName: 'hold', turnId, input: { amount: 7 }, outcome: 'stopped', mayHaveRun: true }]);
    const left = await session.entries();
    session.held.open();
    await session.say('three');
    const since = (await session.entries()).slice(left.length);
    expect(since.filter((entry) => 'turnId' in entry && entry.turnId === turnId).filter(({ kind }) => kind !== 'late-result')).toEqual([]);
    expect(effectNames((await session.effects()).items)).toEqual(['hold stopped, may have run']);
  });

  it('holds the messages that waited for its end, until somebody releases them', async () => {
    const session = await working(['ok', [call('hold')]]);
    const first = await session.say('one');
    await session.post('/messages', { text: 'two' });
    await session.held.reached;
    const { turnId } = (await session.post('/messages', { text: 'waits' })).json;
    await session.post('/rewind', { turnId: first, stop: true });
    expect((await session.get('')).json).toMatchObject({ status: 'idle', queue: { held: true, count: 1 } });
    await session.post('/queue/release');
    await session.settled(turnId);
    expect(await session.said()).toEqual(['one', 'waits']);
    session.held.open();
  });

  it('cancels the operations of the turns that it leaves, unless they are to be kept', async () => {
    for (const keepOperations of [false, true]) {
      const session = await working(['ok', [call('index')], 'it runs']);
      const first = await session.say('one');
      await session.say('two');
      const [operation] = (await session.get('/operations')).json.items;
      expect(effectNames(moved(await session.post('/rewind', { turnId: first, keepOperations })).effects)).toEqual(['index done']);
      const status = (): Promise<string> => session.served.request('GET', `/v1/operations/${operation?.id}`).then(({ json }) => json.status);
      expect(await status()).toBe(keepOperations ? 'running' : 'cancelled');
      session.held.open();
    }
  });
});

describe('an edit of a turn that runs', () => {
  it('goes on with the messages that waited once its own turn is over', async () => {
    const session = await working([[call('hold')]]);
    const { turnId: first } = (await session.post('/messages', { text: 'one' })).json;
    await session.held.reached;
    const { turnId: waiting } = (await session.post('/messages', { text: 'waits' })).json;
    const reply = edited(await session.post('/edit', { turnId: first, text: 'one instead', stop: true }));
    expect(effectNames(reply.effects)).toEqual(['hold stopped, may have run']);
    await session.settled(waiting);
    expect(await session.said()).toEqual(['one instead', 'waits']);
    session.held.open();
  });

  it('that waits for somebody withdraws what it asked', async () => {
    const session = await serveHistory({ script: [[call('refund')], 'ok'], agent: { tools: { refund: tool({ inputSchema: anything, needsApproval: true, execute: () => 'refunded' }) } } });
    const { turnId } = (await session.post('/messages', { text: 'one' })).json;
    await session.settled(turnId);
    const [action] = await session.actions();
    const reply = edited(await session.post('/edit', { turnId, text: 'never mind', stop: true }));
    expect(reply.effects).toEqual([]);
    await session.settled(reply.turnId);
    expect((await session.post(`/actions/${action?.id}`, { type: 'approve' })).json.code).toBe('action_withdrawn');
  });
});

describe('effects', () => {
  it('are the calls that ran, or may have, of tools that are not to be run twice, in turns that are not visible any more', async () => {
    const session = await working([[call('pay', { to: 'ada' }), call('look'), call('refuse'), call('fly'), call('pay', { to: 'bob' })], 'done', [call('pay', { to: 'cy' })], 'done']);
    const turnIds = [await session.say('one'), await session.say('two')];
    expect(await session.effects()).toEqual({ items: [], nextCursor: null });
    const rewound = moved(await session.post('/rewind', { turnId: turnIds[0] }));
    expect(rewound.effects.map(({ toolName, input }) => [toolName, input])).toEqual([['pay', { to: 'cy' }]]);
    const again = moved(await session.post('/rewind', { turnId: null }));
    expect(effectNames(again.effects)).toEqual(['pay done', 'refuse failed', 'pay done']);
    const { items } = await session.effects();
    expect(items.map(({ input, turnId }) => [input, turnId])).toEqual([[{ to: 'cy' }, turnIds[1]], [{ to: 'ada' }, turnIds[0]], [{}, turnIds[0]], [{ to: 'bob' }, turnIds[0]]]);
    await session.post('/redo');
    expect((await session.effects()).items).toEqual([]);
  });

  it('come a page at a time, and no call is left out or comes twice', async () => {
    const session = await working(Array.from({ length: 60 }, (_, number): readonly ScriptedGeneration[] => [[call('pay', { number, part: 0 }), call('pay', { number, part: 1 })], 'done']).flat());
    const turns = 60;
    for (let turn = 0; turn < turns; turn += 1) await session.say(`turn ${turn}`);
    const rewound = moved(await session.post('/rewind', { turnId: null }));
    expect([rewound.effects.length, rewound.moreEffects]).toEqual([100, true]);
    const found: unknown[] = [];
    let cursor: number | null = null;
    do {
      const page = await session.effects(`?limit=3${cursor === null ? '' : `&before=${cursor}`}`);
      found.push(...page.items.map(({ callId }) => callId));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect([found.length, new Set(found).size]).toEqual([turns * 2, turns * 2]);
    expect(found.slice(0, 100)).toEqual(rewound.effects.map(({ callId }) => callId));
  });
});

describe('a fork', () => {
  it('is a session of its own with the same history, and outlives its origin, whole results too', async () => {
    const session = await working(['ok', [call('report')], 'done', 'from the fork']);
    await session.say('one');
    await session.say('two');
    const [step] = await session.entriesOf('assistant-step').then((steps) => steps.filter(({ parts }) => parts.some(({ type }) => type === 'tool-call')));
    const whole = (await session.get(`/calls/${step?.seq}-0/result`)).text;
    expect(whole.length).toBeGreaterThan(200_000);
    const reply = await session.post('/fork', { title: 'A copy' });
    expect(reply).toMatchObject({ status: 201, json: { turns: 2, session: { title: 'A copy', status: 'idle', owner: 'local', agent: 'tester', turns: 2, forkedFrom: { sessionId: session.id }, usage: { attempts: 0 } } } });
    const fork = historyOf(await sessionOf(session.served, reply.json.session.id));
    const transcript = async (of: ServedHistory) => (await of.get('/messages')).json.items.map(({ role, parts }) => ({ role, texts: parts.map(({ text }) => text ?? null) }));
    expect(await transcript(fork)).toEqual(await transcript(session));
    await session.served.request('DELETE', session.path);
    await fork.say('three');
    expect(await fork.said()).toEqual(['one', 'two', 'three']);
    expect(JSON.stringify(session.served.model.calls.at(-1)?.prompt)).toMatch(/one.*two.*three/);
    const [copied] = await fork.entriesOf('assistant-step').then((steps) => steps.filter(({ parts }) => parts.some(({ type }) => type === 'tool-call')));
    expect((await fork.get(`/calls/${copied?.seq}-0/result`)).text).toBe(whole);
    expect((await fork.get('')).json).toMatchObject({ usage: { attempts: 1 }, forkedFrom: { sessionId: session.id } });
  });

  it('ends at the turn that was named; with none named it has all, with null nothing', async () => {
    const session = await serveHistory();
    const turnIds = [await session.say('one'), await session.say('two')];
    for (const [body, expected] of [[{ turnId: turnIds[0] }, ['one']], [{}, ['one', 'two']], [{ turnId: null }, []]] as const) {
      const fork = historyOf(await sessionOf(session.served, (await session.post('/fork', body)).json.session.id));
      expect(await fork.said()).toEqual(expected);
      expect(await fork.say('on').then(() => fork.said())).toEqual([...expected, 'on']);
    }
    expect(await session.said()).toEqual(['one', 'two']);
    expect((await session.post('/fork', { turnId: 'turn_unknown' })).json.code).toBe('turn_not_found');
    await session.post('/rewind', { turnId: turnIds[0] });
    expect((await session.post('/fork', { turnId: turnIds[1] })).json.code).toBe('turn_not_found');
  });

  it('of a running turn ends what runs there as stopped; its model is told what may have run; the origin goes on', async () => {
    const session = await working([[call('hold'), call('wait'), call('look')]]);
    const { turnId } = (await session.post('/messages', { text: 'one' })).json;
    await session.held.reached;
    const reply = await session.post('/fork');
    const fork = historyOf(await sessionOf(session.served, reply.json.session.id));
    const [results] = await fork.entriesOf('tool-results');
    expect(results?.results.map(({ toolName, outcome, mayHaveRun }) => [toolName, outcome, mayHaveRun === true])).toEqual([['hold', 'stopped', true], ['wait', 'stopped', true], ['look', 'stopped', false]]);
    expect((await fork.get('')).json).toMatchObject({ status: 'idle', operations: { count: 0 }, actions: { count: 0 } });
    expect((await session.get('')).json).toMatchObject({ turnId, operations: { count: 1 } });
    session.held.open();
    expect(await session.settled(turnId)).toMatchObject({ reason: 'complete' });
    await fork.say('two');
    expect(JSON.stringify(session.served.model.calls.at(-1)?.prompt)).toContain('may have had its effect');
  });

  it('is made once by its key and by its external id', async () => {
    const session = await serveHistory();
    const first = await session.say('one');
    const second = await session.say('two');
    const body = { turnId: second, externalId: 'copy' };
    const replies = await Promise.all(Array.from({ length: 5 }, () => session.post('/fork', body, { 'idempotency-key': 'once' })));
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    await session.post('/rewind', { turnId: first });
    expect((await session.post('/fork', body, { 'idempotency-key': 'once' })).text).toBe(replies[0]?.text);
    expect(await session.post('/fork', { externalId: 'copy' })).toMatchObject({ status: 200, json: { session: { id: replies[0]?.json.session.id } } });
    const byName = async () => session.served.request('POST', '/v1/sessions/outside/fork', {}, { 'idempotency-key': 'once-more' });
    const outside = await session.served.newSession({ externalId: 'outside' });
    const named = (await byName()).text;
    await session.served.request('DELETE', `/v1/sessions/${outside}`);
    expect(await byName()).toMatchObject({ status: 201, text: named });
    await session.served.newSession({ externalId: 'another' });
    expect(await session.post('/fork', { externalId: 'another' })).toMatchObject({ status: 409, json: { code: 'external_id_taken' } });
    expect((await session.served.request('GET', '/v1/sessions?count=true')).json.count).toBe(4);
  });
});
