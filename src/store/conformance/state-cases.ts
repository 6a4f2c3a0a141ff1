import { acceptState } from '../../core/accept/state.ts';
import { acceptEdit } from '../../core/accept/edit.ts';
import { acceptRewind } from '../../core/accept/rewind.ts';
import { invariant, isRefusal } from '../../core/errors.ts';
import { stateMarks, stateMarksOfKey } from '../../core/history.ts';
import type { JsonValue } from '../../core/json.ts';
import { limits } from '../../core/limits.ts';
import { scopeText, type StateOperation, type StateWrite } from '../../core/state.ts';
import { StateWorld } from '../../core/state-world.ts';
import { listStateItems, readStateItem, readStateKeys, type StatePlace } from '../state-reader.ts';
import type { StateChangeResult } from '../state-store.ts';
import type { Idempotency, SessionRef, Store } from '../store.ts';
import { callPart, committed, doneResult, hasPeers, keyOf, suiteRules, type ConformanceCase, type Kit } from './kit.ts';
import { moving } from './branch-kit.ts';
import { settleCalls } from '../../core/settle.ts';
import { claim } from '../../core/claim.ts';

const strange = ['a', '%', '_', 'a%', 'a_b', 'a/b', '\\', "quote'\"", 'ключ', '😀', '😀'.repeat(255), '\u{E000}', ' ', 'a:b', '{"a":1}', '\u0001'];

function actorScope(id: string): string {
  return scopeText('actor', { agent: 'suite', owner: 'ada', actor: { type: 'user', id }, subject: null, binding: null }) ?? '';
}

function placeOf(text: string, tenant = 'acme'): StatePlace {
  return { kind: 'beside', scope: { tenant, scopeText: text } };
}

/** Makes one write beside sessions, as a command does. */
function change(kit: Kit, text: string, operation: StateOperation, { store = kit.store, tenant = 'acme', idempotency = [] as readonly Idempotency[] } = {}): Promise<StateChangeResult<JsonValue>> {
  const write: StateWrite = { ...operation, scopeText: text };
  return store.state.changeIfCurrent<JsonValue>({
    tenant, writes: [write], idempotency,
    transition: (loaded) => {
      const world = StateWorld.of(loaded, kit.nowMs);
      const done = world.write(write, { by: 'api' });
      return isRefusal(done) ? done : { rows: world.changes(), reply: done.item === null ? null : { value: done.item.value, version: done.item.version } };
    },
  });
}

function told(result: StateChangeResult<JsonValue>): JsonValue {
  return result.kind === 'refused' ? result.refusal.refused : result.reply;
}

/** Writes the conversation's state, as a command does. */
function write(kit: Kit, ref: SessionRef, operations: readonly StateOperation[], store = kit.store) {
  const writes = operations.map((operation): StateWrite => ({ ...operation, scopeText: '' }));
  return kit.command(ref, acceptState(writes, { by: 'api' }), { reads: { state: writes } }, store);
}

async function conversationOf(kit: Kit, ref: SessionRef, store = kit.store): Promise<Readonly<Record<string, JsonValue>>> {
  const session = await store.readSession(keyOf(ref));
  invariant(session !== null, 'the session is there');
  const { items } = await listStateItems(store, { kind: 'conversation', session }, {});
  return Object.fromEntries(items.map(({ key, value }) => [key, value]));
}

async function besideOf(store: Store, text: string): Promise<Readonly<Record<string, JsonValue>>> {
  return Object.fromEntries((await listStateItems(store, placeOf(text), {})).items.map(({ key, value }) => [key, value]));
}

export const stateCases: readonly ConformanceCase[] = [
  {
    name: 'a value is read back under any key, in a scope beside sessions and in a conversation, and a prefix is taken literally',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      const text = actorScope('bob');
      for (const key of strange) {
        await change(kit, text, { op: 'set', key, value: { of: key } });
        committed(await write(kit, session, [{ op: 'set', key, value: { of: key } }]));
      }
      const now = await store.readSession(keyOf(session));
      invariant(now !== null, 'the session is there');
      for (const place of [placeOf(text), { kind: 'conversation', session: now } as const]) {
        for (const key of strange) expect((await readStateItem(store, place, key))?.value).toEqual({ of: key });
        const whole = await listStateItems(store, place, {});
        expect(whole.items.map(({ key }) => key)).toEqual([...strange].sort());
        const first = await listStateItems(store, place, { limit: 5 });
        const second = await listStateItems(store, place, { limit: 100, cursor: first.nextCursor ?? '' });
        expect([...first.items, ...second.items].map(({ key }) => key)).toEqual([...strange].sort());
        expect((await listStateItems(store, place, { prefix: 'a%' })).items.map(({ key }) => key)).toEqual(['a%']);
        expect((await listStateItems(store, place, { prefix: 'a_' })).items.map(({ key }) => key)).toEqual(['a_b']);
        expect(await readStateItem(store, place, 'nothing')).toBe(null);
      }
    },
  },
  {
    name: 'null is a value, and a version is never used twice, whatever is deleted or cleared',
    run: async (kit) => {
      const { expect } = kit;
      const text = actorScope('bob');
      expect(told(await change(kit, text, { op: 'set', key: 'k', value: null, ifVersion: 0 }))).toEqual({ value: null, version: 1 });
      expect(told(await change(kit, text, { op: 'set', key: 'k', value: 1, ifVersion: 0 }))).toBe('state_version_conflict');
      expect(told(await change(kit, text, { op: 'delete', key: 'k', ifVersion: 1 }))).toBe(null);
      expect(told(await change(kit, text, { op: 'set', key: 'k', value: 2, ifVersion: 0 }))).toEqual({ value: 2, version: 2 });
      expect(told(await change(kit, text, { op: 'set', key: 'k', value: 2, ifVersion: 1 }))).toBe('state_version_conflict');
      await change(kit, text, { op: 'clear' });
      expect([await besideOf(kit.store, text), (await readStateKeys(kit.store, placeOf(text))).all]).toEqual([{}, []]);
      expect(told(await change(kit, text, { op: 'increment', key: 'k', by: 3 }))).toEqual({ value: 3, version: 3 });
    },
  },
  {
    name: 'a scope is one tenant\'s and one identity\'s',
    run: async (kit) => {
      const { expect, store } = kit;
      await change(kit, actorScope('bob'), { op: 'set', key: 'k', value: 1 });
      for (const place of [placeOf(actorScope('bob'), 'other'), placeOf(actorScope('eve'))]) expect([await readStateItem(store, place, 'k'), (await readStateKeys(store, place)).all]).toEqual([null, []]);
    },
  },
  {
    name: 'the scopes of a tenant are listed, each once, in pages, with the last version that each has used',
    run: async (kit) => {
      const { expect, store } = kit;
      const texts = Array.from({ length: 7 }, (_, number) => actorScope(`listed ${number}`));
      for (const [number, text] of texts.entries()) for (let times = 0; times <= number; times += 1) await change(kit, text, { op: 'set', key: 'k', value: times }, { tenant: 'lists' });
      const found: { scopeText: string; lastVersion: number }[] = [];
      for (let after: string | null | undefined; after !== null;) {
        const page = await store.state.listScopes({ tenant: 'lists', limit: 3, after });
        expect(page.items.length <= 3).toBe(true);
        found.push(...page.items);
        after = page.nextCursor;
      }
      expect(found.sort((left, right) => left.lastVersion - right.lastVersion)).toEqual(texts.map((scopeText, number) => ({ scopeText, lastVersion: number + 1 })));
      expect(await store.state.listScopes({ tenant: 'lists no other', limit: 3 })).toEqual({ items: [], nextCursor: null });
    },
  },
  {
    name: 'a scope takes a thousand keys and no more, until one is deleted or expires',
    run: async (kit) => {
      const { expect, store } = kit;
      const text = actorScope('bob');
      const writes = Array.from({ length: limits.stateKeysMax }, (_none, at): StateWrite => ({ op: 'set', scopeText: text, key: `key ${at}`, value: at, ...(at === 0 ? { ttlMs: 1_000 } : {}) }));
      await store.state.changeIfCurrent<JsonValue>({
        tenant: 'acme', writes,
        transition: (loaded) => {
          const world = StateWorld.of(loaded, kit.nowMs);
          invariant(world.writeAll(writes, { by: 'api' }) === null, 'a thousand keys fit');
          return { rows: world.changes(), reply: null };
        },
      });
      expect(told(await change(kit, text, { op: 'set', key: 'one more', value: 1 }))).toBe('state_quota');
      expect(told(await change(kit, text, { op: 'set', key: 'key 7', value: 'other' }))).toEqual({ value: 'other', version: 1_001 });
      kit.nowMs += 1_000;
      expect(told(await change(kit, text, { op: 'set', key: 'one more', value: 1 }))).toEqual({ value: 1, version: 1_002 });
      expect(told(await change(kit, text, { op: 'set', key: 'and one', value: 1 }))).toBe('state_quota');
      await change(kit, text, { op: 'delete', key: 'key 7' });
      expect(told(await change(kit, text, { op: 'set', key: 'and one', value: 1 }))).toEqual({ value: 1, version: 1_003 });
    },
  },
  {
    name: 'what has expired by the store\'s clock is not there, in either kind of scope',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      const text = actorScope('bob');
      await change(kit, text, { op: 'set', key: 'k', value: 1, ttlMs: 100 });
      committed(await write(kit, session, [{ op: 'set', key: 'k', value: 1, ttlMs: 100 }]));
      expect([await besideOf(store, text), await conversationOf(kit, session)]).toEqual([{ k: 1 }, { k: 1 }]);
      kit.nowMs += 100;
      expect([await besideOf(store, text), await conversationOf(kit, session)]).toEqual([{}, {}]);
      expect(told(await change(kit, text, { op: 'increment', key: 'k', by: 1 }))).toEqual({ value: 1, version: 2 });
      committed(await write(kit, session, [{ op: 'set', key: 'k', value: 2, ifVersion: 0 }]));
      expect(await conversationOf(kit, session)).toEqual({ k: 2 });
    },
  },
  {
    name: 'a sweep drops what has expired, and nothing else',
    run: async (kit) => {
      const { expect, store } = kit;
      for (const who of ['bob', 'eve']) for (const key of ['a', 'b', 'c']) await change(kit, actorScope(who), { op: 'set', key, value: 1, ...(key === 'c' ? {} : { ttlMs: 100 }) });
      expect(await store.sweep(kit.nowMs, 100)).toBe(0);
      kit.nowMs += 100;
      expect([await store.sweep(kit.nowMs, 3), await store.sweep(kit.nowMs, 3), await store.sweep(kit.nowMs, 3)]).toEqual([3, 1, 0]);
      expect([await besideOf(store, actorScope('bob')), await besideOf(store, actorScope('eve'))]).toEqual([{ c: 1 }, { c: 1 }]);
    },
  },
  {
    name: 'a value of 262,144 bytes is kept as it is',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      const value = `${'ß'.repeat(limits.stateValueBytesMax / 2 - 1)}`;
      await change(kit, actorScope('bob'), { op: 'set', key: 'k', value });
      committed(await write(kit, session, [{ op: 'set', key: 'k', value }]));
      expect([(await besideOf(store, actorScope('bob')))['k'] === value, (await conversationOf(kit, session))['k'] === value]).toEqual([true, true]);
      expect(told(await change(kit, actorScope('bob'), { op: 'set', key: 'k', value: `${value}x` }))).toBe('state_too_large');
    },
  },
  {
    name: 'one idempotency key has one effect and one reply, and another body is refused',
    run: async (kit) => {
      const { expect, store } = kit;
      const text = actorScope('bob');
      const once = (body = 'body-1') => change(kit, text, { op: 'increment', key: 'k', by: 1 }, { idempotency: [kit.key('count', { fingerprint: body })] });
      const results = await Promise.all([once(), once(), once()]);
      expect(results.map(({ kind }) => kind).toSorted()).toEqual(['committed', 'replayed', 'replayed']);
      expect([told(await once()), told(await once('other')), await besideOf(store, text)]).toEqual([{ value: 1, version: 1 }, 'idempotency_mismatch', { k: 1 }]);
    },
  },
  {
    name: 'of thirty-two who count at once none is lost, in a scope beside sessions and in a conversation',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      const text = actorScope('bob');
      await Promise.all(Array.from({ length: 32 }, () => change(kit, text, { op: 'increment', key: 'k', by: 1 })));
      await Promise.all(Array.from({ length: 32 }, () => write(kit, session, [{ op: 'increment', key: 'k', by: 1 }])));
      expect([await besideOf(store, text), await conversationOf(kit, session)]).toEqual([{ k: 32 }, { k: 32 }]);
    },
  },
  {
    name: 'of thirty-two who write on a condition at once, from two processes, each is told whether it wrote, and nothing is lost',
    when: hasPeers,
    run: async (kit) => {
      const { expect, store } = kit;
      const peer = await kit.peer();
      const text = actorScope('bob');
      const add = async (name: string, from: Store): Promise<void> => {
        for (;;) {
          const item = await readStateItem(from, placeOf(text), 'list');
          const value = [...((item?.value ?? []) as readonly string[]), name];
          if ((await change(kit, text, { op: 'set', key: 'list', value, ifVersion: item?.version ?? 0 }, { store: from })).kind === 'committed') return;
        }
      };
      const names = Array.from({ length: 32 }, (_none, at) => `writer ${at}`);
      await Promise.all(names.map((name, at) => add(name, at % 2 === 0 ? store : peer)));
      expect(([...((await besideOf(peer, text))['list'] as readonly string[])]).sort()).toEqual(names.toSorted());
    },
  },
  {
    name: 'the state of a conversation is that of its visible history, on every store that reads it',
    run: async (kit) => {
      const { expect, store } = kit;
      const session = await kit.create();
      const ref = { tenant: session.tenant, id: session.id };
      committed(await write(kit, ref, [{ op: 'set', key: 'k', value: 'before' }, { op: 'set', key: 'gone', value: 1 }]));
      const { turnId } = await kit.send(ref, 'one');
      await kit.answer(ref, 'so be it');
      committed(await write(kit, ref, [{ op: 'set', key: 'k', value: 'after' }, { op: 'delete', key: 'gone' }]));
      expect(await conversationOf(kit, ref)).toEqual({ k: 'after' });
      await kit.command(ref, acceptRewind({ turnId: null }), { reads: moving });
      expect(await conversationOf(kit, ref)).toEqual({ k: 'before', gone: 1 });
      const place = { kind: 'conversation', session: (await kit.tail(ref)).session } as const;
      expect([(await readStateItem(store, place, 'k'))?.value, (await readStateItem(store, place, 'gone'))?.value]).toEqual(['before', 1]);
      const gone = await kit.command(ref, acceptEdit({ turnId, message: { messageId: kit.mint('msg'), parts: [] } }), { reads: moving });
      expect(gone.kind === 'refused' && gone.refusal.refused).toBe('turn_not_found');
      const [first, second] = (await kit.tail(ref)).entries.filter(({ kind }) => kind === 'state-changed').map(({ seq }) => seq);
      expect((await store.state.readLastMarks(place.session, [stateMarks])).toSorted((left, right) => left.seq - right.seq)).toEqual([{ seq: first, mark: 'h.s+k' }, { seq: second, mark: 'h.s+gone' }]);
      const all = (await kit.tail(ref)).entries.flatMap(({ seq, kind }) => (kind === 'state-changed' ? [seq] : []));
      expect((await store.state.readMarks(ref, stateMarks)).map(({ seq }) => seq), 'those of what is left as well').toEqual(all);
      expect(await store.state.readMarks({ ...ref, tenant: 'other' }, stateMarks)).toEqual([]);
      expect(await store.state.readLastMarks(place.session, stateMarksOfKey('gone'))).toEqual([{ seq: second, mark: 'h.s+gone' }]);
      const entries = await store.state.readEntriesAt(ref, [second ?? 0, first ?? 0, 10_000]);
      expect(entries.map(({ seq, kind }) => [seq, kind])).toEqual([[first, 'state-changed'], [second, 'state-changed']]);
      for (const elsewhere of [{ tenant: 'other' }, { id: 'ses_none' }]) expect(await store.state.readLastMarks({ ...place.session, ...elsewhere }, [stateMarks])).toEqual([]);
      committed(await write(kit, ref, [{ op: 'increment', key: 'gone', by: 1 }]));
      await kit.send(ref, 'elsewhere');
      await kit.answer(ref, 'so be it');
      expect(await conversationOf(kit, ref)).toEqual({ k: 'before', gone: 2 });
      committed(await write(kit, ref, [{ op: 'set', key: 'k', value: 'elsewhere' }, { op: 'delete', key: 'gone' }]));
      expect(await conversationOf(kit, ref)).toEqual({ k: 'elsewhere' });
    },
  },
  {
    name: 'what calls write lands with their step\'s results: of a conversation and beside it, in the order of the calls, and of one whose condition does not hold any more nothing',
    run: async (kit) => {
      const { expect, store } = kit;
      const text = actorScope('bob');
      const work = await kit.inWork();
      const session = await kit.settle(work, [callPart(0, 'look'), callPart(1, 'look'), callPart(2, 'look')], 'tool-calls');
      await change(kit, text, { op: 'set', key: 'moved', value: 'by another' });
      const writes: readonly (readonly StateWrite[])[] = [
        [{ op: 'set', scopeText: '', key: 'k', value: 1 }, { op: 'increment', scopeText: text, key: 'n', by: 1 }],
        [{ op: 'set', scopeText: '', key: 'other', value: 1 }, { op: 'set', scopeText: text, key: 'moved', value: 'mine', ifVersion: 0 }],
        [{ op: 'increment', scopeText: '', key: 'k', by: 1 }, { op: 'increment', scopeText: text, key: 'n', by: 1 }],
      ];
      const results = writes.map((ofCall, index) => ({ ...doneResult(index, 'look'), stateWrites: { writes: ofCall } }));
      const state = writes.flat();
      const { entries } = await kit.update(work.ref, settleCalls(work.lease, session.turn?.lastStep?.seq ?? 0, results, suiteRules, kit.circumstances), { reads: { outcomes: true, state } });
      const ended = entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results : []));
      expect(ended.map(({ outcome, code, stateWrites }) => [outcome, code, stateWrites])).toEqual([['done', undefined, undefined], ['failed', 'state_conflict', undefined], ['done', undefined, undefined]]);
      expect([await conversationOf(kit, work.ref), await besideOf(store, text)]).toEqual([{ k: 2 }, { moved: 'by another', n: 2 }]);
    },
  },
  {
    name: 'what a call wrote is in its stored outcome, and lands once, by whoever goes on with its step',
    run: async (kit) => {
      const { expect, store } = kit;
      const text = actorScope('bob');
      const work = await kit.inWork();
      const session = await kit.settle(work, [callPart(0, 'look')], 'tool-calls');
      const stepSeq = session.turn?.lastStep?.seq ?? 0;
      const writes: readonly StateWrite[] = [{ op: 'increment', scopeText: '', key: 'k', by: 1 }, { op: 'increment', scopeText: text, key: 'n', by: 1 }];
      const result = { ...doneResult(0, 'look'), stateWrites: { writes } };
      expect(await store.storeOutcomeIfHeld({ ref: work.ref, fence: work.lease.fence, stepSeq, result })).toBe('stored');
      expect([await conversationOf(kit, work.ref), await besideOf(store, text)]).toEqual([{}, {}]);
      await kit.update(work.ref, claim({ worker: 'wrk_b', solo: true, isDead: () => true }, suiteRules, kit.circumstances), { reads: { outcomes: true } });
      expect([await conversationOf(kit, work.ref), await besideOf(store, text)]).toEqual([{ k: 1 }, { n: 1 }]);
      const late = await store.update({ key: keyOf(work.ref), reads: { outcomes: true, state: writes }, transition: settleCalls(work.lease, stepSeq, [result], suiteRules, kit.circumstances) });
      expect(late.kind === 'refused' && late.refusal.refused).toBe('fence_lost');
      expect([await conversationOf(kit, work.ref), await besideOf(store, text)]).toEqual([{ k: 1 }, { n: 1 }]);
    },
  },
];
