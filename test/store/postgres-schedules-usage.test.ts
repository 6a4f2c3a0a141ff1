import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { expect } from 'vitest';
import { usageShardOf } from '../../src/core/usage.ts';
import type { InWork } from '../../src/store/conformance/kit.ts';
import { importAgain } from '../../src/store/conformance/usage-cases.ts';
import type { Store } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import { came, testSchedules, type HeldLock, type PostgresSchedule, type Schedule } from '../support/postgres-schedule-kit.ts';

/** Sessions of ada whose attempts are counted in one place, each with a generation that has begun; and one attempt counted there already. */
async function inOneShard(schedule: Schedule, count: number): Promise<readonly InWork[]> {
  const first = await schedule.kit.inWork();
  const shard = usageShardOf(first.ref.id);
  const works: InWork[] = [];
  while (works.length < count) {
    const work = await schedule.kit.inWork();
    if (usageShardOf(work.ref.id) === shard) works.push(work);
  }
  expect(came(await schedule.settle(schedule.a, first))).toBe('committed');
  return works;
}

function holdCounters(schedule: Schedule): Promise<HeldLock> {
  return schedule.hold('SELECT 1 FROM {schema}.usage_counter FOR UPDATE');
}

async function attempts({ b }: Schedule): Promise<number> {
  const days = await b.usage.readDays({ tenant: 'acme', owner: 'ada', fromDay: 0, toDay: 100_000 });
  return days.reduce((sum, { count }) => sum + count.attempts, 0);
}

/** A process whose changes gather until they are let go together. */
async function gathering(schedule: Schedule, name: string): Promise<{ readonly store: Store; readonly letGo: () => Promise<void> }> {
  let waiting: (() => void)[] | null = [];
  const system = realSystem();
  const store = await schedule.another(name, { system: { ...system, clock: { ...system.clock, soon: (callback) => (waiting === null ? system.clock.soon(callback) : void waiting.push(callback)) } } });
  return { store, letGo: async () => {
    await turnOfTheLoop();
    const gathered = waiting ?? [];
    waiting = null;
    for (const callback of gathered) callback();
  } };
}

/** That every schedule leaves the counters as the logs say is looked at after each of them: see `faultsOfSchema`. */
const counting: readonly PostgresSchedule[] = [
  {
    name: 'attempts of two sessions of one owner that two processes commit at once wait for one counter, and both are counted',
    run: async (schedule) => {
      const [one, two] = await inOneShard(schedule, 2);
      if (one === undefined || two === undefined) expect.fail();
      const results = await schedule.inLine(one.ref, ['a', () => schedule.settle(schedule.a, one)], ['b', () => schedule.settle(schedule.b, two)], await holdCounters(schedule));
      expect([results.map(came), await attempts(schedule)]).toEqual([['committed', 'committed'], 3]);
    },
  },
  {
    name: 'the first attempts of an owner, which two processes commit at once, are both counted',
    run: async (schedule) => {
      const [one, two] = await inOneShard(schedule, 2);
      if (one === undefined || two === undefined) expect.fail();
      await schedule.query('DELETE FROM {schema}.usage_counter; DELETE FROM {schema}.entry; DELETE FROM {schema}.session WHERE worker IS NULL');
      const results = await Promise.all([schedule.settle(schedule.a, one), schedule.settle(schedule.b, two)]);
      expect([results.map(came), await attempts(schedule)]).toEqual([['committed', 'committed'], 2]);
      // What this schedule took away is no fault of the counters.
      await schedule.forget();
    },
  },
  {
    name: 'groups of two processes that add to the same counters wait for each other without a deadlock, and count every attempt once',
    run: async (schedule) => {
      const [left, right] = [await gathering(schedule, 'left'), await gathering(schedule, 'right')];
      const works = await Promise.all(Array.from({ length: 24 }, () => schedule.kit.inWork()));
      const known = await Promise.all(works.map(async (work, place) => {
        const { store } = place % 2 === 0 ? left : right;
        await store.readSession(work.ref);
        return { work, store };
      }));
      const settled = known.map(({ work, store }) => schedule.settle(store, work));
      await Promise.all([left.letGo(), right.letGo()]);
      expect([(await Promise.all(settled)).map(came), await attempts(schedule)]).toEqual([works.map(() => 'committed'), 24]);
    },
  },
  {
    name: 'an attempt that waits for a counter when its session is stopped from elsewhere is not counted with a step that does not land',
    run: async (schedule) => {
      const [work] = await inOneShard(schedule, 1);
      if (work === undefined) expect.fail();
      const lock = await holdCounters(schedule);
      const settled = schedule.settle(schedule.a, work);
      await schedule.waits('a');
      const stopped = schedule.stop(schedule.b, work.ref);
      await schedule.waits('b');
      await lock.release();
      const results = [came(await settled), came(await stopped)];
      // Whichever came first has recorded the attempt, and the other has nothing to record.
      expect([results[1], await attempts(schedule)]).toEqual(['committed', 2]);
    },
  },
  {
    name: 'a step whose connection breaks while it waits for a counter is counted once',
    run: async (schedule) => {
      const [work] = await inOneShard(schedule, 1);
      if (work === undefined) expect.fail();
      const lock = await holdCounters(schedule);
      const settled = schedule.settle(schedule.a, work);
      await schedule.waits('a');
      await schedule.cutWaiting('a');
      await lock.release();
      expect([came(await settled), await attempts(schedule)]).toEqual(['committed', 2]);
    },
  },
  {
    name: 'a session that is imported while a deletion of it is about to be committed is counted once, and can be deleted again',
    run: async (schedule) => {
      const work = await schedule.kit.inWork();
      const { ref } = work;
      expect(came(await schedule.settle(schedule.a, work))).toBe('committed');
      const { entries } = await schedule.kit.tail(ref);
      const { transaction, commit } = await schedule.callerTransaction('BEGIN ISOLATION LEVEL READ COMMITTED');
      expect(came(await schedule.delete(schedule.a, ref, { transaction }))).toBe('committed');
      const imported = importAgain(schedule.kit, ref, entries, schedule.b);
      await schedule.waits('b');
      await commit();
      await imported;
      expect([await attempts(schedule), await schedule.b.usage.countKept(ref)]).toEqual([1, 0]);
      await schedule.check();
      expect([came(await schedule.delete(schedule.a, ref)), await schedule.b.usage.countKept(ref), await attempts(schedule)]).toEqual(['committed', 1, 1]);
    },
  },
];

testSchedules('counters of usage on Postgres', counting);
