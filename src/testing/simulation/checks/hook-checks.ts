import type { MakeCheck } from '../check.ts';

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

