import { expect } from 'vitest';
import { fork } from '../../src/commands/fork.ts';
import { redact } from '../../src/commands/redact.ts';
import { callPart, doneResult } from '../../src/store/conformance/kit.ts';
import type { SessionRef, Store } from '../../src/store/store.ts';
import { answered, asking, futures, hostOf, placesOf, resting, rewinds, working } from '../support/postgres-schedule-history.ts';
import { testSchedules, type PostgresSchedule, type Schedule } from '../support/postgres-schedule-kit.ts';

/** A fork on the gated store, held where this statement is about to go out, while `meanwhile` happens to its origin. */
async function forkAround(schedule: Schedule, ref: SessionRef, pattern: RegExp, meanwhile: () => Promise<unknown>): Promise<{ readonly came: string; readonly copy: SessionRef }> {
  const { store, gate } = await schedule.gated();
  const caught = gate.next(pattern);
  const forked = fork(hostOf(schedule, store), ref.id, {}, asking('fork'));
  await caught.reached;
  await meanwhile();
  caught.pass();
  const result = await forked;
  return { came: answered(result), copy: { tenant: ref.tenant, id: 'refused' in result ? '' : result.reply.sessionId } };
}

const [copyRead, copyWritten] = [/_entriesAfter\n/, /_crea(_|\n)/];

const forks: readonly PostgresSchedule[] = [
  ...([['read', copyRead], ['written', copyWritten]] as const).map(([what, pattern]): PostgresSchedule => ({
    name: `a step of the origin just before the copy is ${what} is not in the copy, whose turn is stopped`,
    run: async (schedule) => {
      const work = await working(schedule);
      const { came: result, copy } = await forkAround(schedule, work.ref, pattern, () => schedule.settle(schedule.a, work));
      expect([result, await futures(schedule, copy)]).toEqual(['done', [['message 1', 'message 2', 'message 3'], [], 0]]);
      expect([(await schedule.kinds(copy)).at(-1), (await schedule.kinds(copy)).filter((kind) => kind === 'assistant-step').length]).toEqual(['turn-ended', 2]);
      expect((await schedule.kinds(work.ref)).slice(-2)).toEqual(['assistant-step', 'turn-ended']);
    },
  })),
  {
    name: 'a rewind of the origin while the copy is read changes nothing of the copy',
    run: async (schedule) => {
      const { ref, turnIds } = await resting(schedule);
      const { came: result, copy } = await forkAround(schedule, ref, copyRead, () => rewinds(schedule, schedule.a, ref, turnIds[0]));
      expect([result, (await futures(schedule, copy))[0], (await futures(schedule, ref))[0]]).toEqual(['done', ['message 1', 'message 2', 'message 3'], ['message 1']]);
    },
  },
  {
    name: 'a deletion of the origin before the copy is read: there is nothing to copy',
    run: async (schedule) => {
      const { ref } = await resting(schedule);
      expect((await forkAround(schedule, ref, copyRead, () => schedule.delete(schedule.a, ref))).came).toBe('session_not_found');
      expect(await schedule.query('SELECT * FROM {schema}.session')).toEqual([]);
    },
  },
  ...([['read', copyRead], ['written', copyWritten]] as const).map(([what, pattern]): PostgresSchedule => ({
    name: `a redaction of the origin before the copy is ${what} is one of the copy too`,
    run: async (schedule) => {
      const { ref } = await resting(schedule);
      const said = (await schedule.b.readEntries(ref, { limit: 100 })).find(({ kind }) => kind === 'user-message');
      const { came: result, copy } = await forkAround(schedule, ref, pattern, async () => expect(answered(await redact(hostOf(schedule, schedule.b), ref.id, { seq: said?.seq ?? 0 }, asking()))).toBe('done'));
      expect([result, (await futures(schedule, copy))[0], await placesOf(schedule, 'message 1')]).toEqual(['done', ['[redacted]', 'message 2', 'message 3'], []]);
    },
  })),
  {
    name: 'a redaction of the origin that is under way while the copy is written: one of them waits for the other',
    run: async (schedule) => {
      const { ref } = await resting(schedule);
      const said = (await schedule.b.readEntries(ref, { limit: 100 })).find(({ kind }) => kind === 'user-message');
      const held = await schedule.hold('SELECT 1 FROM {schema}.session WHERE id = $1 FOR NO KEY UPDATE', [ref.id]);
      const copying = await schedule.another('copying');
      const forked = fork(hostOf(schedule, copying), ref.id, {}, asking('fork'));
      await schedule.waits('copying');
      const redacted = redact(hostOf(schedule, schedule.b), ref.id, { seq: said?.seq ?? 0 }, asking());
      await held.release();
      const result = await forked;
      expect([answered(result), answered(await redacted)]).toEqual(['done', 'done']);
      const copy = { tenant: ref.tenant, id: 'refused' in result ? '' : result.reply.sessionId };
      // Whichever came first: what was copied before the redaction is the copy's own, and nothing is there by halves.
      expect((await futures(schedule, copy))[0]?.slice(1)).toEqual(['message 2', 'message 3']);
      expect((await futures(schedule, ref))[0]).toEqual(['[redacted]', 'message 2', 'message 3']);
    },
  },
  {
    name: 'a deletion of the origin before the copy is written: there is nothing to copy',
    run: async (schedule) => {
      const { ref } = await resting(schedule);
      expect((await forkAround(schedule, ref, copyWritten, () => schedule.delete(schedule.a, ref))).came).toBe('session_not_found');
      expect(await schedule.query('SELECT * FROM {schema}.session')).toEqual([]);
    },
  },
  {
    name: 'one fork sent twice at once with one key is one copy, and both are told of it',
    run: async (schedule) => {
      const { ref } = await resting(schedule);
      const { came: late, copy } = await forkAround(schedule, ref, copyWritten, async () => expect(answered(await fork(hostOf(schedule, schedule.b), ref.id, {}, asking('fork')))).toBe('done'));
      expect([late, (await futures(schedule, copy))[0], await schedule.query('SELECT id FROM {schema}.session WHERE id <> $1', [ref.id])]).toEqual(['replayed', ['message 1', 'message 2', 'message 3'], [{ id: copy.id }]]);
    },
  },
];

/** A conversation with a tool's output that the log has cut short, and that is kept whole beside it. */
async function withWhole(schedule: Schedule): Promise<SessionRef> {
  const { kit } = schedule;
  const work = await kit.inWork();
  const session = await kit.settle(work, [callPart(0, 'look')], 'tool-calls');
  await schedule.a.storeWholeResult({ ref: work.ref, id: 'res_1', body: '"a secret"' });
  const answering = await kit.settleCalls(work, session.turn?.lastStep?.seq ?? 0, [{ ...doneResult(0, 'look', 'cut'), wholeId: 'res_1' }]);
  await kit.settle(kit.next(work, answering), [{ type: 'text', text: 'done' }]);
  return work.ref;
}

const wholes: readonly PostgresSchedule[] = [
  {
    name: 'a fork whose reply was lost, asked for again when its copy was redacted, does not bring back what was removed',
    run: async (schedule) => {
      const ref = await withWhole(schedule);
      const forks = (store: Store) => fork(hostOf(schedule, store), ref.id, {}, asking('fork'));
      const first = await forks(schedule.a);
      const copy = { tenant: ref.tenant, id: 'refused' in first ? '' : first.reply.sessionId };
      const kept = async () => schedule.query('SELECT session_id FROM {schema}.whole_result ORDER BY session_id = $1', [copy.id]);
      expect(await kept()).toEqual([{ session_id: ref.id }, { session_id: copy.id }]);
      const results = (await schedule.b.readEntries(copy, { limit: 100 })).find(({ kind }) => kind === 'tool-results');
      expect(answered(await redact(hostOf(schedule, schedule.b), copy.id, { seq: results?.seq ?? 0 }, asking()))).toBe('done');
      expect([answered(await forks(schedule.b)), await kept()]).toEqual(['replayed', [{ session_id: ref.id }]]);
    },
  },
  {
    name: 'a redaction of the origin before the copy is written leaves the whole result with neither',
    run: async (schedule) => {
      const ref = await withWhole(schedule);
      const results = (await schedule.b.readEntries(ref, { limit: 100 })).find(({ kind }) => kind === 'tool-results');
      expect((await forkAround(schedule, ref, copyWritten, () => redact(hostOf(schedule, schedule.b), ref.id, { seq: results?.seq ?? 0 }, asking()))).came).toBe('done');
      expect(await schedule.query('SELECT * FROM {schema}.whole_result')).toEqual([]);
    },
  },
];

testSchedules('forks on Postgres', [...forks, ...wholes]);
