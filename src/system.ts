import { randomBytes } from 'node:crypto';
import type { IdPrefix, System } from './core/system.ts';

/**
 * The real surroundings: the machine's clock, its randomness, its timers. The one file that takes them ambiently; everything
 * else is given a {@link System}.
 */
export function realSystem(): System {
  return {
    clock: {
      nowMs: () => Date.now(),
      after: (delayMs, callback) => {
        const timer = setTimeout(callback, delayMs);
        return () => clearTimeout(timer);
      },
      soon: (callback) => {
        setImmediate(callback);
      },
    },
    ids: { mint: (prefix) => mintId(prefix, Date.now()) },
    random: { next: () => Math.random() },
  };
}

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

/** `ses_` and 26 characters: 10 of time, 16 (80 bits) of chance, as ULIDs have them, so that ids sort by time. */
function mintId(prefix: IdPrefix, nowMs: number): string {
  let time = '';
  for (let rest = nowMs, place = 0; place < 10; place += 1) {
    time = (alphabet[rest % 32] ?? '') + time;
    rest = Math.floor(rest / 32);
  }
  let chance = '';
  for (const byte of randomBytes(16)) chance += alphabet[byte & 31];
  return `${prefix}_${time}${chance}`;
}
