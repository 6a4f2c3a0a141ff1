import { randomBytes } from 'node:crypto';
import type { IdPrefix, System } from './core/system.ts';

/** The longest that Node's timers wait, about 24.8 days: a longer one would fire at once. */
const timerMsMax = 2 ** 31 - 1;

/**
 * The real surroundings: the machine's clock, its randomness, its timers. The one file that takes them ambiently; everything
 * else is given a {@link System}. Its timers fire after 24.8 days at the latest.
 */
export function realSystem(): System {
  return {
    clock: {
      nowMs: () => Date.now(),
      monotonicMs: () => performance.now(),
      after: (delayMs, callback) => {
        const timer = setTimeout(callback, Math.min(delayMs, timerMsMax));
        return () => clearTimeout(timer);
      },
      soon: (callback) => {
        setImmediate(callback);
      },
    },
    ids: { mint: (prefix) => mintId(prefix, Date.now()), secret: () => randomBytes(32).toString('base64url') },
    random: { next: () => Math.random() },
  };
}

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const chanceChars = 16;

/** `ses_` and 26 characters: 10 of time, 16 (80 bits) of chance, as ULIDs have them, so that ids sort by time. */
function mintId(prefix: IdPrefix, nowMs: number): string {
  let time = '';
  for (let rest = nowMs, place = 0; place < 10; place += 1) {
    time = (alphabet[rest % 32] ?? '') + time;
    rest = Math.floor(rest / 32);
  }
  let chance = '';
  for (const byte of chanceBytes()) chance += alphabet[byte & 31];
  return `${prefix}_${time}${chance}`;
}

// Asking the kernel for every id costs more than the id: bytes are taken from a pool, each once.
let pool = Buffer.alloc(0);
let used = 0;

function chanceBytes(): Buffer {
  if (used + chanceChars > pool.length) {
    pool = randomBytes(chanceChars * 256);
    used = 0;
  }
  used += chanceChars;
  return pool.subarray(used - chanceChars, used);
}
