import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { foldTranscript, type TranscriptMessage } from '../../src/core/transcript.ts';
import { listTurns, readTurn, type TurnView } from '../../src/feed/turn-view.ts';
import { tool } from '../../src/index.ts';
import type { Entry } from '../../src/core/entry.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

interface Bench {
  readonly store: Store;
  readonly session: SessionHandle;
  /** Entries read from the log since it was last set back. */
  readonly reads: { entries: number };
}

/** A session in which a message `N` makes N tool calls, one after the other, before the answer. */
async function bench(): Promise<Bench> {
  const reads = { entries: 0 };
  const store = wrappedStore(await sqliteStore({ path: await temporaryDatabase(), system: realSystem() }), {
    readEntries: async (inner, ref, range) => {
      const entries = await inner.readEntries(ref, range);
      reads.entries += entries.length;
      return entries;
    },
  });
  const model = scriptedModel([], {
    otherwise: ({ prompt }) => {
      const asked = prompt.findLast(({ role }) => role === 'user');
      const calls = asked?.role === 'user' && asked.content[0]?.type === 'text' ? Number(asked.content[0].text) : 0;
      const answered = prompt.slice(prompt.findLastIndex(({ role }) => role === 'user')).filter(({ role }) => role === 'tool').length;
      return answered < calls ? [{ text: `look ${answered}` }, { call: 'look' }] : `done after ${calls}`;
    },
  });
  const look = tool({ recovery: 'rerun', inputSchema: z.object({}), execute: () => 'a lighthouse' });
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model, tools: { look }, limits: { maxSteps: 200 } })], store });
  return { store, reads, session: await holdfast.sessions.create({ agent: 'one' }) };
}

async function turns(session: SessionHandle, ...calls: readonly number[]): Promise<void> {
  for (const count of calls) expect((await (await session.send(String(count))).result).reason).toBe('complete');
}

async function log(store: Store, session: SessionHandle): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (;;) {
    const page = await store.readEntries({ tenant: 'default', id: session.id }, { afterSeq: entries.length, limit: 500 });
    entries.push(...page);
    if (page.length === 0) return entries;
  }
}

async function row(store: Store, session: SessionHandle) {
  const found = await store.readSession({ tenant: 'default', id: session.id });
  if (found === null) throw new Error('the session is there');
  return found;
}

/** All messages, page by page from the end. */
async function allPages(session: SessionHandle, limit: number): Promise<readonly (readonly TranscriptMessage[])[]> {
  const pages: (readonly TranscriptMessage[])[] = [];
  for (let before: number | undefined; ;) {
    const { items, nextCursor } = await session.messages({ limit, ...(before === undefined ? {} : { before }) });
    pages.unshift(items);
    if (nextCursor === null) return pages;
    before = nextCursor;
  }
}

describe('the messages of a session', () => {
  it('come in pages of any size that are together the whole conversation, each message once', async () => {
    const { store, session } = await bench();
    await turns(session, 0, 3, 0, 60, 1, 0, 2);
    const whole = foldTranscript(await log(store, session), (await row(store, session)).visible);
    expect(whole).toHaveLength(14);
    for (const limit of [1, 2, 3, 7, 100]) {
      const pages = await allPages(session, limit);
      expect(pages.flat(), `pages of ${limit}`).toEqual(whole);
      for (const page of pages.slice(1)) expect(page).toHaveLength(limit);
    }
  });

  it('cost what a page costs, however long the conversation (G11)', async () => {
    const { reads, session } = await bench();
    const costs: number[] = [];
    for (const more of [20, 60]) {
      await turns(session, ...Array.from({ length: more }, () => 1));
      reads.entries = 0;
      const { items } = await session.messages({ limit: 20 });
      expect(items).toHaveLength(20);
      costs.push(reads.entries);
    }
    expect(costs[1]).toBe(costs[0]);
  });

  it('of a session in which nothing was said yet are none', async () => {
    const { session } = await bench();
    expect(await session.messages()).toEqual({ items: [], nextCursor: null });
  });
});

describe('the turns of a session', () => {
  it('come in pages, each turn whole and once, and are what each of them is when it is read alone', async () => {
    const { store, session } = await bench();
    await turns(session, 0, 3, 0, 110, 1, 0);
    const whole = (await listTurns(store, await row(store, session), { limit: 100 })).items;
    expect(whole.map(({ text, status, steps }) => [text, status, steps])).toEqual([0, 3, 0, 110, 1, 0].map((calls) => [`done after ${calls}`, 'ended', calls + 1]));
    for (const limit of [1, 2, 4]) {
      const pages: TurnView[] = [];
      for (let before: number | undefined; ;) {
        const { items, nextCursor } = await listTurns(store, await row(store, session), { before, limit });
        pages.unshift(...items);
        expect(items.length).toBeLessThanOrEqual(limit);
        if (nextCursor === null) break;
        before = nextCursor;
      }
      expect(pages).toEqual(whole);
    }
    const entries = await log(store, session);
    for (const view of whole) {
      const opened = ofKind(entries, 'user-message').find(({ turnId }) => turnId === view.id);
      expect(await readTurn(store, await row(store, session), view.id)).toEqual(view);
      expect(await readTurn(store, await row(store, session), view.id, (opened?.seq ?? 0) - 1)).toEqual(view);
    }
    expect(await readTurn(store, await row(store, session), 'turn_none')).toBeNull();
  });
});
