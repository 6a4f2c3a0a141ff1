import type { Check, MakeCheck } from '../check.ts';

/** G4: a lease that has ended stays so: whoever slept through it begins anew, under another id. */
export const endedLeaseStaysSo: MakeCheck = (violated, { database, time }): Check => {
  const ended = new Map<string, number>();
  return {
    committed() {
      for (const [id, untilMs] of database.leases()) {
        const endedAtMs = ended.get(id);
        if (untilMs <= time.nowMs) ended.set(id, untilMs);
        if (endedAtMs !== undefined && untilMs > endedAtMs) violated('G4', `the lease of ${id} had ended, and was renewed for ${untilMs - endedAtMs} ms`);
      }
    },
  };
};
