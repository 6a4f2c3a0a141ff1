/**
 * What the engine takes from its surroundings. Everything outside `src/system.ts` gets these as arguments, so that
 * a simulation can own time, ids and chance (design section 14).
 */
export interface System {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly random: Random;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Milliseconds since some moment, for measuring how long something took: never steps, whoever sets the clock. */
  monotonicMs(): number;
  /** Calls back once after `delayMs`; the returned function cancels it. A process stays alive until then. */
  after(delayMs: number, callback: () => void): () => void;
  /** Calls back once what is running now, and what it leads to at once, is done. */
  soon(callback: () => void): void;
}

export interface Ids {
  /** A new id, unique everywhere and sorting by time of minting: `ses_01j…`. */
  mint(prefix: IdPrefix): string;
  /** A new secret that nobody can guess: 256 bits, base64url. */
  secret(): string;
}

export type IdPrefix = 'ses' | 'turn' | 'msg' | 'att' | 'wrk' | 'br' | 'req' | 'op' | 'res';

export interface Random {
  /** From 0 (included) to 1 (not). */
  next(): number;
}
