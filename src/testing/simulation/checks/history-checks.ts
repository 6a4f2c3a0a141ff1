import type { Interval } from '../../../core/history-entry.ts';
import { isVisible } from '../../../core/intervals.ts';
import { isTimeline } from '../../../core/entry-format.ts';
import type { Check, MakeCheck } from '../check.ts';

/** G10: what leaves the visible history is a branch of that commit, or can be brought back by redo: each entry of the conversation is visible, or in the one place from which it comes back. */
export const nothingIsLeftOut: MakeCheck = (violated, world): Check => {
  /** Entries that futures have in common since one of them, which began within another, was brought back. */
  const shared = new Set<string>();
  return {
    committed({ ref, before, session, added, log }) {
      if (session === null || before === null || isSameHistory(before.visible, session.visible)) return;
      const filed = world.database.branchesOf(ref);
      if (filed.length !== session.branches) violated('G10', `${ref.id}: its row says ${session.branches} branches, there are ${filed.length}`);
      const kept = [session.visible, session.rewound?.intervals ?? [], ...filed.filter(({ discardedAtMs }) => discardedAtMs <= session.updatedAtMs).map(({ intervals }) => intervals)];
      const places = (seq: number): number => kept.filter((intervals) => isVisible(intervals, seq)).length;
      const lost = log.find((entry) => isTimeline(entry) && isVisible(before.visible, entry.seq) && entry.seq <= before.lastSeq && places(entry.seq) === 0);
      const several = log.filter((entry) => isTimeline(entry) && places(entry.seq) > 1);
      if (added.some(({ kind }) => kind === 'branch-restored')) for (const { seq } of several) shared.add(`${ref.id} ${seq}`);
      const twice = several.find(({ seq }) => !shared.has(`${ref.id} ${seq}`));
      if (twice !== undefined) violated('G10', `${ref.id}: entry ${twice.seq} (${twice.kind}) is in the history and in a branch, or in two branches`);
      if (lost !== undefined) violated('G10', `${ref.id}: entry ${lost.seq} (${lost.kind}) was visible, and is in no history and no branch`);
    },
  };
};

function isSameHistory(left: readonly Interval[], right: readonly Interval[]): boolean {
  return left.length === right.length && left.every(({ fromSeq, toSeq }, place) => right[place]?.fromSeq === fromSeq && right[place]?.toSeq === toSeq);
}
