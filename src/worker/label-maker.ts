import type { Agent } from '../agent/agent.ts';
import { labelPrompt, type LabelMaking, type LabelScope } from '../agent/labels.ts';
import type { Entry, LabelKind, LabelsWanted } from '../core/entry.ts';
import { beginLabels, extendLabels, finishLabels, purposes, type LabelOutcome } from '../core/labels.ts';
import { labelText } from '../core/label-text.ts';
import { limits } from '../core/limits.ts';
import type { LabelAttempt, Labelling } from '../core/session.ts';
import type { System } from '../core/system.ts';
import type { SpentBudgets } from '../store/spent-budgets.ts';
import type { SessionRef, Store } from '../store/store.ts';
import { generateBeside } from './generate-beside.ts';
import { recordUsageLate } from './late-usage.ts';
import type { Log } from './log.ts';
import { readExchange } from './read-exchange.ts';
import { WaitingLine } from './waiting-line.ts';
import { withinTime } from './within-time.ts';

export interface LabelHost {
  readonly store: Store;
  readonly system: System;
  readonly agents: ReadonlyMap<string, Agent>;
  readonly log: Log;
  /** Where one is used up, no model is asked for a label. Absent: there are none. */
  readonly budgets?: Pick<SpentBudgets, 'exhaustedNow'> | undefined;
  /** How long this process may be silent before another makes the same. */
  readonly leaseMs: number;
  /** Tells of entries after their commit. */
  readonly committed: (ref: SessionRef, entries: readonly Entry[]) => void;
}

/** The entry that says what is wanted. */
type Wish = LabelsWanted & Pick<Entry, 'seq'>;

interface LabelWork {
  readonly agent: Agent;
  readonly scope: LabelScope;
  readonly labelling: Labelling;
  readonly label: LabelKind;
  readonly signal: AbortSignal;
}

/** Wishes that wait in this process for a place; those beyond are left to the next sweep. */
const waitingMax = 1_000;

/**
 * Makes titles and summaries of turns that have ended, so many at once. It holds no claim: the session goes on meanwhile, and each commit looks whether what was made is still wanted. At least once: a wish whose process died is
 * found by another; at the same time only one process makes them.
 */
export class LabelMaker {
  readonly #host: LabelHost;
  readonly #places = new WaitingLine(limits.labelsAtOnceMax, waitingMax);
  readonly #closing = new AbortController();
  /** The last of each session: one after another, so that none finds its own process in its way. */
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(host: LabelHost) {
    this.#host = host;
  }

  /** Makes what a turn's end asked for. `left`: not here, or not now; the wish stays in the outbox. Rejects when the store fails. */
  deliver(ref: SessionRef, wish: Wish): Promise<'done' | 'left'> {
    const key = `${ref.tenant}\n${ref.id}`;
    const before = this.#last.get(key);
    const made = (async () => {
      await before?.catch(() => undefined);
      const release = await this.#places.take();
      if (release === null) return 'left';
      try {
        return await this.#make(ref, wish);
      } finally {
        release();
      }
    })();
    this.#last.set(key, made);
    const forget = (): void => {
      if (this.#last.get(key) === made) this.#last.delete(key);
    };
    made.then(forget, forget);
    return made;
  }

  /** Begins nothing more. What is being made goes on. */
  stop(): void {
    this.#places.close();
  }

  /** Gives back what is still being made. */
  async close(): Promise<void> {
    this.stop();
    this.#closing.abort();
    await Promise.allSettled(this.#last.values());
  }

  async #make(ref: SessionRef, { seq, turnId, labels }: Wish): Promise<'done' | 'left'> {
    const { store, system: { clock, ids }, agents, budgets, leaseMs, committed } = this.#host;
    // What is not made now is wished for again after the next turn.
    const kinds: readonly LabelMaking['kind'][] = ((await budgets?.exhaustedNow(ref)) ?? null) === null ? ['rule', 'model'] : ['rule'];
    const begun = await store.update({ key: ref, transition: beginLabels({ turnId, labels, makes: ({ agent }) => makesOf(agents.get(agent), kinds), leaseMs }, { nowMs: clock.nowMs(), mintId: ids.mint.bind(ids) }) });
    // A session that is gone wants nothing more.
    if (begun.kind !== 'committed') return begun.kind === 'refused' && begun.refusal.refused === 'not_claimable' ? 'left' : 'done';
    committed(ref, begun.entries);
    const agent = agents.get(begun.session.agent);
    if (begun.reply === null || agent === undefined) return 'done';
    const { labelling } = begun.reply;
    const held = this.#hold(ref, labelling);
    try {
      // The wish stands right after the turn's end.
      const endSeq = seq - 1;
      const scope = { session: begun.session, turnId, ...await readExchange(store, ref, { turnId, endSeq }) };
      const outcomes = await Promise.all(begun.reply.labels.map((label) => this.#outcome({ agent, scope, labelling, label, signal: held.signal })));
      const whole = outcomes.filter((outcome) => outcome !== null);
      const isWhole = whole.length === outcomes.length;
      const finished = await store.update({ key: ref, transition: finishLabels(labelling, endSeq, whole, clock.nowMs()) });
      if (finished.kind !== 'committed') {
        // Whoever makes them now recorded these generations as lost, and could not know what they used.
        for (const { attempt } of whole) if (attempt !== undefined) recordUsageLate(this.#host, ref, turnId, attempt);
        return 'left';
      }
      committed(ref, finished.entries);
      return isWhole ? 'done' : 'left';
    } finally {
      held.release();
    }
  }

  /** Renews the lease for as long as it is worked under. The signal aborts when it is lost, and when this process must give back what it has begun. */
  #hold(ref: SessionRef, labelling: Labelling): { readonly signal: AbortSignal; readonly release: () => void } {
    const { store, system: { clock }, log, leaseMs } = this.#host;
    const lost = new AbortController();
    let cancel = (): void => undefined;
    const renew = async (): Promise<void> => {
      const renewed = await store.update({ key: ref, transition: extendLabels(labelling, leaseMs, clock.nowMs()) });
      if (renewed.kind !== 'committed') lost.abort();
    };
    const schedule = (): void => {
      cancel = clock.after(leaseMs / 3, () => {
        renew().catch((error: unknown) => log('warn', 'label-not-renewed', { session: ref.id, error: errorText(error) })).finally(() => {
          if (!lost.signal.aborted) schedule();
        });
      });
    };
    schedule();
    return { signal: AbortSignal.any([lost.signal, this.#closing.signal]), release: () => { lost.abort(); cancel(); } };
  }

  /** null: it was aborted. */
  async #outcome(work: LabelWork): Promise<LabelOutcome | null> {
    const { agent, label, labelling } = work;
    const making = agent.labels.get(label);
    if (making?.kind === 'rule') return this.#byRule(work, making);
    const attempt = labelling.attempts.find((each) => each.label === label);
    return making === undefined || attempt === undefined ? { label, text: null } : this.#byModel(work, making, attempt);
  }

  async #byRule({ agent, scope, label, signal }: LabelWork, { make }: Extract<LabelMaking, { kind: 'rule' }>): Promise<LabelOutcome | null> {
    const { system: { clock }, log } = this.#host;
    try {
      const said = await withinTime(Promise.resolve(scope).then(make), { clock, timeoutMs: limits.labelTimeoutMs, signal });
      return { label, text: labelText(label, said ?? '') };
    } catch (error) {
      if (signal.aborted) return null;
      log('warn', 'label-failed', { session: scope.session.id, agent: agent.name, label, error: errorText(error) });
      return { label, text: null };
    }
  }

  async #byModel({ agent, scope, label, signal }: LabelWork, making: Extract<LabelMaking, { kind: 'model' }>, { id, startedAtMs }: LabelAttempt): Promise<LabelOutcome | null> {
    const generated = await generateBeside(this.#host.system.clock, {
      attempt: { id, number: 1, startedAtMs }, purpose: purposes[label], model: making.model, prices: agent.prices, limits: { ...agent.limits, stepTimeoutMs: limits.labelTimeoutMs }, signal,
      options: { prompt: labelPrompt(making, scope), maxOutputTokens: limits.labelOutputTokensMax },
    });
    if (generated === null) return null;
    const { attempt } = generated;
    return generated.kind === 'failed' ? { label, text: null, attempt, error: generated.error } : { label, text: labelText(label, generated.text), attempt };
  }
}

/** Of each label that an agent declares and that may be made now, whether a model makes it; undefined: this process does not know the agent. */
function makesOf(agent: Agent | undefined, kinds: readonly LabelMaking['kind'][]): ReadonlyMap<LabelKind, LabelMaking['kind']> | undefined {
  return agent && new Map([...agent.labels].map(([label, { kind }]) => [label, kind] as const).filter(([, kind]) => kinds.includes(kind)));
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
