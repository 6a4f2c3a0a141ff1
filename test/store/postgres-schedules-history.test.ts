import { expect } from 'vitest';
import { acceptEdit } from '../../src/core/accept/edit.ts';
import { acceptRestore } from '../../src/core/accept/restore.ts';
import { acceptRedo } from '../../src/core/accept/rewind.ts';
import { retry } from '../../src/commands/history.ts';
import { branchesOf, edited, move } from '../../src/store/conformance/branch-kit.ts';
import type { SessionRef, Store } from '../../src/store/store.ts';
import { answered, asking, futures, hostOf, moves, resting, rewinds, working, type Working } from '../support/postgres-schedule-history.ts';
import type { CaughtStatement } from '../support/postgres-schedule.ts';
import { came, testSchedules, type PostgresSchedule, type Schedule } from '../support/postgres-schedule-kit.ts';

type Turns = readonly [string, string, string];
type Came = { readonly kind: string } | 'stored' | 'fence-lost';
type Verb = readonly ['a' | 'b', () => Promise<Came>];
type Resting = { readonly ref: SessionRef; readonly turnIds: Turns };

const settles = (schedule: Schedule, work: Working): Verb => ['a', () => schedule.settle(schedule.a, work)];
const sends = (schedule: Schedule, { ref }: Resting): Verb => ['a', () => schedule.send(schedule.a, ref, 'late')];
const deletes = (schedule: Schedule, { ref }: Resting): Verb => ['a', () => schedule.delete(schedule.a, ref)];
/** To the end of the first turn. */
const rewindsTo1 = (schedule: Schedule, { ref, turnIds }: Resting, stop = false): Verb => ['b', () => rewinds(schedule, schedule.b, ref, turnIds[0], stop)];
const redoes = (schedule: Schedule, { ref }: Resting): Verb => ['b', () => moves(schedule, schedule.b, ref, acceptRedo())];

/** Two that come in this order; what each comes to, and what the history is then: what is said, the turns in each branch, the turns that can be brought back. */
async function inOrder(schedule: Schedule, ref: SessionRef, first: Verb, second: Verb): Promise<readonly unknown[]> {
  const results = await schedule.inLine<Came, Came>(ref, first, second);
  return [...results.map(came), ...await futures(schedule, ref)];
}

const rewindsAndWork: readonly PostgresSchedule[] = [
  {
    name: 'a rewind that stops before the step: the step lands nowhere, and the turn is cut off as it was stopped',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, rewindsTo1(schedule, work, true), settles(schedule, work))).toEqual(['committed', 'fence_lost', ['message 1'], [], 2]);
      expect((await schedule.kinds(work.ref)).slice(-3)).toEqual(['attempt-stopped', 'turn-ended', 'history-rewound']);
    },
  },
  {
    name: 'the step before a rewind that stops: there is nothing to stop, and the answer is cut off with its turn',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, settles(schedule, work), rewindsTo1(schedule, work, true))).toEqual(['committed', 'committed', ['message 1'], [], 2]);
      expect((await schedule.kinds(work.ref)).slice(-3)).toEqual(['assistant-step', 'turn-ended', 'history-rewound']);
    },
  },
  {
    name: 'a rewind that does not stop before the step is refused, and the step lands',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, rewindsTo1(schedule, work), settles(schedule, work))).toEqual(['session_busy', 'committed', ['message 1', 'message 2', 'message 3'], [], 0]);
    },
  },
  {
    name: 'the step before a rewind that does not stop: the session is at rest by then',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, settles(schedule, work), rewindsTo1(schedule, work))).toEqual(['committed', 'committed', ['message 1'], [], 2]);
    },
  },
  {
    name: 'a piece of live output before a rewind that stops: it is in the step that is cut off',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, ['a', () => schedule.chunk(schedule.a, work, 0, 0, 'shown')], rewindsTo1(schedule, work, true))).toEqual(['stored', 'committed', ['message 1'], [], 2]);
      expect((await schedule.b.readEntries(work.ref, { limit: 100 })).filter((entry) => entry.kind === 'assistant-step').at(-1)?.parts).toEqual([{ type: 'text', text: 'shown' }]);
    },
  },
  {
    name: 'a rewind that stops before a piece of live output: it is not stored',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, rewindsTo1(schedule, work, true), ['a', () => schedule.chunk(schedule.a, work, 0, 0, 'late')])).toEqual(['committed', 'fence-lost', ['message 1'], [], 2]);
      expect(await schedule.query('SELECT * FROM {schema}.chunk')).toEqual([]);
    },
  },
  {
    name: 'a takeover before a rewind that stops: the next worker has lost its work too',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, ['a', () => schedule.claim(schedule.a, work.ref, 'wrk_c', ['wrk_a'])], rewindsTo1(schedule, work, true))).toEqual(['committed', 'committed', ['message 1'], [], 2]);
      expect(await schedule.b.findHeld('wrk_c')).toEqual([]);
    },
  },
  {
    name: 'a rewind that stops before a takeover: there is nothing to take over',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, rewindsTo1(schedule, work, true), ['a', () => schedule.claim(schedule.a, work.ref, 'wrk_c', ['wrk_a'])])).toEqual(['committed', 'not_claimable', ['message 1'], [], 2]);
    },
  },
  {
    name: 'a message that is queued just before a rewind that stops waits on, and opens no turn',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, sends(schedule, work), rewindsTo1(schedule, work, true))).toEqual(['committed', 'committed', ['message 1'], [], 2]);
      const session = await schedule.b.readSession(work.ref);
      expect([session?.turn, session?.queueHeld, session?.queue.length]).toEqual([null, true, 1]);
    },
  },
];

const movesAtOnce: readonly PostgresSchedule[] = [
  {
    name: 'a rewind before a message: the message goes on from where it leads, and what was cut off is a branch',
    run: async (schedule) => {
      const chat = await resting(schedule);
      expect(await inOrder(schedule, chat.ref, rewindsTo1(schedule, chat), sends(schedule, chat))).toEqual(['committed', 'committed', ['message 1', 'late'], [2], 0]);
    },
  },
  {
    name: 'a message before a rewind: its turn runs, and the rewind is refused',
    run: async (schedule) => {
      const chat = await resting(schedule);
      expect(await inOrder(schedule, chat.ref, sends(schedule, chat), rewindsTo1(schedule, chat))).toEqual(['committed', 'session_busy', ['message 1', 'message 2', 'message 3', 'late'], [], 0]);
    },
  },
  {
    name: 'a message before a rewind that stops: its turn is cut off with the others',
    run: async (schedule) => {
      const chat = await resting(schedule);
      expect(await inOrder(schedule, chat.ref, sends(schedule, chat), rewindsTo1(schedule, chat, true))).toEqual(['committed', 'committed', ['message 1'], [], 3]);
    },
  },
  {
    name: 'of two rewinds to one turn the second changes nothing',
    run: async (schedule) => {
      const chat = await resting(schedule);
      expect(await inOrder(schedule, chat.ref, ['a', () => rewinds(schedule, schedule.a, chat.ref, chat.turnIds[0])], rewindsTo1(schedule, chat))).toEqual(['committed', 'committed', ['message 1'], [], 2]);
      expect((await schedule.kinds(chat.ref)).filter((kind) => kind === 'history-rewound')).toHaveLength(1);
    },
  },
  {
    name: 'of two rewinds the one that leads further back adds to the other, and one redo brings back all of it',
    run: async (schedule) => {
      const chat = await resting(schedule);
      expect((await inOrder(schedule, chat.ref, ['a', () => rewinds(schedule, schedule.a, chat.ref, chat.turnIds[1])], rewindsTo1(schedule, chat))).slice(0, 3)).toEqual(['committed', 'committed', ['message 1']]);
      await move(schedule.kit, chat.ref, acceptRedo());
      expect(await futures(schedule, chat.ref)).toEqual([['message 1', 'message 2', 'message 3'], [], 0]);
    },
  },
  {
    name: 'a rewind to a turn that another rewind has just cut off finds it no more',
    run: async (schedule) => {
      const chat = await resting(schedule);
      expect(await inOrder(schedule, chat.ref, rewindsTo1(schedule, chat), ['a', () => rewinds(schedule, schedule.a, chat.ref, chat.turnIds[1])])).toEqual(['committed', 'turn_not_found', ['message 1'], [], 2]);
    },
  },
  {
    name: 'a redo before a message: all is visible again, and the message comes after it',
    run: async (schedule) => {
      const chat = await resting(schedule);
      await rewinds(schedule, schedule.a, chat.ref, chat.turnIds[0]);
      expect(await inOrder(schedule, chat.ref, redoes(schedule, chat), sends(schedule, chat))).toEqual(['committed', 'committed', ['message 1', 'message 2', 'message 3', 'late'], [], 0]);
    },
  },
  {
    name: 'a message before a redo ends it: what was cut off is a branch, once',
    run: async (schedule) => {
      const chat = await resting(schedule);
      await rewinds(schedule, schedule.a, chat.ref, chat.turnIds[0]);
      expect(await inOrder(schedule, chat.ref, sends(schedule, chat), redoes(schedule, chat))).toEqual(['committed', 'session_busy', ['message 1', 'late'], [2], 0]);
    },
  },
  {
    name: 'of two redos the second has nothing to bring back',
    run: async (schedule) => {
      const chat = await resting(schedule);
      await rewinds(schedule, schedule.a, chat.ref, chat.turnIds[0]);
      expect(await inOrder(schedule, chat.ref, ['a', () => moves(schedule, schedule.a, chat.ref, acceptRedo())], redoes(schedule, chat))).toEqual(['committed', 'committed', ['message 1', 'message 2', 'message 3'], [], 0]);
      expect((await schedule.kinds(chat.ref)).filter((kind) => kind === 'history-redone')).toHaveLength(1);
    },
  },
  {
    name: 'a rewind before a deletion goes with its session; one after it finds none',
    run: async (schedule) => {
      const [first, second] = [await resting(schedule), await resting(schedule)];
      for (const { ref, turnIds } of [first, second]) await move(schedule.kit, ref, edited(schedule.kit, turnIds[2], 'instead'));
      expect((await schedule.inLine<Came, Came>(first.ref, rewindsTo1(schedule, first, true), deletes(schedule, first))).map(came)).toEqual(['committed', 'committed']);
      expect((await schedule.inLine<Came, Came>(second.ref, deletes(schedule, second), rewindsTo1(schedule, second, true))).map(came)).toEqual(['committed', 'session_not_found']);
      expect(await schedule.query('SELECT * FROM {schema}.branch')).toEqual([]);
    },
  },
];

/** A conversation whose last two turns were left for another, which is answered. */
async function branched(schedule: Schedule): Promise<Resting & { readonly branchId: string }> {
  const chat = await resting(schedule);
  await move(schedule.kit, chat.ref, edited(schedule.kit, chat.turnIds[1], 'instead'));
  await schedule.kit.answer(chat.ref, 'answered');
  const [branch] = await branchesOf(schedule.kit, chat.ref);
  return { ...chat, branchId: branch?.id ?? '' };
}

const restores = (schedule: Schedule, store: Store, { ref, branchId }: Resting & { readonly branchId: string }, stop = false) => moves(schedule, store, ref, acceptRestore({ branchId, stop }), { branchId });

const branches: readonly PostgresSchedule[] = [
  {
    name: 'a restore before a rewind: the rewind shortens what is restored',
    run: async (schedule) => {
      const chat = await branched(schedule);
      expect(await inOrder(schedule, chat.ref, ['a', () => restores(schedule, schedule.a, chat)], rewindsTo1(schedule, chat))).toEqual(['committed', 'committed', ['message 1'], [1], 2]);
    },
  },
  {
    name: 'a rewind before a restore: what it cut off is a branch, and the restored one is whole',
    run: async (schedule) => {
      const chat = await branched(schedule);
      expect(await inOrder(schedule, chat.ref, rewindsTo1(schedule, chat), ['a', () => restores(schedule, schedule.a, chat)])).toEqual(['committed', 'committed', ['message 1', 'message 2', 'message 3'], [1], 0]);
    },
  },
  {
    name: 'of two restores of one branch the second finds it no more',
    run: async (schedule) => {
      const chat = await branched(schedule);
      expect(await inOrder(schedule, chat.ref, ['a', () => restores(schedule, schedule.a, chat)], ['b', () => restores(schedule, schedule.b, chat)])).toEqual(['committed', 'branch_not_found', ['message 1', 'message 2', 'message 3'], [1], 0]);
    },
  },
  {
    name: 'a message before a restore that stops goes into a branch with what it was said in',
    run: async (schedule) => {
      const chat = await branched(schedule);
      expect(await inOrder(schedule, chat.ref, sends(schedule, chat), ['b', () => restores(schedule, schedule.b, chat, true)])).toEqual(['committed', 'committed', ['message 1', 'message 2', 'message 3'], [2], 0]);
    },
  },
  {
    name: 'a restore before a message: the message goes on from what is restored',
    run: async (schedule) => {
      const chat = await branched(schedule);
      expect(await inOrder(schedule, chat.ref, ['b', () => restores(schedule, schedule.b, chat)], sends(schedule, chat))).toEqual(['committed', 'committed', ['message 1', 'message 2', 'message 3', 'late'], [1], 0]);
    },
  },
];

const says = (schedule: Schedule, turnId: string, stop: boolean, text = 'instead') => acceptEdit({ turnId, stop, message: { messageId: schedule.kit.mint('msg'), parts: [{ type: 'text', text }] } });

const edits: readonly PostgresSchedule[] = [
  {
    name: 'one edit sent twice at once with one key has one effect, and both are told of it',
    run: async (schedule) => {
      const { ref, turnIds } = await resting(schedule);
      const idempotency = [schedule.kit.key(`edit ${ref.id}`)];
      const [first, second] = await schedule.inLine(ref, ['a', () => moves(schedule, schedule.a, ref, says(schedule, turnIds[2], true), { idempotency })], ['b', () => moves(schedule, schedule.b, ref, says(schedule, turnIds[2], true), { idempotency })]);
      expect([first, second].map(came)).toEqual(['committed', 'replayed']);
      expect(second.kind === 'replayed' && second.reply).toEqual(first.kind === 'committed' && first.reply.reply);
      expect(await futures(schedule, ref)).toEqual([['message 1', 'message 2', 'instead'], [1], 0]);
    },
  },
  ...([{ stop: true, refused: 'turn_not_found' }, { stop: false, refused: 'session_busy' }]).map(({ stop, refused }): PostgresSchedule => ({
    name: `of two edits of one turn the second, which ${stop ? 'stops' : 'does not stop'}, is refused: ${refused}`,
    run: async (schedule) => {
      const { ref, turnIds } = await resting(schedule);
      expect(await inOrder(schedule, ref, ['a', () => moves(schedule, schedule.a, ref, says(schedule, turnIds[2], stop))], ['b', () => moves(schedule, schedule.b, ref, says(schedule, turnIds[2], stop, 'rather'))]))
        .toEqual(['committed', refused, ['message 1', 'message 2', 'instead'], [1], 0]);
    },
  })),
  {
    name: 'an edit of a revision that a message has just passed is refused, though it would stop',
    run: async (schedule) => {
      const chat = await resting(schedule);
      const expectedRevision = (await schedule.b.readSession(chat.ref))?.revision ?? 0;
      expect(await inOrder(schedule, chat.ref, sends(schedule, chat), ['b', () => moves(schedule, schedule.b, chat.ref, says(schedule, chat.turnIds[2], true), { expectedRevision })]))
        .toEqual(['committed', 'revision_conflict', ['message 1', 'message 2', 'message 3', 'late'], [], 0]);
    },
  },
  {
    name: 'an edit that stops before the step: the step lands nowhere, and the new message is answered',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, ['b', () => moves(schedule, schedule.b, work.ref, says(schedule, work.turnIds[2], true))], settles(schedule, work))).toEqual(['committed', 'fence_lost', ['message 1', 'message 2', 'instead'], [1], 0]);
      expect(came(await schedule.claim(schedule.a, work.ref, 'wrk_a'))).toBe('committed');
    },
  },
  {
    name: 'the step before an edit: the answer is in the branch',
    run: async (schedule) => {
      const work = await working(schedule);
      expect(await inOrder(schedule, work.ref, settles(schedule, work), ['b', () => moves(schedule, schedule.b, work.ref, says(schedule, work.turnIds[2], false))])).toEqual(['committed', 'committed', ['message 1', 'message 2', 'instead'], [1], 0]);
    },
  },
  {
    name: 'a retry that has read the last turn, just after a message was sent, is refused as busy',
    run: async (schedule) => {
      const chat = await resting(schedule);
      const lock = await schedule.holdSession(chat.ref);
      const sent = schedule.send(schedule.a, chat.ref, 'late');
      await schedule.waits('a');
      const retried = retry(hostOf(schedule, schedule.b), chat.ref.id, {}, asking());
      await schedule.waits('b');
      await lock.release();
      expect([came(await sent), answered(await retried), await futures(schedule, chat.ref)]).toEqual(['committed', 'session_busy', [['message 1', 'message 2', 'message 3', 'late'], [], 0]]);
    },
  },
  ...([false, true]).map((stop): PostgresSchedule => ({
    name: `a retry that has read the last turn before another one was ${stop ? 'begun, and would stop that one' : 'said and answered'} is refused, and leaves neither`,
    run: async (schedule) => {
      const { store, gate } = await schedule.gated();
      const chat = await resting(schedule);
      const caught = gate.next(/_lockSession\n/);
      const retried = retry(hostOf(schedule, store), chat.ref.id, { stop }, asking());
      await caught.reached;
      await schedule.send(schedule.a, chat.ref, 'late');
      if (!stop) await schedule.kit.answer(chat.ref, 'answered');
      caught.pass();
      expect([answered(await retried), await futures(schedule, chat.ref)]).toEqual(['revision_conflict', [['message 1', 'message 2', 'message 3', 'late'], [], 0]]);
    },
  })),
  {
    name: 'one retry sent twice at once with one key says the message again once',
    run: async (schedule) => {
      const { ref } = await resting(schedule);
      const lock = await schedule.holdSession(ref);
      const first = retry(hostOf(schedule, schedule.a), ref.id, { stop: true }, asking('again'));
      await schedule.waits('a');
      const second = retry(hostOf(schedule, schedule.b), ref.id, { stop: true }, asking('again'));
      await schedule.waits('b');
      await lock.release();
      expect([answered(await first), answered(await second), await futures(schedule, ref)]).toEqual(['done', 'replayed', [['message 1', 'message 2', 'message 3'], [1], 0]]);
    },
  },
];

const faults: readonly { readonly what: string; readonly strike: (caught: CaughtStatement) => void }[] = [
  { what: 'whose reply is lost has landed, and is not made again', strike: (caught) => caught.loseReply() },
  { what: 'that is lost on its way to the server is made again', strike: (caught) => caught.lose() },
  { what: 'that loses to another transaction (40001) is made again', strike: (caught) => caught.refuse('40001') },
];

const lost: readonly PostgresSchedule[] = faults.flatMap(({ what, strike }) => ([
  { verb: 'a rewind', begin: (schedule: Schedule, store: Store, { ref, turnIds }: Resting) => rewinds(schedule, store, ref, turnIds[0]), after: [['message 1'], [], 2] },
  { verb: 'an edit', begin: (schedule: Schedule, store: Store, { ref, turnIds }: Resting) => moves(schedule, store, ref, says(schedule, turnIds[1], false)), after: [['message 1', 'instead'], [2], 0] },
  { verb: 'a redo', begin: async (schedule: Schedule, store: Store, { ref, turnIds }: Resting) => {
    await rewinds(schedule, schedule.a, ref, turnIds[0]);
    return moves(schedule, store, ref, acceptRedo());
  }, after: [['message 1', 'message 2', 'message 3'], [], 0] },
  { verb: 'a message that ends what could be redone', begin: async (schedule: Schedule, store: Store, { ref, turnIds }: Resting) => {
    await rewinds(schedule, schedule.a, ref, turnIds[0]);
    return schedule.send(store, ref, 'late');
  }, after: [['message 1', 'late'], [2], 0] },
]).map(({ verb, begin, after }): PostgresSchedule => ({
  name: `${verb} ${what}`,
  run: async (schedule) => {
    const { store, gate } = await schedule.gated();
    const chat = await resting(schedule);
    const caught = gate.next(/^\nCOMMIT/);
    const moved = begin(schedule, store, chat);
    await caught.reached;
    strike(caught);
    expect([came(await moved), await futures(schedule, chat.ref)]).toEqual(['committed', after]);
    expect((await schedule.kinds(chat.ref)).filter((kind) => kind === 'history-rewound' || kind === 'history-redone')).toHaveLength(verb === 'a redo' ? 2 : 1);
  },
})));

testSchedules('moves through the history on Postgres', [...rewindsAndWork, ...movesAtOnce]);
testSchedules('branches and edits on Postgres', [...branches, ...edits]);
testSchedules('moves whose reply is lost on Postgres', lost);
