import { acceptEnd } from '../../core/accept/end.ts';
import { acceptSettings } from '../../core/accept/settings.ts';
import { settleGeneration } from '../../core/settle.ts';
import type { Session, SessionStatus } from '../../core/session.ts';
import type { SessionFilter } from '../store.ts';
import { attemptRecord, codeOf, committed, suiteRules, type ConformanceCase, type Kit } from './kit.ts';

async function titles(kit: Kit, filter: Partial<SessionFilter> = {}): Promise<readonly (string | null)[]> {
  const page = await kit.store.listSessions({ tenant: 'acme', limit: 100, count: true, ...filter });
  kit.expect(page.count).toBe(page.items.length);
  return page.items.map(({ title }) => title);
}

/** All pages, one after the other; `between` runs after each. */
async function pages(kit: Kit, filter: Partial<SessionFilter>, between: (page: number) => Promise<unknown> = async () => null): Promise<readonly (readonly Session[])[]> {
  const all: (readonly Session[])[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await kit.store.listSessions({ tenant: 'acme', limit: 4, count: false, ...filter, ...(cursor === undefined ? {} : { cursor }) });
    all.push(page.items);
    cursor = page.nextCursor;
    await between(all.length);
  }
  return all;
}

/** One session in each status. */
async function oneOfEach(kit: Kit): Promise<void> {
  await kit.create({ title: 'idle' });
  await kit.create({ title: 'ready', text: 'x' });
  await kit.inWork({ title: 'running' });
  const { ref, lease, attempt } = await kit.inWork({ title: 'failed' });
  const outcome = { kind: 'failed' as const, attempt: attemptRecord(attempt), error: { code: 'authentication', message: 'no', retryable: false }, retryAfterMs: 0 };
  await kit.update(ref, settleGeneration(lease, outcome, suiteRules, kit.circumstances));
  committed(await kit.command(await kit.create({ title: 'ended' }), acceptEnd({})));
}

/** What `listSessions` promises. */
export const listCases: readonly ConformanceCase[] = [
  {
    name: 'sessions are listed whole, the most recently active first',
    run: async (kit) => {
      const { expect } = kit;
      const made: Session[] = [];
      for (const title of ['a', 'b', 'c']) {
        kit.nowMs += 1_000;
        made.push(await kit.create({ title }));
      }
      expect(await titles(kit)).toEqual(['c', 'b', 'a']);
      kit.nowMs += 1_000;
      await kit.send({ tenant: 'acme', id: made[0]?.id ?? '' }, 'again');
      expect(await titles(kit)).toEqual(['a', 'c', 'b']);
      kit.nowMs += 1_000;
      await kit.touch({ tenant: 'acme', id: made[1]?.id ?? '' }, 'b renamed');
      expect(await titles(kit)).toEqual(['a', 'c', 'b renamed']);
      const page = await kit.store.listSessions({ tenant: 'acme', limit: 100, count: false });
      for (const item of page.items) expect(item).toEqual(await kit.store.readSession({ tenant: 'acme', id: item.id }));
      expect(page.count).toBe(null);
    },
  },
  {
    name: 'a list is of one status, agent, owner or archive state, or of several of these together',
    run: async (kit) => {
      const { expect } = kit;
      await oneOfEach(kit);
      for (const status of ['idle', 'ready', 'running', 'failed', 'ended'] satisfies SessionStatus[]) expect(await titles(kit, { status })).toEqual([status]);
      const shelved = await kit.create({ title: 'shelved', agent: 'other', owner: 'bob' });
      committed(await kit.command(shelved, acceptSettings({ archived: true })));
      expect(await titles(kit, { agent: 'other' })).toEqual(['shelved']);
      expect(await titles(kit, { archived: true })).toEqual(['shelved']);
      expect((await titles(kit, { archived: false })).length).toBe(5);
      expect(await titles(kit, { owner: 'bob', status: 'idle', archived: true, agent: 'other' })).toEqual(['shelved']);
      expect(await titles(kit, { owner: 'ada', archived: true })).toEqual([]);
      committed(await kit.command(shelved, acceptSettings({ archived: false })));
      expect((await titles(kit, { archived: false })).length).toBe(6);
    },
  },
  {
    name: 'a text is found in titles literally, letters of either case',
    run: async (kit) => {
      const { expect } = kit;
      for (const title of ['100% sure', '100 percent', 'snake_case', 'snakeXcase', 'back\\slash', 'it\'s "quoted"', 'ÜBER Äpfel']) await kit.create({ title });
      await kit.create();
      const found: Record<string, readonly string[]> = {
        '%': ['100% sure'], '_': ['snake_case'], '100%': ['100% sure'], 'SNAKE_': ['snake_case'], '\\': ['back\\slash'], '\'s "Q': ['it\'s "quoted"'],
        'über ä': ['ÜBER Äpfel'], 'ÄPFEL': ['ÜBER Äpfel'], 'nowhere': [], '__': [],
      };
      for (const [titleText, expected] of Object.entries(found)) expect([titleText, await titles(kit, { titleText })]).toEqual([titleText, expected]);
      expect((await titles(kit, { titleText: 'snake' })).length).toBe(2);
    },
  },
  {
    name: 'a changed title is found, and the title before is not',
    run: async (kit) => {
      const { expect } = kit;
      const session = await kit.create({ title: 'Before' });
      await kit.touch(session, 'After');
      expect([await titles(kit, { titleText: 'after' }), await titles(kit, { titleText: 'before' })]).toEqual([['After'], []]);
      committed(await kit.command(session, acceptSettings({ title: null })));
      expect(await titles(kit, { titleText: 'after' })).toEqual([]);
    },
  },
  {
    name: 'pages follow each other without a gap or a repetition, also among sessions of the same moment',
    run: async (kit) => {
      const { expect } = kit;
      const ids: string[] = [];
      for (let place = 0; place < 22; place += 1) {
        if (place % 5 === 0) kit.nowMs += 1;
        ids.push((await kit.create({ title: `t${place}`, ...(place % 2 === 0 ? { owner: 'bob' } : {}) })).id);
      }
      const all = await pages(kit, {});
      expect(all.map(({ length }) => length)).toEqual([4, 4, 4, 4, 4, 2]);
      expect(new Set(all.flat().map(({ id }) => id))).toEqual(new Set(ids));
      const order = all.flat().map(({ activeAtMs }) => activeAtMs);
      expect(order).toEqual(order.toSorted((left, right) => right - left));
      const bobs = await pages(kit, { owner: 'bob' });
      expect([bobs.flat().length, new Set(bobs.flat().map(({ owner }) => owner))]).toEqual([11, new Set(['bob'])]);
      expect((await pages(kit, { limit: 22 })).length).toBe(1);
    },
  },
  {
    name: 'sessions that stay where they are come exactly once while others move between the pages',
    run: async (kit) => {
      const { expect } = kit;
      const all: Session[] = [];
      for (let place = 0; place < 20; place += 1) {
        kit.nowMs += 10;
        all.push(await kit.create());
      }
      const moved = new Set<string>();
      const listed = (await pages(kit, {}, async (page) => {
        kit.nowMs += 10;
        const mover = all[page * 3];
        if (mover === undefined) return;
        moved.add(mover.id);
        await kit.send({ tenant: 'acme', id: mover.id }, 'back to the top');
        await kit.create({ tenant: 'acme' });
      })).flat().map(({ id }) => id);
      expect(new Set(listed).size).toBe(listed.length);
      expect(all.filter(({ id }) => !moved.has(id) && !listed.includes(id))).toEqual([]);
      expect(moved.size > 3).toBe(true);
    },
  },
  {
    name: 'the count is of all that match, on every page',
    run: async (kit) => {
      const { expect, store } = kit;
      for (let place = 0; place < 7; place += 1) await kit.create({ title: place < 5 ? 'match' : 'none' });
      const first = await store.listSessions({ tenant: 'acme', titleText: 'match', limit: 2, count: true });
      const second = await store.listSessions({ tenant: 'acme', titleText: 'match', limit: 2, count: true, cursor: first.nextCursor ?? '' });
      expect([first.count, second.count, first.items.length, second.items.length]).toEqual([5, 5, 2, 2]);
    },
  },
  {
    name: 'what is no cursor is refused as an invalid request',
    run: async (kit) => {
      const { expect, store } = kit;
      await kit.create();
      for (const cursor of ['', 'x', '12', '12.', '.ses_1', '12.crm-1', '1\' OR 1=1', '99999999999999999999.ses_1', '1.ses_1.']) {
        expect([cursor, await codeOf(store.listSessions({ tenant: 'acme', limit: 2, count: false, cursor }))]).toEqual([cursor, 'invalid_request']);
      }
    },
  },
];
