import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { acceptSend, type SendReply } from '../../src/core/accept/send.ts';
import { acceptStop, type StopReply } from '../../src/core/accept/stop.ts';
import { deleteTransition } from '../../src/core/accept/end.ts';
import { acceptTransition, type Accept, type Accepted } from '../../src/core/accept/transition.ts';
import type { Circumstances, Transition } from '../../src/core/draft.ts';
import { claim, type Claimed } from '../../src/core/claim.ts';
import type { StepPart } from '../../src/core/entry.ts';
import { invariant } from '../../src/core/errors.ts';
import type { JsonValue } from '../../src/core/json.ts';
import { settleGeneration } from '../../src/core/settle.ts';
import { attemptRecord, CaseClock, Kit, keyOf, suiteRules, touching, type InWork } from '../../src/store/conformance/kit.ts';
import { postgresStore, type PostgresStoreOptions } from '../../src/store/postgres/postgres-store.ts';
import type { SessionKey, SessionRef, Store, StoreTransaction, UpdateRequest, UpdateResult } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import { eventually } from './eventually.ts';
import { uniqueSchema } from './postgres-database.ts';
import { StatementGate } from './postgres-schedule.ts';
import { PostgresProxy } from './postgres-schedule-proxy.ts';
import { faultsOfSchema } from './postgres-schedule-checks.ts';

export const isolations = ['read committed', 'repeatable read', 'serializable'] as const;
export type Isolation = (typeof isolations)[number];

/** One interleaving of two processes, forced by locks and held statements, with what has to come of it. */
export interface PostgresSchedule {
  readonly name: string;
  readonly run: (schedule: Schedule) => Promise<void>;
}

/** A transaction that a user began. */
export interface CallerTransaction {
  readonly transaction: StoreTransaction;
  readonly commit: () => Promise<void>;
  readonly rollBack: () => Promise<void>;
}

/** A store on a pool whose statements can be held. */
export interface GatedStore {
  readonly store: Store;
  readonly gate: StatementGate;
}

/** A lock that somebody holds who is neither of the stores. */
export interface HeldLock {
  readonly release: () => Promise<void>;
}

/** Two stores on one schema as two processes have them, a third whose statements can be held, and a connection that is nobody's. */
export class Schedule {
  readonly a: Store;
  readonly b: Store;
  readonly kit: Kit;
  readonly schema: string;
  readonly isolation: Isolation;
  readonly #url: string;
  readonly #clock: CaseClock;
  readonly #raw: pg.Pool;
  readonly #drop: () => Promise<void>;
  readonly #opened: { readonly close: () => Promise<void> }[] = [];
  #gated: Promise<GatedStore> | null = null;
  readonly #locks = new Set<HeldLock>();
  readonly #acknowledged: { readonly ref: SessionRef; readonly marks: readonly string[] }[] = [];

  private constructor(isolation: Isolation, url: string, schema: string, drop: () => Promise<void>, clock: CaseClock, [a, b]: readonly [Store, Store]) {
    this.isolation = isolation;
    this.#url = url;
    this.schema = schema;
    this.#drop = drop;
    this.#clock = clock;
    this.a = a;
    this.b = b;
    this.kit = new Kit({ store: a, close: async () => undefined }, expect, clock);
    this.#raw = new pg.Pool({ connectionString: named(url, schema, 'raw'), max: 5 });
  }

  static async open(isolation: Isolation): Promise<Schedule> {
    const { url: plain, schema, drop } = await uniqueSchema();
    const url = new URL(plain);
    url.searchParams.set('options', `-c default_transaction_isolation=${isolation.replaceAll(' ', '\\ ')}`);
    const clock = new CaseClock();
    const [a, b] = await Promise.all([openStore(url.href, schema, 'a', clock), openStore(url.href, schema, 'b', clock)]);
    await a.migrate();
    return new Schedule(isolation, url.href, schema, drop, clock, [a, b]);
  }

  async end(): Promise<void> {
    for (const lock of this.#locks) await lock.release();
    const gated = await this.#gated;
    for (const opened of [...this.#opened, this.a, this.b, ...(gated === null ? [] : [gated.store])]) await opened.close();
    await gated?.gate.end();
    await this.#raw.end();
    await this.#drop();
  }

  /** For the next schedule. */
  async empty(): Promise<void> {
    for (const opened of this.#opened.splice(0)) await opened.close();
    await this.forget();
  }

  /** Leaves nothing in the schema. What the stores know is of sessions that are gone. */
  async forget(): Promise<void> {
    this.#acknowledged.splice(0);
    await this.query(tables.map((table) => `DELETE FROM {schema}.${table}`).join('; '));
  }

  /** What every schedule leaves, whatever it was about. */
  async check(): Promise<void> {
    const client = await this.#raw.connect();
    try {
      expect(await faultsOfSchema(client, this.schema, this.#acknowledged)).toEqual([]);
    } finally {
      client.release();
    }
  }

  /** A third process, whose single statements can be held, refused and lost. */
  gated(): Promise<GatedStore> {
    return (this.#gated ??= this.#openGated());
  }

  async #openGated(): Promise<GatedStore> {
    const gate = new StatementGate(this.#url, `${this.schema}_gated`);
    return { gate, store: await postgresStore({ ...this.#storeOptions(), connection: gate }) };
  }

  /** One more process, as `options` say; its name is what {@link waits} looks for. */
  async another(name: string, options: Partial<PostgresStoreOptions> = {}): Promise<Store> {
    const store = await postgresStore({ ...this.#storeOptions(), connection: named(this.#url, this.schema, name), ...options });
    this.#opened.push(store);
    return store;
  }

  /** One more process, whose connections can be broken when the server has answered: its statements go out together, as from any pool of a store's own. */
  async proxied(options: Partial<PostgresStoreOptions> = {}): Promise<{ readonly store: Store; readonly proxy: PostgresProxy }> {
    const proxy = await PostgresProxy.open(this.#url);
    const store = await this.another('proxied', { ...options, connection: named(proxy.url, this.schema, 'proxied') });
    this.#opened.push(proxy);
    return { store, proxy };
  }

  /** In a transaction of somebody else, which holds what the statement locked until it is released. */
  async hold(text: string, values: readonly unknown[] = []): Promise<HeldLock> {
    const { transaction, rollBack } = await this.callerTransaction();
    await transaction.query({ text: text.replaceAll('{schema}', this.schema), values: [...values] });
    return { release: rollBack };
  }

  /** A transaction of the user's own, on a connection that no store knows. */
  async callerTransaction(begin = 'BEGIN'): Promise<CallerTransaction> {
    const client = await this.#raw.connect();
    await client.query(begin);
    const lock: HeldLock = { release: () => end('ROLLBACK') };
    const end = async (how: 'COMMIT' | 'ROLLBACK'): Promise<void> => {
      if (!this.#locks.delete(lock)) return;
      try {
        await client.query(how);
      } finally {
        client.release();
      }
    };
    this.#locks.add(lock);
    return { transaction: client, commit: () => end('COMMIT'), rollBack: () => end('ROLLBACK') };
  }

  holdSession({ tenant, id }: SessionRef): Promise<HeldLock> {
    return this.hold('SELECT 1 FROM {schema}.session WHERE tenant = $1 AND id = $2 FOR UPDATE', [tenant, id]);
  }

  async query(text: string, values: readonly unknown[] = []): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return (await this.#raw.query<Record<string, unknown>>(text.replaceAll('{schema}', this.schema), [...values])).rows;
  }

  /** Resolves when so many connections of the process wait for a lock. */
  async waits(name: string, count = 1): Promise<void> {
    await eventually(`${count} connections of ${name} to wait for a lock`, async () => {
      const [row] = await this.query('SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = \'Lock\'', [`${this.schema}_${name}`]);
      return row?.['waiting'] === count;
    });
  }

  /** Cuts the connections of a process that wait for a lock. */
  async cutWaiting(name: string): Promise<void> {
    await this.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = \'Lock\'', [`${this.schema}_${name}`]);
  }

  /** Behind a lock that neither has, by default that of the session's row, the first verb comes to wait, then the second; then both are let go. */
  async inLine<First, Second>(ref: SessionRef, [firstName, first]: readonly [string, () => Promise<First>], [secondName, second]: readonly [string, () => Promise<Second>], lock?: HeldLock): Promise<[First, Second]> {
    const held = lock ?? await this.holdSession(ref);
    const begun = first();
    await this.waits(firstName);
    const follows = second();
    await this.waits(secondName, secondName === firstName ? 2 : 1);
    await held.release();
    return Promise.all([begun, follows]);
  }

  /** Acknowledged: each of the marks is to be found in the log, once. */
  acknowledge(ref: SessionRef, ...marks: readonly string[]): void {
    this.#acknowledged.push({ ref, marks });
  }

  get circumstances(): Circumstances {
    return this.kit.circumstances;
  }

  /** A command on a session. */
  command<Reply>(store: Store, key: SessionKey, accept: Accept<Reply>, rest: Partial<UpdateRequest<Accepted<Reply>>> & { readonly expectedRevision?: number } = {}): Promise<UpdateResult<Accepted<Reply>>> {
    const { expectedRevision, ...request } = rest;
    return store.update({ key: keyOf(key), transition: acceptTransition(accept, this.circumstances, { expectedRevision }), replyToStore: ({ reply }) => reply as JsonValue, ...request });
  }

  /** A message with an id of its own; what is acknowledged has to be in the log. */
  async send(store: Store, ref: SessionRef, text: string, { whenBusy = 'queue' as Parameters<typeof acceptSend>[0]['whenBusy'], messageId = this.kit.mint('msg'), ...rest }: SendOptions = {}): Promise<UpdateResult<Accepted<SendReply>>> {
    const result = await this.command(store, ref, acceptSend({ message: { messageId, parts: [{ type: 'text', text }] }, whenBusy }), { ...(whenBusy === 'interrupt' || whenBusy === 'replace' ? { reads: { chunks: true, outcomes: true } } : {}), ...rest });
    if (result.kind === 'committed' && rest.transaction === undefined) this.acknowledge(ref, messageId);
    return result;
  }

  stop(store: Store, ref: SessionRef): Promise<UpdateResult<Accepted<StopReply>>> {
    return this.command(store, ref, acceptStop({}), { reads: { chunks: true, outcomes: true } });
  }

  delete(store: Store, ref: SessionRef, rest: Partial<UpdateRequest<{ readonly deleted: true }>> = {}): Promise<UpdateResult<{ readonly deleted: true }>> {
    return store.update({ key: ref, transition: deleteTransition(this.kit.nowMs), replyToStore: (reply) => reply as unknown as JsonValue, ...rest });
  }

  async touch(store: Store, ref: SessionRef, title: string): Promise<UpdateResult<number>> {
    const result = await store.update({ key: ref, transition: touching(title, this.kit.nowMs) });
    if (result.kind === 'committed') this.acknowledge(ref, title);
    return result;
  }

  claim(store: Store, ref: SessionRef, worker: string, dead: readonly string[] = []): Promise<UpdateResult<Claimed>> {
    return store.update({ key: ref, transition: claim({ worker, solo: true, isDead: (holder) => dead.includes(holder) }, suiteRules, this.circumstances), reads: { outcomes: true } });
  }

  /** The step of a generation, as its worker commits it. */
  settle(store: Store, work: InWork, parts: readonly StepPart[] = [{ type: 'text', text: 'whole answer' }], finishReason: 'stop' | 'tool-calls' = 'stop'): Promise<UpdateResult<unknown>> {
    const operationKeys = parts.flatMap((part) => (part.type === 'tool-call' && part.operation?.key !== undefined ? [part.operation.key] : []));
    const transition: Transition<unknown> = settleGeneration(work.lease, { kind: 'generated', attempt: attemptRecord(work.attempt), parts, finishReason, warnings: [] }, suiteRules, this.kit.circumstances);
    return store.update({ key: work.ref, transition, reads: { operationKeys } });
  }

  /** A piece of live output, as its worker stores it. */
  chunk(store: Store, { ref, lease, attempt }: InWork, ordinal: number, offset: number, text: string): Promise<'stored' | 'fence-lost'> {
    return store.appendChunkIfHeld({ ref, fence: lease.fence, attemptId: attempt.id, ordinal, segments: [{ part: 0, type: 'text', offset, text }] });
  }

  /** The kinds of a session's entries, in order. */
  async kinds(ref: SessionRef): Promise<readonly string[]> {
    return (await this.b.readEntries(ref, { limit: 1_000 })).map(({ kind }) => kind);
  }

  #storeOptions(): Omit<PostgresStoreOptions, 'connection'> {
    return storeOptions(this.schema, this.#clock);
  }
}

const tables = ['session', 'entry', 'chunk', 'outcome', 'idempotency', 'operation', 'whole_result', 'branch', 'outbox', 'worker', 'usage_counter', 'usage_kept', 'usage_total'];

type SendOptions = Partial<Omit<UpdateRequest<Accepted<SendReply>>, 'key' | 'transition'>> & { readonly whenBusy?: Parameters<typeof acceptSend>[0]['whenBusy']; readonly messageId?: string; readonly expectedRevision?: number };

/** What an update came to: its kind, or the code of its refusal. */
export function came(result: { readonly kind: string } | 'stored' | 'fence-lost' | 'session-gone'): string {
  if (typeof result === 'string') return result;
  return 'refusal' in result ? (result.refusal as { readonly refused: string }).refused : result.kind;
}

function storeOptions(schema: string, clock: CaseClock): Omit<PostgresStoreOptions, 'connection'> {
  // Without hints: they have a connection of their own, and nothing waits for them here.
  return { schema, system: realSystem(), nowMs: () => clock.nowMs, connectionsMax: 6, dialect: { notify: false }, outboxKinds: ['turn-ended'] };
}

function openStore(url: string, schema: string, name: string, clock: CaseClock): Promise<Store> {
  return postgresStore({ ...storeOptions(schema, clock), connection: named(url, schema, name) });
}

function named(url: string, schema: string, name: string): string {
  const own = new URL(url);
  own.searchParams.set('application_name', `${schema}_${name}`);
  return own.href;
}

/** A test for each schedule at each isolation level that a database may have by default; the store takes its way of locking from it. */
export function testSchedules(theme: string, schedules: readonly PostgresSchedule[]): void {
  invariant(new Set(schedules.map(({ name }) => name)).size === schedules.length, 'each schedule has a name of its own');
  describe.each(isolations)(`${theme}, at %s`, (isolation) => {
    let opened: Promise<Schedule> | null = null;
    const end = async (): Promise<void> => {
      const ending = opened;
      opened = null;
      await (await ending)?.end();
    };
    afterAll(end);
    it.each(schedules.map(({ name, run }) => [name, run] as const))('%s', async (_name, run) => {
      const schedule = await (opened ??= Schedule.open(isolation));
      try {
        await run(schedule);
        await schedule.check();
        await schedule.empty();
      } catch (error) {
        // What it has left under way is nothing for the next one.
        await end();
        throw error;
      }
    });
  });
  describe(theme, () => {
    it('is forced at every isolation level', () => {
      console.log(`${theme}: ${schedules.length} schedules at ${isolations.length} isolation levels`);
      expect(schedules.length).toBeGreaterThan(0);
    });
  });
}
