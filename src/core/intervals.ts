import type { Interval } from './entry.ts';

/** The visible history of a session that nobody moved in: all of its log. */
export const wholeLog: readonly Interval[] = [{ fromSeq: 1, toSeq: null }];

export function isVisible(visible: readonly Interval[], seq: number): boolean {
  return visible.some((interval) => seq >= interval.fromSeq && (interval.toSeq === null || seq <= interval.toSeq));
}

/** Reading backwards from before `seq`: where the next visible entry lies before; null: none does. So nobody reads through what was left. */
export function visibleBefore(visible: readonly Interval[], seq: number): number | null {
  const interval = visible.findLast(({ fromSeq }) => fromSeq < seq);
  if (interval === undefined) return null;
  return interval.toSeq === null ? seq : Math.min(seq, interval.toSeq + 1);
}

/** Reading on from after `seq`: where the next visible entry lies after; null: none does. */
export function visibleAfter(visible: readonly Interval[], seq: number): number | null {
  const interval = visible.find(({ toSeq }) => toSeq === null || toSeq > seq);
  return interval === undefined ? null : Math.max(seq, interval.fromSeq - 1);
}

/** The history that ends before `seq`, and what was cut off. The log's end is `lastSeq`. */
export function cutBefore(visible: readonly Interval[], seq: number, lastSeq: number): { readonly kept: readonly Interval[]; readonly cut: readonly Interval[] } {
  const kept: Interval[] = [];
  const cut: Interval[] = [];
  for (const { fromSeq, toSeq } of visible) {
    const end = toSeq ?? lastSeq;
    if (fromSeq < seq) kept.push({ fromSeq, toSeq: Math.min(end, seq - 1) });
    if (end >= seq) cut.push({ fromSeq: Math.max(fromSeq, seq), toSeq: end });
  }
  return { kept, cut };
}

/**
 * The history that goes on at `seq`. Where its end was closed, a new stretch is opened; unless nothing of the conversation was written since: `timelineSeq` is the seq of the last entry that belongs to
 * it, 0 where that is not known.
 */
export function openAt(visible: readonly Interval[], seq: number, timelineSeq = 0): readonly Interval[] {
  const last = visible.at(-1);
  if (last?.toSeq === null) return visible;
  if (last !== undefined && timelineSeq > 0 && last.toSeq >= timelineSeq) return [...visible.slice(0, -1), { fromSeq: last.fromSeq, toSeq: null }];
  return [...visible, { fromSeq: seq, toSeq: null }];
}

/** The history, its open end closed at the log's end. */
export function closedAt(visible: readonly Interval[], lastSeq: number): readonly Interval[] {
  return visible.map(({ fromSeq, toSeq }) => ({ fromSeq, toSeq: toSeq ?? lastSeq }));
}

/** Closed stretches one after the other, those that touch as one. */
export function joined(...histories: readonly (readonly Interval[])[]): readonly Interval[] {
  return histories.flat().reduce<readonly Interval[]>((done, next) => {
    const last = done.at(-1);
    if (last === undefined || last.toSeq === null || last.toSeq + 1 !== next.fromSeq) return [...done, next];
    return [...done.slice(0, -1), { fromSeq: last.fromSeq, toSeq: next.toSeq }];
  }, []);
}

/** The first seq of a closed history after what it has in common with another from their beginning on; null: it ends there. */
export function leavesAt(left: readonly Interval[], right: readonly Interval[]): number | null {
  for (const [place, one] of left.entries()) {
    const other = right[place];
    if (other === undefined || other.fromSeq !== one.fromSeq) return one.fromSeq;
    const [end, otherEnd] = [one.toSeq ?? Infinity, other.toSeq ?? Infinity];
    if (otherEnd < end) return otherEnd + 1;
    if (end < otherEnd) return left[place + 1]?.fromSeq ?? null;
  }
  return null;
}
