import type { Entry, EntryKind } from '../../../core/entry.ts';
import type { MakeCheck } from '../check.ts';

const toldKinds: ReadonlySet<EntryKind> = new Set(['turn-ended', 'assistant-step', 'action-opened', 'operation-ended']);
/** Once everything rests, whatever hooks are to hear was heard within so much time: what a process that died or a hook that failed left behind is taken over after 30 s, by a sweep every 10 s, and a hook may be slow. */
const toldWithinMs = 60_000;

/** G3: hooks are told of each entry that they are for at least once, whoever died in between, and again where they failed. */
export const hooksAreTold: MakeCheck = (violated) => {
  let due: { readonly sessionId: string; readonly entry: Entry }[] = [];
  return {
    committed({ ref, before, session, added }) {
      // Nobody is told any more of what was deleted.
      if (session === null) due = due.filter(({ sessionId }) => sessionId !== ref.id);
      // What is imported or copied happened elsewhere, and was told of there.
      if (before !== null) for (const entry of added) if (toldKinds.has(entry.kind) && entry.copied !== true) due.push({ sessionId: ref.id, entry });
    },
    async atRest(world) {
      const untold = () => due.find(({ sessionId, entry }) => !world.hooks.wasTold(sessionId, entry));
      const untilMs = world.time.nowMs + toldWithinMs;
      for (let left = untold(); left !== undefined; left = untold()) {
        if (world.time.nowMs >= untilMs) {
          violated('G3', `${left.sessionId}: no hook was told of ${left.entry.kind} (${left.entry.seq}), ${toldWithinMs} ms after everything came to rest`);
          return;
        }
        await world.time.advance(1_000);
      }
    },
  };
};

/** G3: an entry that hooks are told of leaves its event in its own commit. */
export const hooksHaveTheirEvent: MakeCheck = (violated, world) => {
  return {
    committed({ ref, before, session, added }) {
      // What is imported or copied happened elsewhere, and was told of there.
      if (before === null || session === null) return;
      for (const { kind, seq, copied } of added) {
        if (copied === true || !world.outboxKinds.has(kind)) continue;
        if (!world.database.hasEvent(ref, seq)) violated('G3', `${ref.id}: ${kind} (${seq}) is committed without the event that hooks are told of`);
      }
    },
  };
};

