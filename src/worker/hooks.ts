import type { Agent } from '../agent/agent.ts';
import type { Entry, EntryKind, EntryOf } from '../core/entry.ts';
import type { System } from '../core/system.ts';
import type { OutboxItem, SessionRef, Store } from '../store/store.ts';
import type { LabelMaker } from './label-maker.ts';
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
  /** A turn waits for somebody: an approval, a client tool's result, an answer, or what to do with a call that may have run. One for each action, when it opens. */
  readonly onActionRequired?: (event: HookEvent<'action-opened'>) => void | Promise<void>;
  /** An operation ended, whatever way; `entry.result` is what it came to, where no call waits for it. */
  readonly onOperationEnd?: (event: HookEvent<'operation-ended'>) => void | Promise<void>;
  readonly onTurnEnd?: (event: HookEvent<'turn-ended'>) => void | Promise<void>;
  readonly onStepEnd?: (event: HookEvent<'assistant-step'>) => void | Promise<void>;
}

/** An event is left this long to the process that committed it, before another delivers it. */
const takeOverMs = 30_000;
const sweepMs = 10_000;
const batchItems = 100;
/** How far into what is undelivered a sweep looks, past what it has called for already and what only others listen to. */
const lookItemsMax = 12_800;

const kindOfHook: Readonly<Record<keyof Hooks, EntryKind>> = { onTurnEnd: 'turn-ended', onStepEnd: 'assistant-step', onActionRequired: 'action-opened', onOperationEnd: 'operation-ended' };

/** The kinds of entries of which what makes labels is told. */
export const labelKinds: readonly EntryKind[] = ['labels-wanted'];

/** The kinds of entries of which the hooks are told. */
export function hookKinds(hooks: Hooks): readonly EntryKind[] {
  return (Object.keys(kindOfHook) as (keyof Hooks)[]).flatMap((name) => (hooks[name] === undefined ? [] : [kindOfHook[name]]));
}

/** Whether turns' ends may ask for labels. */
export function hasLabels(agents: Iterable<Agent>): boolean {
  return [...agents].some(({ labels }) => labels.size > 0);
}

export interface HookRunnerOptions {
  readonly store: Store;
  readonly system: System;
  readonly hooks: Hooks;
  readonly log: Log;
  /** What makes the labels that turns' ends ask for, where an agent has any. */
  readonly labels: LabelMaker | null;
  /** Whether labels that other processes left undone are made here: where turns are worked on. */
  readonly takesLabelsOver: boolean;
  /** How long closing waits for what is being delivered, in milliseconds. */
  readonly graceMs: number;
}

/** Delivers the events that commits left in the outbox (G3): to the hooks, and the wishes for labels to what makes them. Each event has one of them to hear it, so that none is told again because of another. */
export class HookRunner {
  readonly #store: Store;
  readonly #system: System;
  readonly #hooks: Hooks;
  readonly #log: Log;
  readonly #labels: HookRunnerOptions['labels'];
  readonly #graceMs: number;
  /** What is delivered that this process has committed, and what others have left. */
  readonly #own: readonly EntryKind[];
  readonly #taken: readonly EntryKind[];
  readonly #delivering = new Set<Promise<void>>();
  /** Events whose call has not ended, by tenant, session and seq. */
  readonly #inHand = new Set<string>();
  /** Events that sweeps have called for since they last began anew: the next one goes on behind those that are still there. */
  readonly #swept = new Set<string>();
  #cancelSweep: (() => void) | null = null;
  #closed = false;

  constructor({ store, system, hooks, log, labels, takesLabelsOver, graceMs }: HookRunnerOptions) {
    this.#store = store;
    this.#system = system;
    this.#hooks = hooks;
    this.#log = log;
    this.#labels = labels;
    this.#graceMs = graceMs;
    this.#own = [...hookKinds(hooks), ...(labels === null ? [] : labelKinds)];
    this.#taken = takesLabelsOver ? this.#own : hookKinds(hooks);
  }

  start(): void {
    if (this.#taken.length > 0) this.#scheduleSweep();
  }

  /** Begins to deliver what others left undone, labels included, so much at once: for a process that works only when it is called. Rejects when the store fails. */
  async takeOver(): Promise<void> {
    if (this.#own.length > 0 && !this.#closed) await this.#sweep(this.#own);
  }

  /** Delivers what this process has just committed. */
  committed(ref: SessionRef, entries: readonly Entry[]): void {
    for (const entry of entries) if (this.#own.includes(entry.kind)) this.#deliver({ tenant: ref.tenant, id: ref.id, seq: entry.seq, kind: entry.kind }, entry);
  }

  /** Waits for the deliveries under way, as long as a step may take to finish; what is not through by then is left to another process. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelSweep?.();
    this.#labels?.stop();
    await this.called();
    await this.#labels?.close();
  }

  /** Resolves when the calls under way have ended, or have lasted as long as a step may take to finish. */
  async called(): Promise<void> {
    if (this.#delivering.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#system.clock.after(this.#graceMs, resolve);
    await Promise.race([Promise.all(this.#delivering), promise]);
    cancel();
  }

  #scheduleSweep(): void {
    if (this.#closed) return;
    this.#cancelSweep = this.#system.clock.after(sweepMs, () => {
      this.#track(this.#sweep(this.#taken).finally(() => this.#scheduleSweep()));
    });
  }

  /** What a process that died, or a hook that failed, left undelivered, so many at once. Each by itself, and in turn: those that fail or hang keep no others waiting. */
  async #sweep(kinds: readonly EntryKind[]): Promise<void> {
    const olderThanMs = this.#system.clock.nowMs() - takeOverMs;
    let chosen: readonly OutboxItem[] = [];
    let seenAll = false;
    for (let limit = batchItems; !seenAll && chosen.length < batchItems; limit *= 2) {
      const items = await this.#store.readOutbox({ limit, olderThanMs });
      seenAll = items.length < limit || limit >= lookItemsMax;
      // What only other processes listen to is left to them.
      chosen = items.filter((item) => kinds.includes(item.kind) && !this.#swept.has(keyOf(item)) && !this.#inHand.has(keyOf(item)));
    }
    const beginsAnew = seenAll && chosen.length <= batchItems;
    if (beginsAnew) this.#swept.clear();
    for (const item of chosen.slice(0, batchItems)) {
      if (!beginsAnew) this.#swept.add(keyOf(item));
      const [entry] = await this.#store.readEntries(item, { afterSeq: item.seq - 1, limit: 1 });
      if (entry?.seq === item.seq) this.#deliver(item, entry);
    }
  }

  #deliver(item: OutboxItem, entry: Entry): void {
    const key = keyOf(item);
    if (this.#inHand.has(key)) return;
    this.#inHand.add(key);
    this.#track(this.#call(item, entry).finally(() => this.#inHand.delete(key)));
  }

  async #call(item: OutboxItem, entry: Entry): Promise<void> {
    const event = { tenant: item.tenant, sessionId: item.id };
    if (entry.kind === 'turn-ended') await this.#hooks.onTurnEnd?.({ ...event, entry });
    else if (entry.kind === 'assistant-step') await this.#hooks.onStepEnd?.({ ...event, entry });
    else if (entry.kind === 'action-opened') await this.#hooks.onActionRequired?.({ ...event, entry });
    else if (entry.kind === 'operation-ended') await this.#hooks.onOperationEnd?.({ ...event, entry });
    else if (entry.kind === 'labels-wanted' && await this.#labels?.deliver(item, entry) === 'left') return;
    await this.#store.deleteOutbox([item]);
  }

  #track(delivery: Promise<void>): void {
    const tracked = delivery
      .catch((error: unknown) => this.#log('error', 'hook-failed', { error: error instanceof Error ? error.message : String(error) }))
      .finally(() => this.#delivering.delete(tracked));
    this.#delivering.add(tracked);
  }
}

function keyOf({ tenant, id, seq }: OutboxItem): string {
  return `${tenant}\n${id}\n${seq}`;
}
