import { expect } from 'vitest';
import { claimOperation, delegateOperation, reportProgress } from '../../src/core/operation-transitions.ts';
import { suiteRules } from '../../src/store/conformance/kit.ts';
import { runOperation, settling, startOperation, tryOperation } from '../../src/store/conformance/operation-kit.ts';
import type { SessionRef } from '../../src/store/store.ts';
import type { CaughtStatement } from '../support/postgres-schedule.ts';
import { came, testSchedules, type GatedStore, type PostgresSchedule, type Schedule } from '../support/postgres-schedule-kit.ts';

/** The statements by the names that the store gives them. */
const statement = {
  change: /_chan(_|\n)/, create: /_crea(_|\n)/, landed: /_landed\n/, load: /_loadedById\n/, lockSession: /_lockSession\n/, commit: /^\nCOMMIT/, chunk: /_appendChunk\n/,
  operation: /_updateOperation\n/, readOperation: /_operationById\n/, outcome: /_storeOutcome\n/,
} as const;

/** A write that is made on the gated store, by the statement in which it lands. */
interface Verb {
  readonly what: string;
  readonly lands: RegExp;
  /** How it is asked for, and what it comes to, once. */
  readonly prepare: (schedule: Schedule, gated: GatedStore) => Promise<{ readonly begin: () => Promise<string>; readonly once: string }>;
}

async function ready({ kit }: Schedule): Promise<SessionRef> {
  const { tenant, id } = await kit.create({ text: 'hello' });
  return { tenant, id };
}

const verbs: readonly Verb[] = [
  {
    what: 'a message', lands: statement.change,
    prepare: async (schedule, { store }) => {
      const ref = await ready(schedule);
      return { begin: async () => came(await schedule.send(store, ref, 'once')), once: 'committed' };
    },
  },
  {
    what: 'a claim', lands: statement.change,
    prepare: async (schedule, { store }) => {
      const ref = await ready(schedule);
      return { begin: async () => came(await schedule.claim(store, ref, 'wrk_a')), once: 'committed' };
    },
  },
  {
    what: 'a step', lands: statement.change,
    prepare: async (schedule, { store }) => {
      const work = await schedule.kit.inWork();
      return { begin: async () => came(await schedule.settle(store, work)), once: 'committed' };
    },
  },
  {
    what: 'a stop', lands: statement.commit,
    prepare: async (schedule, { store }) => {
      const work = await schedule.kit.inWork();
      return { begin: async () => {
        const stopped = await schedule.stop(store, work.ref);
        return stopped.kind === 'committed' ? `stopped: ${stopped.reply.reply.stopped}` : came(stopped);
      }, once: 'stopped: true' };
    },
  },
  {
    what: 'a deletion', lands: statement.commit,
    prepare: async (schedule, { store }) => {
      const ref = await ready(schedule);
      return { begin: async () => came(await schedule.delete(store, ref)), once: 'committed' };
    },
  },
  {
    what: 'a creation', lands: statement.create,
    prepare: async (schedule, { store }) => ({ begin: async () => came(await schedule.kit.createResult({ text: 'hello' }, store)), once: 'created' }),
  },
  {
    what: 'a creation under an external id', lands: statement.create,
    prepare: async (schedule, { store }) => ({ begin: async () => came(await schedule.kit.createResult({ text: 'hello', externalId: 'crm-1' }, store)), once: 'created' }),
  },
  {
    what: 'a piece of live output', lands: statement.chunk,
    prepare: async (schedule, { store }) => {
      const work = await schedule.kit.inWork();
      return { begin: () => schedule.chunk(store, work, 0, 0, 'once'), once: 'stored' };
    },
  },
  {
    what: 'a claim of an operation', lands: statement.commit,
    prepare: async (schedule, { store }) => {
      const { operation } = await startOperation(schedule.kit);
      return { begin: async () => came(await tryOperation(schedule.kit, operation, claimOperation('wrk_o', () => false, suiteRules, schedule.circumstances), { session: true }, store)), once: 'committed' };
    },
  },
  {
    what: 'an operation\'s progress', lands: statement.operation,
    prepare: async (schedule, { store }) => {
      const { kit } = schedule;
      const { operation, lease } = await runOperation(kit, (await startOperation(kit)).operation);
      return { begin: async () => came(await tryOperation(kit, operation, reportProgress(lease, { fraction: 0.5, atMs: kit.nowMs }), {}, store)), once: 'committed' };
    },
  },
  {
    what: 'the delegation of an operation', lands: statement.operation,
    prepare: async (schedule, { store }) => {
      const { kit } = schedule;
      const { operation, lease } = await runOperation(kit, (await startOperation(kit)).operation);
      return { begin: async () => came(await tryOperation(kit, operation, delegateOperation(lease, kit.nowMs), {}, store)), once: 'committed' };
    },
  },
  {
    what: 'an operation\'s end', lands: statement.commit,
    prepare: async (schedule, { store }) => {
      const { kit } = schedule;
      const running = await runOperation(kit, (await startOperation(kit)).operation);
      return { begin: async () => came(await tryOperation(kit, running.operation, settling(kit, running), { session: true }, store)), once: 'committed' };
    },
  },
];

/** Entries and operations of the schema, so that what lands twice is seen. */
async function rows({ query }: { readonly query: Schedule['query'] }): Promise<string> {
  const [row] = await query(`SELECT (SELECT count(*) FROM {schema}.session)::int AS sessions, (SELECT count(*) FROM {schema}.entry)::int AS entries, (SELECT count(*) FROM {schema}.chunk)::int AS chunks,
    (SELECT coalesce(sum((body::json ->> 'attempts')::int), 0) FROM {schema}.operation)::int AS begun`);
  return JSON.stringify(row);
}

/** What the verb leaves when nothing goes wrong, and then with a fault: the same. */
async function sameAsWithout(schedule: Schedule, verb: Verb, fault: (caught: CaughtStatement, gated: GatedStore) => Promise<void> | void, afterwards: () => Promise<unknown> = () => Promise.resolve()): Promise<void> {
  const gated = await schedule.gated();
  const query: Schedule['query'] = (text, values) => schedule.query(text, values);
  const undisturbed = await verb.prepare(schedule, gated);
  expect(await undisturbed.begin()).toBe(undisturbed.once);
  const expected = await rows({ query });
  await schedule.check();
  await schedule.forget();
  const { begin, once } = await verb.prepare(schedule, gated);
  const caught = gated.gate.next(verb.lands);
  const result = begin();
  await caught.reached;
  await fault(caught, gated);
  expect(await result).toBe(once);
  await afterwards();
  expect(await rows({ query })).toBe(expected);
}

const lost: readonly PostgresSchedule[] = verbs.flatMap((verb) => [
  { name: `${verb.what} whose reply is lost has landed, and does not land again`, run: (schedule) => sameAsWithout(schedule, verb, (caught) => caught.loseReply()) },
  { name: `${verb.what} that is lost on its way to the server is made again`, run: (schedule) => sameAsWithout(schedule, verb, (caught) => caught.lose()) },
  { name: `${verb.what} that loses to another transaction (40001) is made again`, run: (schedule) => sameAsWithout(schedule, verb, (caught) => caught.refuse('40001')) },
  { name: `${verb.what} that is the victim of a deadlock (40P01) is made again`, run: (schedule) => sameAsWithout(schedule, verb, (caught) => caught.refuse('40P01')) },
]);

/** With which statement the verb begins to be tried again. */
const beginsAgain: Readonly<Record<string, RegExp>> = {
  'a message': statement.load, 'a claim': statement.load, 'a step': statement.load, 'a stop': statement.lockSession, 'a deletion': statement.lockSession, 'a creation': statement.create,
  'a creation under an external id': /_loadedByExternalId\n/, 'a piece of live output': statement.chunk, 'a claim of an operation': statement.lockSession, 'an operation\'s progress': statement.readOperation,
  'the delegation of an operation': statement.readOperation,
  'an operation\'s end': statement.lockSession,
};

const late: readonly PostgresSchedule[] = verbs.flatMap((verb): readonly PostgresSchedule[] => [
  {
    name: `${verb.what} that lands when it has been looked for, and before it is made again, is not made again`,
    run: (schedule) => sameAsWithout(schedule, verb, async (caught, { gate }) => {
      const again = gate.next(beginsAgain[verb.what] ?? verb.lands);
      const arrive = caught.arriveLate();
      await again.reached;
      expect(await arrive()).toBe('done');
      again.pass();
    }),
  },
  // What is committed under locks cannot come after the one that waits for them.
  ...(verb.lands === statement.commit ? [] : [{
    name: `${verb.what} that arrives when it has been made again changes nothing`,
    run: (schedule: Schedule) => {
      let arrive: () => Promise<unknown> = () => Promise.resolve();
      return sameAsWithout(schedule, verb, (caught) => { arrive = caught.arriveLate(); }, () => arrive());
    },
  }]),
]);

testSchedules('commits whose reply is lost on Postgres', lost);
testSchedules('commits that arrive late on Postgres', late);
