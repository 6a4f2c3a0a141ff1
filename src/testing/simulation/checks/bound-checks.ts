import { limits } from '../../../core/limits.ts';
import type { Check, MakeCheck } from '../check.ts';

/** A row without what people put into it (metadata, queue, calls, actions): it is the same size after five turns and after five hundred. */
const rowBytesMax = 16_384;
/** Bytes of a row for each thing that it lists, of which there are so many at most by other limits. */
const listedBytesMax = 1_024;
/** Entries of one turn: its steps, attempts, results, messages, and what operations and people add. */
const entriesPerTurnMax = 400;

/** G15: every queue, loop and retry has its limit. */
export const limitsHold: MakeCheck = (violated): Check => {
  const entriesOf = new Map<string, number>();
  const failuresOf = new Map<string, number>();
  return {
    committed({ ref, session, added }) {
      if (session === null) return;
      const { turn } = session;
      const counts: readonly (readonly [string, number, number])[] = [
        ['messages wait', session.queue.length, limits.queueMessagesMax], ['branches', session.branches, limits.branchesMax], ['operations live', session.operations.length, limits.operationsPerSessionMax],
        ['crashes in a row', session.crashes, limits.crashesBeforeSolo + limits.soloCrashesMax], ['turns in a row that nobody asked for', session.turnsUnasked, limits.turnsUnaskedMax],
        ['attempts of a step', turn?.stepAttempts ?? 0, limits.attemptsPerStepMax], ['failed attempts of a turn', turn?.failedAttempts ?? 0, limits.failedAttemptsPerTurnMax],
        ['calls of a step', turn?.lastStep?.calls ?? 0, limits.callsPerStepMax], ['characters of the title', session.title?.length ?? 0, limits.titleCharsMax], ['characters of the preview', session.preview?.length ?? 0, limits.previewCharsMax],
      ];
      for (const [what, count, most] of counts) if (count > most) violated('G15', `${ref.id}: ${count} ${what}, of ${most} at most`);
      for (const entry of added) {
        if (!('turnId' in entry) || entry.turnId === undefined) continue;
        const key = `${ref.id} ${entry.turnId}`;
        const count = (entriesOf.get(key) ?? 0) + 1;
        entriesOf.set(key, count);
        if (count === entriesPerTurnMax + 1) violated('G15', `${ref.id}: more than ${entriesPerTurnMax} entries of turn ${entry.turnId}`);
        if (entry.kind === 'attempt-failed' || entry.kind === 'attempt-lost') failuresOf.set(key, (failuresOf.get(key) ?? 0) + 1);
      }
      // What the row counts is what keeps the turn from trying for ever.
      const failures = failuresOf.get(`${ref.id} ${turn?.id}`) ?? 0;
      if (turn !== null && turn.failedAttempts !== failures) violated('G15', `${ref.id}: turn ${turn.id} counts ${turn.failedAttempts} failed attempts, and its log has ${failures}`);
    },
  };
};

/** G11: the row of a session does not grow with its conversation. */
export const rowStaysSmall: MakeCheck = (violated) => ({
  atRest({ sessions }) {
    for (const session of sessions) {
      const { metadata, queue, turn, visible, deliveries, operations, rewound, simulator, ...rest } = session;
      const bytes = JSON.stringify(rest).length;
      if (bytes > rowBytesMax) violated('G11', `${session.id}: its row has ${bytes} bytes after ${session.turns} turns`);
      const listed = { queue, visible, deliveries, operations, rewound: rewound?.intervals ?? [] };
      for (const [name, items] of Object.entries(listed)) if (JSON.stringify(items).length > items.length * listedBytesMax + 2) violated('G11', `${session.id}: ${name} has ${items.length} items in ${JSON.stringify(items).length} bytes`);
      if (visible.length > 2 * session.branches + 2) violated('G11', `${session.id}: ${visible.length} visible intervals, and ${session.branches} branches`);
    }
  },
});
