import type { EntryKind } from '../../../core/entry.ts';
import type { Check, MakeCheck } from '../check.ts';
import type { Committed } from '../happenings.ts';

/** Changes of the history that end the turn that runs. */
const moves: ReadonlySet<EntryKind> = new Set(['history-rewound', 'history-redone', 'branch-discarded', 'branch-restored', 'session-ended']);

/** G4: a session's fence never falls; each claim raises it, and so does whatever ends the turn that runs from outside: stop, rewind, edit, restore, end. */
export const fenceRises: MakeCheck = (violated) => ({
  committed({ ref, before, session, added }) {
    if (before === null || session === null) return;
    if (session.fence < before.fence) violated('G4', `${ref.id}: its fence falls from ${before.fence} to ${session.fence}`);
    if (session.fence > before.fence) return;
    if (isNewClaim({ before, session })) violated('G4', `${ref.id}: ${session.claim?.worker} takes it, and its fence stays ${before.fence}`);
    const { turn } = before;
    if (turn === null) return;
    // Of what was committed together, a turn that has ended by itself is not ended by what comes after.
    const endsItself = added.findIndex((entry) => entry.kind === 'turn-ended' && entry.reason !== 'stopped' && entry.turnId === turn.id);
    const cut = added.slice(0, endsItself === -1 ? added.length : endsItself).find((entry) => (entry.kind === 'turn-ended' && entry.reason === 'stopped' && entry.turnId === turn.id) || moves.has(entry.kind));
    if (cut !== undefined) violated('G4', `${ref.id}: ${cut.kind} (${cut.seq}) ends turn ${turn.id}, and the fence stays ${before.fence}`);
  },
});

function isNewClaim({ before, session }: Pick<Committed, 'before' | 'session'>): boolean {
  const [had, has] = [before?.claim ?? null, session?.claim ?? null];
  return has !== null && (had?.worker !== has.worker || had.claimedAtMs !== has.claimedAtMs);
}

/** G4, G7: one worker at a time has a turn: it passes from one that lives to another only when the first has given it back. */
export const oneHolder: MakeCheck = (violated, world): Check => {
  const processOf = new Map<string, string>();
  return {
    committed({ ref, process, before, session }) {
      const [had, has] = [before?.claim ?? null, session?.claim ?? null];
      if (has === null || !isNewClaim({ before, session })) return;
      processOf.set(has.worker, process);
      // A command that ends the turn takes it from whoever had it.
      if (had === null || had.worker === has.worker || before?.turn?.id !== session?.turn?.id) return;
      const untilMs = world.database.leases().get(had.worker);
      const holder = world.processes.find(({ name }) => name === processOf.get(had.worker));
      const isDead = untilMs === undefined || untilMs <= world.time.nowMs || (world.plan.hasLocks && holder?.lives !== true);
      if (!isDead) violated('G4', `${ref.id}: ${has.worker} takes it from ${had.worker}, whose lease runs for ${untilMs - world.time.nowMs} ms more`);
    },
  };
};

/** G4: what a generation comes to is committed only by the worker that has the session, of the attempt that its row names: nothing of work that was superseded lands. */
export const workIsHeld: MakeCheck = (violated): Check => {
  const processOf = new Map<string, string>();
  return {
    committed({ ref, process, before, session, added }) {
      if (session?.claim != null && isNewClaim({ before, session })) processOf.set(session.claim.worker, process);
      if (before === null) return;
      for (const entry of added) {
        const isWork = (entry.kind === 'assistant-step' && entry.stopped !== true && entry.scripted !== true) || entry.kind === 'attempt-failed' || entry.kind === 'history-compacted';
        if (!isWork || entry.copied === true) continue;
        const { claim, turn } = before;
        if (claim === null) violated('G4', `${ref.id}: ${process} commits ${entry.kind} (${entry.seq}), and nobody had the session`);
        else if (processOf.get(claim.worker) !== process) violated('G4', `${ref.id}: ${process} commits ${entry.kind} (${entry.seq}), and ${claim.worker} of ${processOf.get(claim.worker)} had the session`);
        else if (turn?.attempt?.id !== entry.attempt.id) violated('G4', `${ref.id}: ${entry.kind} (${entry.seq}) is of attempt ${entry.attempt.id}, and ${turn?.attempt?.id} was in flight`);
      }
    },
  };
};
