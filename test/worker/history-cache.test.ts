import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { PromptHistory } from '../../src/agent/prompt.ts';
import type { Entry } from '../../src/core/entry.ts';
import { project } from '../../src/core/project.ts';
import { emptySession, type Session } from '../../src/core/session.ts';
import { tool } from '../../src/index.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { scriptedModel, type ScriptedModel } from '../../src/testing/scripted-model.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { HistoryCache } from '../../src/worker/history-cache.ts';
import { record } from '../support/feed-recording.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

interface Read {
  readonly afterSeq: number;
  readonly entries: number;
}

/** An agent that calls a tool in every turn, on a store whose reads of the log are noted; `tell` may be another process's. */
async function bench(options: { readonly historyCharsMax?: number; readonly sentByAnother?: boolean } = {}) {
  const path = await temporaryDatabase();
  const system = realSystem();
  const reads: Read[] = [];
  const store = wrappedStore(await sqliteStore({ path, system }), {
    readEntries: async (inner, key, range) => {
      const entries = await inner.readEntries(key, range);
      reads.push({ afterSeq: range.afterSeq ?? 0, entries: entries.length });
      return entries;
    },
  });
  const model = scriptedModel([], {
    otherwise: ({ prompt, number }) => {
      const last = prompt.at(-1);
      if (last?.role !== 'user') return `seen ${number}`;
      return JSON.stringify(last.content).includes('slowly') ? [{ text: ['shown ', 'so far'] }, { silent: true }] : [{ text: `looking ${number}` }, { call: 'look' }];
    },
  });
  const look = tool({ recovery: 'rerun', inputSchema: z.object({}), execute: () => 'a lighthouse' });
  const agents = [agent({ name: 'one', model, tools: { look } })];
  const worker = await openHoldfast({ agents, store, worker: options.historyCharsMax === undefined ? true : { historyCharsMax: options.historyCharsMax } });
  const other = options.sentByAnother === true ? await openHoldfast({ agents, store: `sqlite:${path}`, worker: false }) : worker;
  const session = await other.sessions.create({ agent: 'one' });
  return { session, model, reads, store };
}

/** A turn as its sender sees it; the results are read through another path than the one that is measured. */
async function turn(session: SessionHandle, text: string): Promise<void> {
  const { reason } = await (await session.send(text)).result;
  expect(reason).toBe('complete');
}

/** The prompt that a fresh fold of the whole log gives, for the model's last call. */
async function freshPrompt(session: SessionHandle, model: ScriptedModel, visible: Session['visible']): Promise<void> {
  const entries = await session.entries();
  const lastStep = ofKind(entries, 'assistant-step').at(-1)?.seq ?? 0;
  const history = new PromptHistory(visible);
  history.append(entries.filter(({ seq }) => seq < lastStep));
  expect(model.calls.at(-1)?.prompt).toEqual(history.messages);
}

describe('the history of a session in work', () => {
  it.each([{ by: 'this process', sentByAnother: false }, { by: 'another process', sentByAnother: true }])('is read only where it is new, however long the conversation (sent by $by)', async ({ sentByAnother }) => {
    const { session, model, reads, store } = await bench({ sentByAnother });
    for (let count = 0; count < 25; count += 1) {
      const before = (await session.get()).lastSeq;
      reads.length = 0;
      await turn(session, `turn ${count}`);
      // Of what was there before this turn nothing is read again by the worker; each read is bounded by the turn itself.
      expect(reads.filter(({ afterSeq, entries }) => afterSeq < before && entries > 6), `turn ${count}`).toEqual([]);
      expect(reads.reduce((sum, { entries }) => sum + entries, 0)).toBeLessThan(20);
    }
    const row = await store.readSession({ tenant: 'default', id: session.id });
    await freshPrompt(session, model, row?.visible ?? []);
    expect(model.calls.at(-1)?.prompt.filter(({ role }) => role === 'user')).toHaveLength(25);
  });

  it.each(['interrupt', 'replace'] as const)('is right after a turn that was stopped by a message with %s', async (whenBusy) => {
    const { session, model, store } = await bench();
    await turn(session, 'kept');
    const following = record(session);
    const running = await session.send('slowly');
    await following.until((event) => event.type === 'chunk' && event.turnId === running.id && event.segments.some(({ text }) => text.includes('so far')));
    const next = await session.send({ text: 'at once', whenBusy });
    expect(await next.result).toMatchObject({ reason: 'complete' });
    expect(await running.result).toMatchObject({ reason: 'stopped', text: 'shown so far' });
    const row = await store.readSession({ tenant: 'default', id: session.id });
    await freshPrompt(session, model, row?.visible ?? []);
    const prompt = JSON.stringify(model.calls.at(-1)?.prompt);
    // What was interrupted is part of the conversation; what was replaced is not.
    for (const text of ['slowly', 'shown so far']) expect(prompt.includes(text)).toBe(whenBusy === 'interrupt');
    for (const text of ['kept', 'at once']) expect(prompt).toContain(text);
    await turn(session, 'then');
    await freshPrompt(session, model, row?.visible ?? []);
  });

  it('is right when nothing may be kept in memory', async () => {
    const { session, model, store } = await bench({ historyCharsMax: 0 });
    for (let count = 0; count < 3; count += 1) await turn(session, `turn ${count}`);
    const row = await store.readSession({ tenant: 'default', id: session.id });
    await freshPrompt(session, model, row?.visible ?? []);
  });
});

describe('the cache of histories', () => {
  const charsEach = 1_100;

  /** A session with one message, and its history. */
  function known(id: string): { readonly session: Session; readonly history: PromptHistory } {
    const entry: Entry = { kind: 'user-message', seq: 1, v: 1, atMs: 0, turnId: 'turn_1', messageId: id, parts: [{ type: 'text', text: 'x'.repeat(charsEach - 100) }] };
    const session = project(emptySession({ tenant: 'default', id }, 0), entry);
    const history = new PromptHistory(session.visible);
    history.append([entry]);
    return { session, history };
  }

  it('keeps the ones used last, within its bound of characters', () => {
    const cache = new HistoryCache(charsEach * 3);
    const sessions = ['a', 'b', 'c', 'd'].map(known);
    for (const { session, history } of sessions.slice(0, 3)) cache.put(session, history);
    const [a, b, c, d] = sessions;
    if (a === undefined || b === undefined || c === undefined || d === undefined) throw new Error('four sessions');
    expect(cache.take(a.session)).toBe(a.history);
    cache.put(a.session, a.history);
    cache.put(d.session, d.history);
    expect(cache.take(b.session)).not.toBe(b.history);
    for (const { session, history } of [c, a, d]) expect(cache.take(session)).toBe(history);
  });

  it('gives a session to one run at a time, and takes it back from two', () => {
    const cache = new HistoryCache(charsEach * 3);
    const { session, history } = known('a');
    cache.put(session, history);
    expect(cache.take(session)).toBe(history);
    const second = cache.take(session);
    expect(second).not.toBe(history);
    // Two runs of one session end one after the other; that must not count twice.
    for (let count = 0; count < 10; count += 1) cache.put(session, history);
    const others = ['b', 'c'].map(known);
    for (const other of others) cache.put(other.session, other.history);
    for (const other of others) expect(cache.take(other.session)).toBe(other.history);
    expect(cache.take(session)).toBe(history);
  });

  it('keeps the longer of two histories of one session', () => {
    const cache = new HistoryCache(charsEach * 10);
    const { session, history } = known('a');
    cache.put(session, history);
    cache.put(session, new PromptHistory(session.visible));
    expect(cache.take(session)).toBe(history);
  });

  it('begins a history anew when another part of the log is visible', () => {
    const cache = new HistoryCache(charsEach * 10);
    const { session, history } = known('a');
    cache.put(session, history);
    const moved = cache.take({ ...session, visible: [{ fromSeq: 2, toSeq: null }] });
    expect(moved.messages).toEqual([]);
    expect(moved.lastSeq).toBe(0);
  });
});
