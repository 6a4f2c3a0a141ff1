import type { Interval } from './entry.ts';
import { stateMarkOf, stateMarks, stateMarksOfKey, type Mark, type MarkRange } from './history.ts';
import { isVisible } from './intervals.ts';
import type { StateWrite } from './state.ts';

/** Of each key of the conversation the last visible entry: where it is, and whether the key has a value then. */
export type VisibleState = ReadonlyMap<string, { readonly seq: number; readonly isSet: boolean }>;

export function visibleState(marks: readonly Mark[], visible: readonly Interval[]): VisibleState {
  const last = new Map<string, { readonly seq: number; readonly isSet: boolean }>();
  for (const { seq, mark } of marks) {
    const state = stateMarkOf(mark);
    if (state === null || !isVisible(visible, seq) || (last.get(state.key)?.seq ?? 0) >= seq) continue;
    last.set(state.key, { seq, isSet: state.isSet });
  }
  return last;
}

/** Where the marks of these keys are; null: of all. */
export function stateRanges(keys: Iterable<string> | null): readonly MarkRange[] {
  return keys === null ? [stateMarks] : [...keys].flatMap(stateMarksOfKey);
}

/** How many keys there are matters to a write that may add one: not to those of keys that have a value already. Then at least those are there. */
export function addsNone(keys: ReadonlySet<string>, visible: VisibleState): boolean {
  return [...keys].every((key) => visible.get(key)?.isSet === true);
}

/** Which keys of which scopes writes look at; null instead of keys: at all of them. */
export function askedBy(writes: readonly StateWrite[]): ReadonlyMap<string, ReadonlySet<string> | null> {
  const asked = new Map<string, Set<string> | null>();
  for (const write of writes) {
    const keys = asked.get(write.scopeText);
    if (write.op === 'clear' || keys === null) asked.set(write.scopeText, null);
    else if (keys === undefined) asked.set(write.scopeText, new Set([write.key]));
    else keys.add(write.key);
  }
  return asked;
}
