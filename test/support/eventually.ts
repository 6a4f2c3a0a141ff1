import { setTimeout as pause } from 'node:timers/promises';

/**
 * Resolves with what `look` returns as soon as that is neither false, null nor undefined: for what has no signal of its own (another process's commit, a
 * worker's state). Looks again every few milliseconds; rejects after 15 s with what it waited for.
 */
export async function eventually<Seen>(what: string, look: () => Seen | Promise<Seen>): Promise<Exclude<Seen, false | null | undefined>> {
  const startedAtMs = Date.now();
  for (;;) {
    const seen = await look();
    if (seen !== false && seen !== null && seen !== undefined) return seen as Exclude<Seen, false | null | undefined>;
    if (Date.now() - startedAtMs > 15_000) throw new Error(`waited 15 s for ${what}`);
    await pause(3);
  }
}
