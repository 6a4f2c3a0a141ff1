import type { Clock } from '../core/system.ts';
import type { SessionRef } from '../store/store.ts';
import { LeftSessions } from './left-sessions.ts';
import type { SessionRun } from './session-run.ts';

/** A session that must run alone waits this many leases for a worker with nothing in hand; then one takes it beside what it has. */
const soloWaitLeases = 3;
/** How many of them a look for work sees past, so that they do not hide the others. */
const soloSeenPastMax = 1_000;

export interface SoloRulesOptions {
  readonly clock: Clock;
  readonly leaseMs: number;
  readonly pollMs: number;
}

/**
 * Which of the sessions that a worker finds it may take, when there are some that crashed their workers and must run alone (docs/decisions/0005). Ordinary ones
 * wait for none that waits itself, and for one that runs alone here no longer than a lease; one that must run alone waits for an empty worker no
 * longer than three leases, and for another of its kind as long as that one's step.
 */
export class SoloRules {
  readonly #options: SoloRulesOptions;
  /** Those that must run alone and wait. */
  readonly #waiting = new LeftSessions();
  /** The others that were left because one runs alone here. */
  readonly #passedOver = new LeftSessions();
  #claiming = false;
  #claimedAtMs = 0;
  #run: SessionRun | null = null;
  /** An ordinary one was taken beside it, so nobody is kept out any more. */
  #joined = false;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #asks = false;

  constructor(options: SoloRulesOptions) {
    this.#options = options;
  }

  /** One runs alone here, until it has got through a step: its next commit takes the crashes from it. */
  get #alone(): boolean {
    return this.#claiming || (this.#run !== null && this.#run.session.crashes > 0);
  }

  get #keepsOut(): boolean {
    return this.#alone && !this.#joined;
  }

  /** A place that gets free, or a worker that gets empty, has somebody who waits for it. */
  get someWait(): boolean {
    return this.#waiting.size > 0 || this.#passedOver.size > 0;
  }

  /** How many that must run alone were found and left. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** How many sessions to look for when some places are free: those that must run alone are seen past. */
  limitOf(free: number): number {
    return free + Math.min(this.#waiting.size, soloSeenPastMax);
  }

  /** Whether a command may claim in its own commit. Not in the moment that a session waits for which must run alone: the next look for work gives it away. */
  mayReserve(inProgress: number): boolean {
    return !this.#keepsOut && (inProgress > 0 || this.#waiting.size === 0);
  }

  /** Operations too are left to other workers, for a lease. */
  get mayBeginOperations(): boolean {
    return !this.#keepsOut || this.#options.clock.nowMs() - this.#claimedAtMs >= this.#options.leaseMs;
  }

  /** Takes note of what was found. Once in a poll those that wait are asked whether they still must run alone. */
  looked(found: readonly SessionRef[]): void {
    this.#waiting.keep(found);
    this.#passedOver.keep(found);
    const nowMs = this.#options.clock.nowMs();
    this.#asks = nowMs - this.#askedAtMs >= this.#options.pollMs;
    if (this.#asks) this.#askedAtMs = nowMs;
  }

  /** Notes that a session must run alone and is left for now. */
  waits(ref: SessionRef): void {
    this.#passedOver.forget(ref);
    this.#waiting.leave(ref, this.#options.clock.nowMs());
  }

  /** Those that must run alone before the others, so that they get the place of a worker that is empty. */
  inOrder<Ref extends SessionRef>(found: readonly Ref[]): readonly Ref[] {
    return this.#waiting.first(found);
  }

  /** Whether to claim a session that was found. One that is passed over is taken by another worker, or here after a lease: then there is none with a place. */
  mayTake(ref: SessionRef, inProgress: number): boolean {
    if (this.#waiting.has(ref)) return this.#asks || this.mayRunAlone(ref, inProgress);
    return !this.#keepsOut || this.#passedOver.leave(ref, this.#options.clock.nowMs()) >= this.#options.leaseMs;
  }

  /** Where nothing else is in hand; and beside others only when no worker was empty for long. Never beside a second of its kind: of two it could not be told which one kills. */
  mayRunAlone(ref: SessionRef, inProgress: number): boolean {
    const { clock, leaseMs } = this.#options;
    return !this.#alone && (inProgress === 0 || this.#waiting.leftMs(ref, clock.nowMs()) >= soloWaitLeases * leaseMs);
  }

  /** While one is claimed to run alone no command gets a place, so that what is empty stays so. */
  async claiming(claim: () => Promise<void>): Promise<void> {
    this.#claiming = true;
    this.#joined = false;
    this.#claimedAtMs = this.#options.clock.nowMs();
    try {
      await claim();
    } finally {
      this.#claiming = false;
    }
  }

  /** A run begins. */
  began(run: SessionRun): void {
    if (run.session.claim?.solo === true) this.#run = run;
    else this.#joined = true;
  }

  ended(run: SessionRun): void {
    if (this.#run === run) this.#run = null;
  }

  /** The session is not left any more: it was taken, or there is nothing to take. */
  forget(ref: SessionRef): void {
    this.#waiting.forget(ref);
    this.#passedOver.forget(ref);
  }
}
