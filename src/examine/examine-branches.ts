import type { Entry, EntryOf } from '../core/entry.ts';
import type { Branch } from '../core/history.ts';
import { canonicalJson, type JsonValue } from '../core/json.ts';

/** Compares a session's branches with its log: what was discarded and not restored since. Pure. Returns what is wrong, in words. */
export function examineBranches(entries: readonly Entry[], branches: readonly Branch[]): readonly string[] {
  const discarded = new Map<string, EntryOf<'branch-discarded'>>();
  for (const entry of entries) {
    if (entry.kind === 'branch-discarded') discarded.set(entry.branchId, entry);
    else if (entry.kind === 'branch-restored') discarded.delete(entry.branchId);
  }
  const rows = new Map(branches.map((branch) => [branch.id, branch]));
  return [
    ...[...discarded.keys()].filter((id) => !rows.has(id)).map((id) => `branch ${id} was discarded and cannot be restored: it has no row`),
    ...branches.flatMap((branch) => {
      const entry = discarded.get(branch.id);
      if (entry === undefined) return [`branch ${branch.id} has a row, and by the log there is no such branch`];
      // Older versions did not say what a branch followed on.
      const said = branchOf(entry, branch.before);
      return canonicalJson(branch as unknown as JsonValue) === canonicalJson(said as unknown as JsonValue) ? [] : [`branch ${branch.id} is ${canonicalJson(branch as unknown as JsonValue)}; by the log it is ${canonicalJson(said as unknown as JsonValue)}`];
    }),
  ];
}

function branchOf({ branchId: id, atMs: discardedAtMs, fromTurnId, turns, intervals, before }: EntryOf<'branch-discarded'>, unsaid: Branch['before']): Branch {
  return { id, discardedAtMs, fromTurnId, turns, before: before ?? unsaid, intervals };
}
