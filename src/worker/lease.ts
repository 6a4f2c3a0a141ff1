import { isOutdated } from '../store/outdated.ts';
import type { HeldSession, Store } from '../store/store.ts';
import type { System } from '../core/system.ts';
import type { Log } from './log.ts';
import type { SessionRun } from './session-run.ts';

export interface LeaseOptions {
  readonly store: Store;
  readonly system: System;
  readonly leaseMs: number;
  /** The agents that this process defines. */
  readonly agents: readonly string[];
  readonly log: Log;
}

export interface LeaseEvents {
  /** The lease is lost, or was not renewed for two thirds of it: whatever is in work no longer counts. */
  readonly onLost: () => void;
  /** What this worker has in hand. */
  readonly runs: () => readonly SessionRun[];
  /** What the store says is this worker's, and what it had in hand before the store was asked. */
  readonly onHeld: (held: readonly HeldSession[], runs: readonly SessionRun[]) => void;
  /** The same, once for each heartbeat. */
  readonly onRenewed: (held: readonly HeldSession[]) => void;
  /** Something may have been taken from this worker: looked for after hints and with each heartbeat. */
  readonly onCheck: (isHeartbeat: boolean) => Promise<void>;
  /** There are dead workers, whose sessions wait for somebody. */
  readonly onDead: () => void;
  /** The data asks for a newer version than this process is. */
  readonly onOutdated: () => void;
}

/** With locks, a death is seen as often as this; without them as a lease ends. */
const deathCheckMs = 250;
/** Workers look at the end of a lease one after the other, within this. */
const deathCheckSpreadMs = 100;
const heldCheckMs = 50;

/**
 * A worker process's claim to be alive: one row, renewed at a third of the lease. After two thirds without a renewal the process stops itself, before anybody
 * may take its sessions, and announces itself anew under another id.
 */
export class WorkerLease {
  readonly #options: LeaseOptions;
  readonly #events: LeaseEvents;
  readonly #timers = new Map<string, () => void>();
  #id = '';
  #held = false;
  #stopped = false;
  /** The id under which a renewal is under way. */
  #renewing: string | null = null;
  #deadWorkers: readonly string[] = [];
  /** Of the dead, those that the store was asked to forget since they were looked for. */
  readonly #forgotten = new Set<string>();

  constructor(options: LeaseOptions, events: LeaseEvents) {
    this.#options = options;
    this.#events = events;
  }

  get id(): string {
    return this.#id;
  }

  get held(): boolean {
    return this.#held;
  }

  get deadWorkers(): readonly string[] {
    return this.#deadWorkers;
  }

  async start(): Promise<void> {
    await this.#register();
    await this.#findDead();
  }

  /** Gives the lease back. Where the store does not answer it runs out by itself, and nothing is held under it any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimers();
    if (!this.#held) return;
    this.#held = false;
    const { store, log } = this.#options;
    await store.retireWorker(this.#id).catch((error: unknown) => log('error', 'lease-not-given-back', { worker: this.#id, error: error instanceof Error ? error.message : String(error) }));
  }

  /** Looks soon whether something was taken from this worker; a hint said so. */
  check(): void {
    if (this.#timers.has('held') || !this.#held) return;
    this.#after('held', heldCheckMs, async () => {
      const id = this.#id;
      const runs = this.#events.runs();
      const held = await this.#options.store.findHeld(id);
      if (this.#id !== id) return;
      this.#events.onHeld(held, runs);
      await this.#events.onCheck(false);
    });
  }

  /** Forgets dead workers of which no session is left. They count as dead until the next look for such all the same: operations may still name them. */
  async forgetDead(workers: readonly string[]): Promise<void> {
    const named = workers.filter((worker) => !this.#forgotten.has(worker));
    for (const worker of named) this.#forgotten.add(worker);
    if (named.length > 0) await this.#options.store.removeDeadWorkers(named);
  }

  async #register(): Promise<void> {
    const { store, system, leaseMs, agents } = this.#options;
    this.#id = system.ids.mint('wrk');
    const askedAtMs = system.clock.monotonicMs();
    await store.registerWorker({ id: this.#id, leaseMs, agents });
    this.#renewedAt(askedAtMs);
  }

  #renewedAt(askedAtMs: number): void {
    const { leaseMs, system } = this.#options;
    if (this.#stopped) return;
    this.#held = true;
    const sinceMs = system.clock.monotonicMs() - askedAtMs;
    // From when it was asked for, as the self-stop: on a slow store the next renewal would else come after it.
    this.#after('renew', Math.max(0, leaseMs / 3 - sinceMs), () => this.#renew());
    this.#after('self-stop', Math.max(0, (leaseMs * 2) / 3 - sinceMs), () => this.#selfStop(askedAtMs));
  }

  /** A process that only woke late finds both timers due: the renewal that it has begun may still make it before the lease ends. */
  #selfStop(renewedAtMs: number): void {
    const { leaseMs, system } = this.#options;
    const leftMs = renewedAtMs + (leaseMs * 5) / 6 - system.clock.monotonicMs();
    if (this.#renewing === this.#id && leftMs > 0) this.#after('self-stop', leftMs, () => this.#lost('not renewed in time'));
    else this.#lost('not renewed in time');
  }

  async #renew(): Promise<void> {
    const { store, system, leaseMs } = this.#options;
    const id = this.#id;
    const askedAtMs = system.clock.monotonicMs();
    const runs = this.#events.runs();
    this.#renewing = id;
    const renewed = await store.renewWorker(id, leaseMs).finally(() => {
      if (this.#renewing === id) this.#renewing = null;
    });
    // It may come back when this id is lost already, and another was taken.
    if (!this.#held || this.#id !== id) return;
    if (renewed === 'lost') {
      this.#lost('expired');
      return;
    }
    this.#renewedAt(askedAtMs);
    if (renewed.outdated) this.#events.onOutdated();
    this.#events.onHeld(renewed.held, runs);
    this.#events.onRenewed(renewed.held);
    await this.#events.onCheck(true);
  }

  #lost(reason: string): void {
    if (!this.#held) return;
    this.#held = false;
    this.#cancelTimers();
    this.#options.log('warn', 'lease-lost', { worker: this.#id, reason });
    this.#events.onLost();
    if (!this.#stopped) this.#after('announce', 0, () => this.#announceAnew(this.#id));
  }

  async #announceAnew(lostId: string): Promise<void> {
    const { store } = this.#options;
    // What still names the old id is anybody's now.
    await store.retireWorker(lostId);
    // A process that did nothing for long, on a machine that slept, may find that the data has moved on.
    if (await isOutdated(store)) {
      this.#events.onOutdated();
      return;
    }
    await this.#register();
    // By its own timer: a failure of it is no reason to announce a second id.
    if (!this.#stopped) this.#after('dead', 0, () => this.#findDead());
  }

  async #findDead(): Promise<void> {
    const { store, leaseMs } = this.#options;
    let nextMs = leaseMs / 3;
    try {
      const { dead, nextEndMs } = await store.findDeadWorkers();
      this.#deadWorkers = dead.filter((worker) => worker !== this.#id);
      this.#forgotten.clear();
      if (this.#deadWorkers.length > 0) this.#events.onDead();
      nextMs = this.#nextDeathCheckMs(nextEndMs);
    } finally {
      if (!this.#stopped) this.#after('dead', nextMs, () => this.#findDead());
    }
  }

  /** Without locks nobody is dead before the next lease ends; most are renewed by then. The dead that are known are looked at soon, until they are forgotten. */
  #nextDeathCheckMs(nextEndMs: number | null): number {
    const { store, system, leaseMs } = this.#options;
    if (store.capabilities.processLocks) return Math.min(deathCheckMs, leaseMs / 3);
    if (this.#deadWorkers.length > 0) return leaseMs / 3;
    return Math.min(leaseMs, nextEndMs ?? leaseMs) + system.random.next() * Math.min(deathCheckSpreadMs, leaseMs / 10);
  }

  /** One timer of a name at a time. A failure is said and, for what must go on, tried again at the next turn of the same timer. */
  #after(name: string, delayMs: number, callback: () => void | Promise<void>): void {
    this.#timers.get(name)?.();
    const cancel = this.#options.system.clock.after(delayMs, () => {
      this.#timers.delete(name);
      Promise.resolve(callback()).catch((error: unknown) => {
        this.#options.log('error', `lease-${name}-failed`, { worker: this.#id, error: error instanceof Error ? error.message : String(error) });
        if (name === 'renew' || name === 'announce') this.#after(name, this.#options.leaseMs / 10, callback);
      });
    });
    this.#timers.set(name, cancel);
  }

  #cancelTimers(): void {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
  }
}
