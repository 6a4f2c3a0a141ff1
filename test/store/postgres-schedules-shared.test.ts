import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { expect } from 'vitest';
import { acceptSend } from '../../src/core/accept/send.ts';
import { acceptTransition } from '../../src/core/accept/transition.ts';
import { claim } from '../../src/core/claim.ts';
import type { Transition } from '../../src/core/draft.ts';
import { suiteRules, touching } from '../../src/store/conformance/kit.ts';
import type { PostgresStoreOptions } from '../../src/store/postgres/postgres-store.ts';
import type { SessionRef, Store } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import { came, testSchedules, type PostgresSchedule, type Schedule } from '../support/postgres-schedule-kit.ts';

async function created({ kit }: Schedule, store: Store, options: { readonly text?: string; readonly externalId?: string } = {}): Promise<SessionRef> {
  const result = await kit.createResult(options, store);
  if (result.kind !== 'created') expect.fail(`the session is created, not ${result.kind}`);
  return { tenant: result.session.tenant, id: result.session.id };
}

const stale: readonly PostgresSchedule[] = [
  {
    name: 'a change that is made of what another process has changed since is made again of the newer',
    run: async (schedule) => {
      const ref = await created(schedule, schedule.a);
      await schedule.touch(schedule.b, ref, 'of B');
      const seen: number[] = [];
      const transition: Transition<number> = (loaded) => {
        seen.push(loaded.session.lastSeq);
        return touching('of A', schedule.kit.nowMs)(loaded);
      };
      expect(came(await schedule.a.update({ key: ref, transition }))).toBe('committed');
      expect([seen, await schedule.kinds(ref)]).toEqual([[1, 2], ['session-created', 'title-set', 'title-set']]);
    },
  },
  {
    name: 'nothing is refused for what another process has changed since',
    run: async (schedule) => {
      const ref = await created(schedule, schedule.a, { text: 'hello' });
      await schedule.stop(schedule.b, ref);
      expect(came(await schedule.send(schedule.a, ref, 'again', { whenBusy: 'reject' }))).toBe('committed');
    },
  },
  {
    name: 'nothing is accepted for what another process has changed since',
    run: async (schedule) => {
      const ref = await created(schedule, schedule.a);
      await schedule.send(schedule.b, ref, 'first');
      expect(came(await schedule.send(schedule.a, ref, 'second', { whenBusy: 'reject' }))).toBe('session_busy');
    },
  },
  {
    name: 'a session that another process has deleted since is gone, not what is remembered of it',
    run: async (schedule) => {
      const ref = await created(schedule, schedule.a);
      await schedule.delete(schedule.b, ref);
      expect(came(await schedule.touch(schedule.a, ref, 'late'))).toBe('session_not_found');
    },
  },
  {
    name: 'a step whose session, and with it the message to go on with, another process has deleted since finds no session',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      await schedule.send(schedule.a, work.ref, 'queued');
      await schedule.delete(schedule.b, work.ref);
      expect(came(await schedule.settle(schedule.a, work))).toBe('session_not_found');
    },
  },
  {
    name: 'a step whose session is deleted between what it reads of it finds no session',
    run: async (schedule) => {
      const { store, gate } = await schedule.gated();
      const work = await schedule.kit.inWork();
      await schedule.send(schedule.a, work.ref, 'queued');
      const contents = gate.next(/_contents\n/);
      const settled = schedule.settle(store, work);
      await contents.reached;
      await schedule.delete(schedule.b, work.ref);
      contents.pass();
      expect(came(await settled)).toBe('session_not_found');
    },
  },
];

/** A process whose changes gather until they are let go together, once; what is tried again after that goes as it comes. */
async function gathering(schedule: Schedule, open: (options: Partial<PostgresStoreOptions>) => Promise<Store> = (options) => schedule.another('gathering', options)): Promise<{ readonly store: Store; readonly letGo: () => Promise<void>; readonly statements: string[] }> {
  let waiting: (() => void)[] | null = [];
  const statements: string[] = [];
  const system = realSystem();
  const store = await open({ system: { ...system, clock: { ...system.clock, soon: (callback) => (waiting === null ? system.clock.soon(callback) : void waiting.push(callback)) } }, onStatement: (text) => void statements.push(text) });
  return { store, statements, letGo: async () => {
    // Whatever is on its way there without waiting for anybody is there.
    await turnOfTheLoop();
    const gathered = waiting ?? [];
    waiting = null;
    for (const callback of gathered) callback();
  } };
}

function groups(statements: readonly string[]): number {
  return statements.filter((text) => text.startsWith('WITH given')).length;
}

async function titles({ b }: Schedule, refs: readonly SessionRef[]): Promise<readonly (string | null | undefined)[]> {
  return Promise.all(refs.map(async (ref) => (await b.readSession(ref))?.title));
}

async function severalSessions(schedule: Schedule, store: Store): Promise<[SessionRef, SessionRef, SessionRef, SessionRef]> {
  return [await created(schedule, store), await created(schedule, store), await created(schedule, store), await created(schedule, store)];
}

const groupsOfChanges: readonly PostgresSchedule[] = [
  {
    name: 'of changes that share a statement one has moved and one is locked: the others land without it, and those two by themselves',
    run: async (schedule) => {
      const { store, letGo, statements } = await gathering(schedule);
      const [, locked, third, fourth] = await severalSessions(schedule, store);
      const moved = await created(schedule, store, { text: 'hello' });
      // A claim leaves no entry that another change could run into.
      await schedule.claim(schedule.b, moved, 'wrk_b');
      const lock = await schedule.holdSession(locked);
      const own = [moved, locked, third, fourth].map((ref, place) => schedule.touch(store, ref, `title ${place}`));
      await letGo();
      expect((await Promise.all([own[0], own[2], own[3]])).map((result) => came(result ?? { kind: 'none' }))).toEqual(['committed', 'committed', 'committed']);
      await schedule.waits('gathering');
      expect(await titles(schedule, [moved, locked, third, fourth])).toEqual(['title 0', null, 'title 2', 'title 3']);
      await lock.release();
      expect([came(await (own[1] ?? expect.fail())), groups(statements)]).toEqual(['committed', 1]);
      expect((await schedule.b.readSession(moved))?.claim?.worker).toBe('wrk_b');
    },
  },
  {
    name: 'of changes that share a statement one has a key that is taken: the others land all the same, and that one is given the reply',
    run: async (schedule) => {
      const { store, letGo } = await gathering(schedule);
      const [keyed, ...others] = await severalSessions(schedule, store);
      const planned = Promise.withResolvers<void>();
      const update = store.update({ key: keyed, idempotency: [schedule.kit.key('k')], replyToStore: () => 'mine', transition: (loaded) => {
        planned.resolve();
        return touching('keyed', schedule.kit.nowMs)(loaded);
      } });
      await planned.promise;
      await schedule.query('INSERT INTO {schema}.idempotency (tenant, session_id, scope, fingerprint, http_status, reply) VALUES ($1, $2, $3, $4, 202, $5)', [keyed.tenant, keyed.id, 'k', 'body-1', '"another\'s"']);
      const touched = others.map((ref, place) => schedule.touch(store, ref, `title ${place}`));
      await letGo();
      expect((await Promise.all(touched)).map(came)).toEqual(['committed', 'committed', 'committed']);
      expect(await update).toMatchObject({ kind: 'replayed', reply: 'another\'s' });
      expect(await titles(schedule, [keyed, ...others])).toEqual([null, 'title 0', 'title 1', 'title 2']);
    },
  },
  {
    name: 'the connection of changes that share a statement is cut before their commit: each lands once, by itself',
    run: async (schedule) => {
      const { store, letGo } = await gathering(schedule);
      const refs = await severalSessions(schedule, store);
      const [keyed] = refs;
      const planned = Promise.withResolvers<void>();
      const update = store.update({ key: keyed, idempotency: [schedule.kit.key('k')], replyToStore: () => 'mine', transition: (loaded) => {
        planned.resolve();
        return touching('title', schedule.kit.nowMs)(loaded);
      } });
      await planned.promise;
      const lock = await schedule.hold('INSERT INTO {schema}.idempotency (tenant, session_id, scope, fingerprint, http_status, reply) VALUES ($1, $2, \'k\', \'body-1\', 202, \'1\')', [keyed.tenant, keyed.id]);
      const touched = refs.slice(1).map((ref, place) => schedule.touch(store, ref, `title ${place}`));
      await letGo();
      await schedule.waits('gathering');
      await schedule.cutWaiting('gathering');
      await lock.release();
      expect([...await Promise.all(touched), await update].map(came)).toEqual(['committed', 'committed', 'committed', 'committed']);
      expect(await Promise.all(refs.map(async (ref) => (await schedule.kinds(ref)).length))).toEqual([2, 2, 2, 2]);
    },
  },
  {
    name: 'two changes of one session, of which one names it by its external id, do not overwrite each other',
    run: async (schedule) => {
      const { store, letGo } = await gathering(schedule);
      const ref = await created(schedule, store, { text: 'hello', externalId: 'crm-1' });
      const planned = Promise.withResolvers<void>();
      const claiming = claim({ worker: 'wrk_a', solo: true, isDead: () => false }, suiteRules, schedule.circumstances);
      const claimed = store.update({ key: { tenant: ref.tenant, id: 'crm-1' }, transition: (loaded) => {
        planned.resolve();
        return claiming(loaded);
      } });
      await planned.promise;
      const touched = schedule.touch(store, ref, 'title');
      await letGo();
      expect([came(await claimed), came(await touched)]).toEqual(['committed', 'committed']);
      const session = await schedule.b.readSession(ref);
      expect([session?.claim?.worker, session?.title]).toEqual(['wrk_a', 'title']);
    },
  },
];

const pipelines: readonly PostgresSchedule[] = [
  {
    name: 'the reply to changes that share a statement is lost: each finds that it has landed, and none lands again',
    run: async (schedule) => {
      const { proxy, store: plain } = await schedule.proxied();
      const { store, letGo } = await gathering(schedule, (options) => schedule.another('proxied', { ...options, connection: proxy.url }));
      const refs = await severalSessions(schedule, store);
      const lost = proxy.loseReplyTo('_grou_');
      const touched = refs.map((ref, place) => schedule.touch(store, ref, `title ${place}`));
      await letGo();
      await lost;
      expect((await Promise.all(touched)).map(came)).toEqual(['committed', 'committed', 'committed', 'committed']);
      expect(await Promise.all(refs.map(async (ref) => (await plain.readEntries(ref, { limit: 10 })).length))).toEqual([2, 2, 2, 2]);
    },
  },
  {
    name: 'the reply to a stop, whose statements go out with their COMMIT, is lost: it has stopped the turn, and says so',
    run: async (schedule) => {
      const { proxy, store } = await schedule.proxied();
      const work = await schedule.kit.inWork();
      await schedule.chunk(schedule.a, work, 0, 0, 'shown');
      const lost = proxy.loseReplyTo('COMMIT');
      const stopped = schedule.stop(store, work.ref);
      await lost;
      expect(await stopped).toMatchObject({ kind: 'committed', reply: { reply: { stopped: true } } });
      expect((await schedule.kinds(work.ref)).slice(2)).toEqual(['assistant-step', 'turn-ended']);
    },
  },
  {
    name: 'the reply to a deletion, whose statements go out with their COMMIT, is lost: it has deleted, and says so',
    run: async (schedule) => {
      const { proxy, store } = await schedule.proxied();
      const { ref } = await schedule.kit.inWork();
      const lost = proxy.loseReplyTo('COMMIT');
      const deleted = schedule.delete(store, ref);
      await lost;
      expect([came(await deleted), await schedule.b.readSession(ref)]).toEqual(['committed', null]);
    },
  },
  {
    name: 'the connection of a change that waits for a lock is cut: it is made again, and lands once',
    run: async (schedule) => {
      const store = await schedule.another('cut');
      const ref = await created(schedule, store);
      const lock = await schedule.holdSession(ref);
      const touched = schedule.touch(store, ref, 'once');
      await schedule.waits('cut');
      await schedule.cutWaiting('cut');
      await lock.release();
      expect([came(await touched), await schedule.kinds(ref)]).toEqual(['committed', ['session-created', 'title-set']]);
    },
  },
];

const overtaken: readonly PostgresSchedule[] = [
  {
    name: 'a message whose reply is lost and over which another process has gone since has landed, and does not land again',
    run: async (schedule) => {
      const { store, gate } = await schedule.gated();
      const ref = await created(schedule, schedule.a);
      const [change, landed] = [gate.next(/_chan_/), gate.next(/_landed\n/)];
      const sent = schedule.send(store, ref, 'once');
      await change.reached;
      change.loseReply();
      await landed.reached;
      await schedule.send(schedule.b, ref, 'over it');
      landed.pass();
      expect([came(await sent), (await schedule.kinds(ref)).length]).toEqual(['committed', 3]);
    },
  },
  {
    // A commit without an entry leaves nothing but its name on the row. The worker gives back, after two heartbeats, what the store says is its own and it does not have.
    name: 'a claim whose reply is lost and over which another process has gone since cannot be told from another\'s: it is refused, and the store says whose the session is',
    run: async (schedule) => {
      const { store, gate } = await schedule.gated();
      const ref = await created(schedule, schedule.a, { text: 'hello' });
      const [change, landed] = [gate.next(/_chan(_|\n)/), gate.next(/_landed\n/)];
      const claimed = schedule.claim(store, ref, 'wrk_a');
      await change.reached;
      change.loseReply();
      await landed.reached;
      await schedule.send(schedule.b, ref, 'over it');
      landed.pass();
      expect([came(await claimed), (await schedule.b.findHeld('wrk_a')).map(({ id }) => id)]).toEqual(['not_claimable', [ref.id]]);
    },
  },
];

const sweeps: readonly PostgresSchedule[] = [
  {
    name: 'a key that is used again between two sweeps of the old one keeps its new reply',
    run: async (schedule) => {
      const { kit, b } = schedule;
      const { store, gate } = await schedule.gated();
      const ref = await created(schedule, b);
      const rename = (title: string) => b.update({ key: ref, idempotency: [kit.key('k')], transition: touching(title, kit.nowMs), replyToStore: (seq) => seq });
      const first = await rename('first');
      kit.nowMs += 90_000_000;
      const deletion = gate.next(/_deleteExpired\n/);
      const swept = store.sweep(kit.nowMs, 100);
      await deletion.reached;
      expect(await b.sweep(kit.nowMs, 100)).toBe(1);
      const second = await rename('second');
      deletion.pass();
      await swept;
      expect([first, second, await rename('third')].map(came)).toEqual(['committed', 'committed', 'replayed']);
    },
  },
  {
    name: 'a reply that has expired counts until it is swept, and a key in use is not swept under a sender',
    run: async (schedule) => {
      const { kit, a, b } = schedule;
      const ref = await created(schedule, a);
      const message = { messageId: 'msg_1', parts: [{ type: 'text' as const, text: 'hello' }] };
      const send = (store: Store) => store.update({ key: ref, idempotency: [kit.key('k')], transition: acceptTransition(acceptSend({ message, whenBusy: 'queue' }), schedule.circumstances), replyToStore: () => 'sent' });
      expect(came(await send(a))).toBe('committed');
      kit.nowMs += 90_000_000;
      expect([await b.sweep(kit.nowMs, 100), came(await send(b))]).toEqual([0, 'replayed']);
    },
  },
];

testSchedules('what processes remember of each other\'s sessions on Postgres', stale);
testSchedules('changes that share a statement, and sweeps, on Postgres', [...groupsOfChanges, ...sweeps, ...pipelines, ...overtaken]);
