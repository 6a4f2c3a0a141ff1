import type { IdPrefix } from '../core/system.ts';

/** An id in the form of real ones: sorted by time, then by the order of minting; `origin` sets apart those who mint at the same time. */
export function simulatedId(prefix: IdPrefix, nowMs: number, minted: number, origin: number): string {
  return `${prefix}_${base32(nowMs, 10)}${base32(minted, 8)}${base32(origin, 8)}`;
}

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

function base32(value: number, places: number): string {
  let text = '';
  for (let rest = value; text.length < places; rest = Math.floor(rest / 32)) text = (alphabet[rest % 32] ?? '') + text;
  return text;
}
