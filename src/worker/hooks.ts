import type { Entry, EntryKind, EntryOf } from '../core/entry.ts';
import { limits } from '../core/limits.ts';
import type { System } from '../core/system.ts';
import type { OutboxItem, SessionRef, Store } from '../store/store.ts';
import type { Log } from './log.ts';

/** What a hook is told. `tenant`, `sessionId` and `entry.seq` together name the event for ever: use them to see a repetition. */
export interface HookEvent<Kind extends EntryKind> {
  readonly tenant: string;
  readonly sessionId: string;
  readonly entry: EntryOf<Kind>;
}

/**
 * Called after the commit, at least once each, also when the process died in between (then by another, some time later). An error is logged and the
 * call repeated.
 */
export interface Hooks {
  readonly onTurnEnd?: (event: HookEvent<'turn-ended'>) => void | Promise<void>;
  readonly onStepEnd?: (event: HookEvent<'assistant-step'>) => void | Promise<void>;
}

/** An event is left this long to the process that committed it, before another delivers it. */
const takeOverMs = 30_000;
const sweepMs = 10_000;
const batchItems = 100;

export function hookKinds(hooks: Hooks): readonly EntryKind[] {
  return [...(hooks.onTurnEnd === undefined ? [] : ['turn-ended' as const]), ...(hooks.onStepEnd === undefined ? [] : ['assistant-step' as const])];
}

/** Delivers the events that commits left in the outbox (G3). */
export class HookRunner {
  readonly #store: Store;
  readonly #system: System;
  readonly #hooks: Hooks;
  readonly #log: Log;
  readonly #delivering = new Set<Promise<void>>();
  /** Events whose call has not ended, by tenant, session and seq. */
  readonly #inHand = new Set<string>();
  #cancelSweep: (() => void) | null = null;
  #closed = false;

  constructor(store: Store, system: System, hooks: Hooks, log: Log) {
    this.#store = store;
    this.#system = system;
    this.#hooks = hooks;
    this.#log = log;
  }

  start(): void {
    if (hookKinds(this.#hooks).length > 0) this.#scheduleSweep();
  }

  /** Delivers what this process has just committed. */
  committed(ref: SessionRef, entries: readonly Entry[]): void {
    const kinds = hookKinds(this.#hooks);
    for (const entry of entries) if (kinds.includes(entry.kind)) this.#deliver({ tenant: ref.tenant, id: ref.id, seq: entry.seq, kind: entry.kind }, entry);
  }

  /** Waits for the deliveries under way, as long as a step may take to finish; what is not through by then is left to another process. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelSweep?.();
    if (this.#delivering.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#system.clock.after(limits.stopGraceMs, resolve);
    await Promise.race([Promise.all(this.#delivering), promise]);
    cancel();
  }

  #scheduleSweep(): void {
    if (this.#closed) return;
    this.#cancelSweep = this.#system.clock.after(sweepMs, () => {
      this.#track(this.#sweep().finally(() => this.#scheduleSweep()));
    });
  }

  /** What a process that died, or a hook that failed, left undelivered. Each by itself: one that fails or hangs keeps no other waiting. */
  async #sweep(): Promise<void> {
    const items = await this.#store.readOutbox({ limit: batchItems, olderThanMs: this.#system.clock.nowMs() - takeOverMs });
    const kinds = hookKinds(this.#hooks);
    for (const item of items) {
      // What only other processes listen to is left to them.
      if (!kinds.includes(item.kind)) continue;
      const [entry] = await this.#store.readEntries(item, { afterSeq: item.seq - 1, limit: 1 });
      if (entry?.seq === item.seq) this.#deliver(item, entry);
    }
  }

  #deliver(item: OutboxItem, entry: Entry): void {
    const key = `${item.tenant}\n${item.id}\n${item.seq}`;
    if (this.#inHand.has(key)) return;
    this.#inHand.add(key);
    this.#track(this.#call(item, entry).finally(() => this.#inHand.delete(key)));
  }

  async #call(item: OutboxItem, entry: Entry): Promise<void> {
    const event = { tenant: item.tenant, sessionId: item.id };
    if (entry.kind === 'turn-ended') await this.#hooks.onTurnEnd?.({ ...event, entry });
    else if (entry.kind === 'assistant-step') await this.#hooks.onStepEnd?.({ ...event, entry });
    await this.#store.deleteOutbox([item]);
  }

  #track(delivery: Promise<void>): void {
    const tracked = delivery
      .catch((error: unknown) => this.#log('error', 'hook-failed', { error: error instanceof Error ? error.message : String(error) }))
      .finally(() => this.#delivering.delete(tracked));
    this.#delivering.add(tracked);
  }
}
