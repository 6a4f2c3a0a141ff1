import type { Interval } from './entry.ts';

/** The visible history of a session that nobody moved in: all of its log. */
export const wholeLog: readonly Interval[] = [{ fromSeq: 1, toSeq: null }];

export function isVisible(visible: readonly Interval[], seq: number): boolean {
  return visible.some((interval) => seq >= interval.fromSeq && (interval.toSeq === null || seq <= interval.toSeq));
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

/** The history with a new stretch opened at `seq`, reaching to the log's end. */
export function openAt(kept: readonly Interval[], seq: number): readonly Interval[] {
  return [...kept, { fromSeq: seq, toSeq: null }];
}
