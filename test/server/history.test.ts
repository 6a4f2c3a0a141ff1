import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import { limits } from '../../src/core/limits.ts';
import { foldTranscript } from '../../src/core/transcript.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openEvents, type EventStream } from '../support/event-stream.ts';
import { everySession } from '../support/http-server.ts';
import { foldEntry } from '../support/log-fold.ts';
import { emptySession } from '../../src/core/session.ts';
import { edited, moved, serveHistory, type ServedHistory } from '../support/served-history.ts';

/** A conversation of three turns, at rest. */
async function conversation(): Promise<ServedHistory & { readonly turnIds: readonly [string, string, string] }> {
  const session = await serveHistory();
  return { ...session, turnIds: [await session.say('one'), await session.say('two'), await session.say('three')] };
}

describe('rewinding', () => {
  it('shortens the history to a turn, and redo brings back what it cut off', async () => {
    const session = await conversation();
    const { turnIds: [first, second] } = session;
    const rewound = await session.post('/rewind', { turnId: first });
    expect(rewound).toMatchObject({ status: 200, json: { turns: 2, effects: [], moreEffects: false } });
    expect(await session.said()).toEqual(['one']);
    const seen = await session.get('');
    expect(seen.json).toMatchObject({ status: 'idle', redo: { fromTurnId: second, turns: 2 }, branches: { count: 0 }, revision: moved(rewound).revision });
    expect((await session.get('/branches')).json).toMatchObject({ items: [], redo: { fromTurnId: second, turns: 2 } });
    expect(await session.post('/redo')).toMatchObject({ status: 200, json: { turns: 2 } });
    expect(await session.said()).toEqual(['one', 'two', 'three']);
    expect((await session.get('')).json).toMatchObject({ redo: null, branches: { count: 0 } });
  });

  it('takes turns from the list of turns, and leaves them to be found by their ids', async () => {
    const session = await conversation();
    const { turnIds } = session;
    const listed = async (query = '') => (await session.get(`/turns${query}`)).json.items.map(({ id }) => id);
    await session.post('/rewind', { turnId: turnIds[0] });
    expect(await listed()).toEqual([turnIds[0]]);
    expect((await session.get(`/turns/${turnIds[1]}`)).json).toMatchObject({ id: turnIds[1], status: 'ended' });
    const fourth = await session.say('four');
    expect(await listed()).toEqual([turnIds[0], fourth]);
    const last = (await session.get('/turns?limit=1')).json;
    expect([last.items.map(({ id }) => id), (await session.get(`/turns?limit=1&before=${String(last.nextCursor)}`)).json]).toMatchObject([[fourth], { items: [{ id: turnIds[0] }], nextCursor: null }]);
  });

  it('again goes further back, and redo brings back all of it', async () => {
    const session = await conversation();
    const { turnIds: [first, second] } = session;
    await session.post('/rewind', { turnId: second });
    await session.post('/rewind', { turnId: first });
    expect((await session.get('')).json).toMatchObject({ redo: { fromTurnId: second, turns: 2 } });
    expect(moved(await session.post('/redo')).turns).toBe(2);
    expect(await session.said()).toEqual(['one', 'two', 'three']);
  });

  it('to nothing leaves an empty conversation that goes on', async () => {
    const session = await conversation();
    expect(moved(await session.post('/rewind', { turnId: null })).turns).toBe(3);
    expect((await session.get('/messages')).json).toEqual({ items: [], nextCursor: null });
    await session.say('anew');
    expect(await session.said()).toEqual(['anew']);
    expect(JSON.stringify(session.served.model.calls.at(-1)?.prompt)).not.toMatch(/one|two|three/);
    expect(await session.branches()).toMatchObject([{ fromTurnId: session.turnIds[0], turns: 3 }]);
  });

  it('where nothing comes after it, and redoing where nothing was cut off, changes nothing', async () => {
    const session = await conversation();
    const before = await session.entries();
    expect(moved(await session.post('/rewind', { turnId: session.turnIds[2] })).turns).toBe(0);
    expect(moved(await session.post('/redo')).turns).toBe(0);
    expect(await session.entries()).toEqual(before);
  });

  it('is final for redo once the conversation goes on: what was cut off is a branch', async () => {
    const session = await conversation();
    await session.post('/rewind', { turnId: session.turnIds[0] });
    await session.say('elsewhere');
    expect(moved(await session.post('/redo')).turns).toBe(0);
    expect(await session.said()).toEqual(['one', 'elsewhere']);
    expect(await session.branches()).toMatchObject([{ fromTurnId: session.turnIds[1], turns: 2 }]);
  });

  it('shows the model what is visible, and nothing that was left', async () => {
    const session = await conversation();
    await session.post('/rewind', { turnId: session.turnIds[0] });
    await session.say('elsewhere');
    const texts = (session.served.model.calls.at(-1)?.prompt ?? []).flatMap(({ role, content }) => (role === 'user' ? content.map((part) => (part.type === 'text' ? part.text : '')) : []));
    expect(texts).toEqual(['one', 'elsewhere']);
  });
});

describe('editing a message', () => {
  it('leaves its turn and all after it as a branch, and runs what is said in its place', async () => {
    const session = await conversation();
    const { turnIds: [, second] } = session;
    const reply = await session.post('/edit', { turnId: second, text: 'two instead', messageId: 'm-2' });
    expect(reply).toMatchObject({ status: 202, json: { messageId: 'm-2', queued: false, turns: 2, effects: [] } });
    expect(await session.settled(edited(reply).turnId)).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(await session.said()).toEqual(['one', 'two instead']);
    expect(await session.branches()).toMatchObject([{ fromTurnId: second, turns: 2 }]);
    // One commit: whoever saw the branch saw the message.
    const kinds = (await session.entries()).map(({ kind }) => kind);
    expect(kinds.slice(kinds.indexOf('history-rewound')).slice(0, 3)).toEqual(['history-rewound', 'branch-discarded', 'user-message']);
  });

  it('is refused while the session is archived', async () => {
    const session = await conversation();
    await session.served.request('PATCH', session.path, { archived: true });
    expect((await session.post('/edit', { turnId: session.turnIds[0], text: 'no' })).json.code).toBe('session_archived');
    expect((await session.post('/retry')).json.code).toBe('session_archived');
  });
});

describe('retrying', () => {
  it('says the last visible turn\'s message again, whatever was left', async () => {
    const session = await conversation();
    const { turnIds: [first, second] } = session;
    await session.post('/rewind', { turnId: second });
    const reply = await session.post('/retry');
    await session.settled(edited(reply).turnId);
    expect([reply.status, edited(reply).turns, await session.said()]).toEqual([202, 1, ['one', 'two']]);
    const again = await session.post('/retry', { turnId: first });
    await session.settled(edited(again).turnId);
    expect([edited(again).turns, await session.said()]).toEqual([2, ['one']]);
  });

  it('says all of it: files, tools of the client, who said it; on another model if asked', async () => {
    const other = scriptedModel([], { otherwise: 'from the other one', modelId: 'other-1' });
    const session = await serveHistory({ agent: { models: { other } } });
    const message = {
      parts: [{ type: 'text', text: 'look at this' }, { type: 'file', mediaType: 'image/png', data: 'iVBORw0KGgo=', filename: 'a.png' }],
      clientTools: [{ name: 'location', inputSchema: { type: 'object' } }], actor: { type: 'user', id: '7' }, metadata: { from: 'test' },
    };
    const sent = await session.post('/messages', message);
    await session.settled(sent.json.turnId);
    const retried = edited(await session.post('/retry', { model: 'other' }));
    expect(await session.settled(retried.turnId)).toMatchObject({ text: 'from the other one' });
    const [first, second] = await session.entriesOf('user-message');
    const { messageId: _id, turnId: _turn, seq: _seq, atMs: _at, model: _model, ...content } = second ?? {};
    expect(content).toEqual({ kind: 'user-message', v: 1, ...message });
    expect(second?.messageId).not.toBe(first?.messageId);
    expect([other.calls[0]?.prompt, other.calls[0]?.options.tools?.map(({ name }) => name)]).toEqual([session.served.model.calls[0]?.prompt, ['location']]);
    expect((await session.post('/retry', { model: 'nobody' })).json.code).toBe('model_not_allowed');
  });

  it('of a conversation in which nothing was said is refused', async () => {
    const session = await serveHistory({ agent: { greet: true } });
    const { turnId } = (await session.entriesOf('turn-started'))[0] ?? { turnId: '' };
    await session.settled(turnId);
    for (const body of [{}, { turnId }]) expect((await session.post('/retry', body))).toMatchObject({ status: 404, json: { code: 'turn_not_found' } });
  });
});

describe('a branch', () => {
  it('is restored as it was; what was visible in its place is a branch then', async () => {
    const session = await conversation();
    await session.settled(edited(await session.post('/edit', { turnId: session.turnIds[1], text: 'two instead' })).turnId);
    const [branch] = await session.branches();
    expect(await session.post(`/branches/${branch?.id}/restore`)).toMatchObject({ status: 200, json: { turns: 2 } });
    expect(await session.said()).toEqual(['one', 'two', 'three']);
    const [left, ...others] = await session.branches();
    expect([left?.turns, others]).toEqual([1, []]);
    expect((await session.post(`/branches/${branch?.id}/restore`)).json.code).toBe('branch_not_found');
    await session.post(`/branches/${left?.id}/restore`);
    expect(await session.said()).toEqual(['one', 'two instead']);
  });

  it('is listed a page at a time, the latest first', async () => {
    const session = await conversation();
    for (const text of ['a', 'b', 'c']) await session.settled(edited(await session.post('/edit', { turnId: (await session.get('/turns?limit=1')).json.items[0]?.id, text })).turnId);
    const all = (await session.branches()).map(({ id }) => id);
    const page = (await session.get('/branches?limit=2')).json;
    expect(page.items.map(({ id }) => id)).toEqual(all.slice(0, 2));
    expect((await session.get(`/branches?limit=2&before=${page.nextCursor}`)).json).toMatchObject({ items: [{ id: all[2] }], nextCursor: null });
  });

  it('comes of a turn that another message replaces, and can be restored', async () => {
    const held = gate();
    const session = await serveHistory({ script: ['ok', [{ text: 'half' }, { gate: held }]] });
    await session.say('one');
    await session.post('/messages', { text: 'two' });
    await held.reached;
    const { turnId } = (await session.post('/messages', { text: 'two instead', whenBusy: 'replace' })).json;
    await session.settled(turnId);
    expect(await session.said()).toEqual(['one', 'two instead']);
    const [branch] = await session.branches();
    await session.post(`/branches/${branch?.id}/restore`);
    expect(await session.said()).toEqual(['one', 'two']);
    expect((await session.get('/messages')).json.items.at(-1)).toMatchObject({ role: 'assistant', metadata: { end: 'stopped' }, parts: [{ type: 'step-start' }, { text: 'half' }] });
    held.open();
  });

  it('is gone with its session', async () => {
    const session = await conversation();
    await session.settled(edited(await session.post('/edit', { turnId: session.turnIds[0], text: 'anew' })).turnId);
    await session.served.request('DELETE', session.path);
    expect((await session.get('/branches')).json.code).toBe('session_not_found');
    expect(await session.served.holdfast.store.listBranches({ tenant: 'default', id: session.id }, { limit: 10 })).toEqual({ items: [], nextCursor: null });
  });
});

const moves = [['/rewind', { turnId: null }], ['/redo', {}], ['/edit', { turnId: 'FIRST', text: 'no' }], ['/retry', {}], ['/branches/BRANCH/restore', {}]] as const;

function filled(session: { readonly turnIds: readonly string[] }, path: string, body: object, branchId: string): readonly [path: string, body: object] {
  return [path.replace('BRANCH', branchId), JSON.parse(JSON.stringify(body).replace('FIRST', session.turnIds[0] ?? '')) as object];
}

describe('every move', () => {
  it.each(moves)('is refused while a turn runs, unless it is to be stopped: %s', async (path, body) => {
    const held = gate();
    const session = await serveHistory({ script: ['ok', 'ok', [{ gate: held }]] });
    const turnIds = [await session.say('one'), await session.say('two')];
    await session.post('/rewind', { turnId: turnIds[0] });
    const { turnId } = (await session.post('/messages', { text: 'running' })).json;
    await held.reached;
    const [branch] = await session.branches();
    const before = await everySession(session.served);
    const [at, with_] = filled({ turnIds }, path, body, branch?.id ?? '');
    expect(await session.post(at, with_)).toMatchObject({ status: 409, json: { code: 'session_busy', turnId } });
    expect(await everySession(session.served)).toEqual(before);
    if (path !== '/redo') expect((await session.post(at, { ...with_, stop: true })).status).toBeLessThan(300);
    held.open();
  });

  it.each(moves)('is refused once the session has ended: %s', async (path, body) => {
    const session = await conversation();
    await session.settled(edited(await session.post('/edit', { turnId: session.turnIds[2], text: 'three instead' })).turnId);
    const [branch] = await session.branches();
    await session.post('/end');
    expect((await session.post(...filled(session, path, body, branch?.id ?? ''))).json.code).toBe('session_ended');
  });

  it.each(moves)('is refused to one who has not seen what happened since: %s', async (path, body) => {
    const session = await conversation();
    await session.settled(edited(await session.post('/edit', { turnId: session.turnIds[2], text: 'three instead' })).turnId);
    const [branch] = await session.branches();
    const seen = (await session.get('')).headers.get('etag') ?? '';
    await session.say('meanwhile');
    const before = await everySession(session.served);
    const [at, with_] = filled(session, path, body, branch?.id ?? '');
    expect(await session.post(at, with_, { 'if-match': seen })).toMatchObject({ status: 409, json: { code: 'revision_conflict' } });
    expect(await everySession(session.served)).toEqual(before);
    const now = (await session.get('')).headers.get('etag') ?? '';
    expect((await session.post(at, with_, { 'if-match': now })).status).toBeLessThan(300);
  });

  it.each(moves)('has one effect and one reply by its Idempotency-Key, whatever has happened since: %s', async (path, body) => {
    const session = await conversation();
    await session.settled(edited(await session.post('/edit', { turnId: session.turnIds[2], text: 'three instead' })).turnId);
    if (path === '/redo') await session.post('/rewind', { turnId: session.turnIds[0] });
    const [branch] = await session.branches();
    const [at, with_] = filled(session, path, body, branch?.id ?? '');
    const replies = await Promise.all(Array.from({ length: 5 }, () => session.post(at, with_, { 'idempotency-key': 'once' })));
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    expect(replies.filter(({ headers }) => headers.get('idempotent-replayed') === 'true')).toHaveLength(4);
    await session.settled(edited(replies[0] as (typeof replies)[number]).turnId ?? (await session.say('on')));
    await session.post('/rewind', { turnId: null });
    expect((await session.post(at, with_, { 'idempotency-key': 'once' })).text).toBe(replies[0]?.text);
    if (path !== '/redo') expect((await session.post(at, { ...with_, stop: true }, { 'idempotency-key': 'once' })).json.code).toBe('idempotency_mismatch');
  });

  it('names a visible turn: no unknown one, and none in a branch', async () => {
    const session = await conversation();
    const { turnIds: [first, second] } = session;
    await session.post('/rewind', { turnId: first });
    for (const [path, body] of [['/rewind', {}], ['/edit', { text: 'no' }], ['/retry', {}]] as const) {
      expect(await session.post(path, { ...body, turnId: 'turn_unknown' })).toMatchObject({ status: 404, json: { code: 'turn_not_found' } });
      expect((await session.post(path, { ...body, turnId: second })).json).toMatchObject({ code: 'turn_not_found', detail: expect.stringContaining('in a branch') as string });
    }
    expect((await session.post('/branches/br_unknown/restore')).json.code).toBe('branch_not_found');
  });

  it('that would make a branch too many is refused; restoring makes none', async () => {
    const session = await conversation();
    const { store } = session.served.holdfast;
    await session.settled(edited(await session.post('/edit', { turnId: session.turnIds[2], text: 'three instead' })).turnId);
    await store.update({
      key: { tenant: 'default', id: session.id },
      transition: ({ session: now }) => ({ session: { ...now, branches: limits.branchesMax }, entries: [], dropsChunks: false, dropsOutcomes: false, deletesSession: false, reply: null }),
    });
    const before = await everySession(session.served);
    for (const [path, body] of [['/rewind', { turnId: null }], ['/edit', { turnId: session.turnIds[0], text: 'no' }], ['/retry', {}]] as const) {
      expect(await session.post(path, body)).toMatchObject({ status: 429, json: { code: 'branches_full', max: limits.branchesMax } });
    }
    expect(await everySession(session.served)).toEqual(before);
    const [branch] = await session.branches();
    expect((await session.post(`/branches/${branch?.id}/restore`)).status).toBe(200);
  });
});

/** What a follower shows, by nothing but the entries that it was sent. */
function shown(stream: EventStream): unknown {
  const entries = stream.frames.flatMap(({ data }): readonly Entry[] => (data?.type === 'entry' ? [data.entry] : []));
  const session = entries.reduce(foldEntry, emptySession({ tenant: 'default', id: 'ses' }, 0));
  return foldTranscript(entries, session.visible);
}

describe('a follower', () => {
  it('that saw everything, and one that joins after a move, show what the transcript shows', async () => {
    const session = await conversation();
    const { turnIds: [first, second] } = session;
    const from = (): Promise<EventStream> => openEvents(`${session.served.url}${session.path}/events`);
    const whole = await from();
    const steps = [
      () => session.post('/rewind', { turnId: first }),
      () => session.post('/redo'),
      () => session.post('/rewind', { turnId: second }),
      () => session.say('on'),
      async () => session.settled(edited(await session.post('/edit', { turnId: second, text: 'two instead' })).turnId),
      async () => session.settled(edited(await session.post('/retry')).turnId),
      async () => session.post(`/branches/${(await session.branches()).at(-1)?.id}/restore`),
      () => session.post('/rewind', { turnId: null }),
      async () => session.post(`/branches/${(await session.branches())[0]?.id}/restore`),
    ];
    for (const step of steps) {
      await step();
      const { items } = (await session.get('/messages?limit=100')).json;
      const lastSeq = (await session.get('')).json.lastSeq;
      const isThere = ({ data }: EventStream['frames'][number]): boolean => data?.type === 'entry' && data.entry.seq === lastSeq;
      const late = await from();
      await Promise.all([whole.until(isThere), late.until(isThere)]);
      expect(shown(whole)).toEqual(items);
      expect(shown(late)).toEqual(items);
      late.leave();
    }
  });
});
