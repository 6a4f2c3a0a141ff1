import type { Interval } from './entry.ts';
import { stateMarkOf, type Mark } from './history.ts';
import { isVisible } from './intervals.ts';
import type { StateWrite } from './state.ts';

/** Of each key of the conversation the last visible entry: where it is, and whether the key has a value then. */
export function visibleState(marks: readonly Mark[], visible: readonly Interval[]): ReadonlyMap<string, { readonly seq: number; readonly isSet: boolean }> {
  const last = new Map<string, { readonly seq: number; readonly isSet: boolean }>();
  for (const { seq, mark } of marks) {
    const state = stateMarkOf(mark);
    if (state === null || !isVisible(visible, seq) || (last.get(state.key)?.seq ?? 0) >= seq) continue;
    last.set(state.key, { seq, isSet: state.isSet });
  }
  return last;
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
