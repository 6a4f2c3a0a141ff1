import type { Agent } from '../agent/agent.ts';
import { claim, needsSolo, type Claimed } from '../core/claim.ts';
import type { Entry } from '../core/entry.ts';
import type { Operation } from '../core/operation.ts';
import { dueAtMs, pauseOf, statusOf, type Session } from '../core/session.ts';
import { StoreError, type Claimable, type SessionRef } from '../store/store.ts';
import { ClaimsInTurn } from './claims-in-turn.ts';
import { dropLost } from './drop-lost.ts';
import { GivenUp } from './given-up.ts';
import { HistoryCache } from './history-cache.ts';
import { WorkerLease } from './lease.ts';
import { NotUnderstood } from './not-understood.ts';
import { OperationRunner } from './operation-runner.ts';
import { runSession } from './run-session.ts';
import type { AbortReason, SessionRun, WorkerHost } from './session-run.ts';
import { SoloRules } from './solo-rules.ts';
import { TenantTurns } from './tenant-turns.ts';
import { WakeTimers } from './wake-timers.ts';
import type { ReservedSlot, WorkerOptions } from './worker-options.ts';

/** How many more than its free places a worker looks for, so that it has a choice between tenants. */
const choiceSessions = 16;
/** A process that hears of others' commits and has nothing to do looks for work so many times less often. */
const quietPolls = 5;

/** The process that does the work: claims sessions that have something to do, runs their steps, gives them back in order when it stops. Losing its lease, it drops everything and goes on under a new id. */
export class Worker {
  readonly #host: WorkerOptions;
  readonly #lease: WorkerLease;
  readonly #histories: HistoryCache;
  readonly #operations: OperationRunner;
  /** A session has two runs for a moment when a command took it from one and gave it to the next. */
  readonly #runs = new Map<SessionRun, Promise<void>>();
  #reserved = 0;
  /** Who waits for a reserved place to be used or given back. */
  #onPlaceClosed: (() => void) | null = null;
  #state: 'new' | 'running' | 'stopping' | 'stopped' = 'new';
  #stopping: Promise<void> | null = null;
  readonly #solo: SoloRules;
  readonly #notUnderstood: NotUnderstood;
  readonly #givenUp: GivenUp;
  readonly #tenants = new TenantTurns();
  readonly #claims: ClaimsInTurn;
  /** Work was left because there was no place for it. */
  #saturated = false;
  #scanning: Promise<void> | null = null;
  #scanAgain = false;
  /** The last look for sessions found none to take. */
  #foundNone = false;
  readonly #timers: WakeTimers;
  #unsubscribe: (() => void) | null = null;

  constructor(options: WorkerOptions) {
    this.#host = {
      ...options,
      committed: (ref, entries) => {
        options.committed(ref, entries);
        if (entries.some(({ kind }) => kind === 'operation-started')) this.#operations.wake();
      },
    };
    this.#histories = new HistoryCache(options.historyCharsMax);
    this.#solo = new SoloRules({ clock: options.system.clock, leaseMs: options.leaseMs, pollMs: options.pollMs });
    this.#notUnderstood = new NotUnderstood(options.system.clock, options.pollMs);
    this.#timers = new WakeTimers(options.system, () => this.wake());
    this.#claims = new ClaimsInTurn(options.system.clock, (error) => this.#lookLater(error));
    this.#lease = new WorkerLease({ ...options, agents: [...options.agents.keys()] }, {
      onLost: () => this.#abortAll('fence-lost'),
      onCheck: (isHeartbeat) => this.#operations.checkHeld(isHeartbeat),
      runs: () => [...this.#runs.keys()],
      onHeld: (held, runs) => dropLost(held, runs),
      onRenewed: (held) => this.#givenUp.ofUnheld(held, this.#runs.keys(), () => this.wake()),
      onDead: () => this.wake(),
      onOutdated: () => this.#retire(),
    });
    this.#givenUp = new GivenUp(this.#host, this.#lease);
    const solo = this.#solo;
    // Whichever killed the process, the session that runs alone would be held to have done it: operations wait a while too.
    const operationHost = { ...this.#host, get operationsMax() { return solo.mayBeginOperations ? options.operationsMax : 0; } };
    this.#operations = new OperationRunner(operationHost, this.#lease, (session) => this.#operationEnded(session));
  }

  /** Id of the worker, as claims name it; a new one after a lost lease. */
  get id(): string {
    return this.#lease.id;
  }

  get runs(): number {
    return this.#runs.size;
  }

  /** Operations that run in this process. */
  get operationRuns(): number {
    return this.#operations.runs;
  }

  get #inHand(): number {
    return this.#runs.size + this.#reserved;
  }

  /** What would die with this process. */
  get #inProgress(): number {
    return this.#inHand + this.#operations.runs;
  }

  /** Whether the lease is held and work is taken. */
  get ready(): boolean {
    return this.#state === 'running' && this.#lease.held;
  }

  /** Announces the worker and begins to look for work. Idempotent. */
  async start(): Promise<void> {
    if (this.#state !== 'new') return;
    this.#state = 'running';
    await this.#lease.start();
    this.#unsubscribe = this.#host.store.onChange(({ ref, elsewhere, leavesWork }) => {
      // Another process may have left work here, or taken work from here. Our own commits say what they leave.
      if (!elsewhere) return;
      if (leavesWork) this.wake();
      if (ref === null || this.#worksOn(ref)) this.#lease.check();
    });
    // Nothing in hand, and hints that come: then looking is only for those that get lost.
    this.#timers.poll(() => (this.#host.store.hearsOthers && this.#inProgress === 0 ? this.#host.pollMs * quietPolls : this.#host.pollMs));
    this.wake();
  }

  /** Takes no more work, lets steps finish for the grace time, hands the rest over, and leaves. Resolves when that is done, however often it is called. */
  stop(): Promise<void> {
    if (this.#state === 'running') this.#stopping = this.#stop();
    return this.#stopping ?? Promise.resolve();
  }

  async #stop(): Promise<void> {
    this.#state = 'stopping';
    this.#unsubscribe?.();
    this.#timers.stop();
    for (const run of this.#runs.keys()) run.handingOver = true;
    const operationsEnded = this.#operations.stop();
    const cancelGrace = this.#host.system.clock.after(this.#host.stopGraceMs, () => this.#abortAll('hand-over'));
    await this.#scanning;
    await this.#claims.ended();
    // A command that holds a place may still begin a run, which is handed over at once.
    while (this.#runs.size > 0 || this.#reserved > 0) {
      await Promise.all(this.#runs.values());
      if (this.#reserved > 0) await this.#placeGivenBack();
    }
    await operationsEnded;
    cancelGrace();
    await this.#lease.stop();
    this.#state = 'stopped';
  }

  #closePlace(): void {
    this.#reserved -= 1;
    this.#onPlaceClosed?.();
  }

  #placeGivenBack(): Promise<void> {
    return new Promise((resolve) => {
      this.#onPlaceClosed = resolve;
    });
  }

  /** The data asks for a newer version: what this process has goes back in order, and it takes no more. Others go on. */
  #retire(): void {
    if (this.#state !== 'running') return;
    this.#host.log('warn', 'outdated', { worker: this.#lease.id });
    this.stop().catch((error: unknown) => this.#host.log('error', 'retire-failed', { error: error instanceof Error ? error.message : String(error) }));
  }

  /** Looks for due work soon. */
  wake(): void {
    if (this.#state !== 'running') return;
    this.#operations.wake();
    if (this.#scanning !== null) {
      this.#scanAgain = true;
      return;
    }
    this.#scanning = this.#scan().finally(() => {
      this.#scanning = null;
      if (this.#scanAgain) {
        this.#scanAgain = false;
        this.wake();
      }
    });
  }

  /** Looks for work, and again, until what was found is in hand or there was none; then whether there is none, and nothing in hand. Always false where it cannot look: the lease is lost, or the store fails. */
  async isQuiet(): Promise<boolean> {
    this.wake();
    while (this.#scanning !== null || this.#operations.looking !== null) await Promise.all([this.#scanning, this.#operations.looking]);
    return this.ready && this.#foundNone && this.#operations.foundNone && this.#inProgress === 0;
  }

  /** Resolves when a session or an operation of those in hand now has ended. */
  async somethingEnds(): Promise<void> {
    await Promise.race([...this.#runs.values(), ...this.#operations.ends]);
  }

  /** Keeps a place free for a command that may leave a session ready; null when there is none. */
  reserve(): ReservedSlot | null {
    if (!this.ready || !this.#solo.mayReserve(this.#inProgress)) return null;
    if (this.#inHand >= this.#host.runsMax) {
      this.#saturated = true;
      return null;
    }
    this.#reserved += 1;
    let open = true;
    const close = (): void => {
      if (!open) return;
      open = false;
      this.#closePlace();
    };
    return {
      worker: this.#lease.id,
      rulesOf: (session) => (this.#notUnderstood.has(session) ? undefined : this.#host.agents.get(session.agent)?.rules),
      begin: (session, claimed, entries) => {
        close();
        this.#begin(session, claimed, entries);
      },
      release: () => {
        close();
        if (this.#solo.someWait) this.wake();
      },
    };
  }

  /** Tells of a session that this process changed by a command: work in flight whose fence is gone ends at once. */
  sessionChanged(session: Session): void {
    for (const run of this.#runs.keys()) {
      if (run.ref.id === session.id && run.lease.fence < session.fence) run.abort.abort('fence-lost');
    }
    this.#operations.sessionChanged(session);
  }

  /** Tells of an operation that this process changed by a command: a run of it whose fence is gone ends at once. */
  operationChanged(operation: Operation): void {
    this.#operations.changed(operation);
  }

  #operationEnded(session: Session): void {
    this.sessionChanged(session);
    if (statusOf(session) === 'ready') this.wake();
  }

  /** A commit of this process left a session that is due at this time. */
  dueAt(atMs: number): void {
    if (this.#state === 'running') this.#timers.dueAt(atMs);
  }

  #worksOn({ tenant, id }: SessionRef): boolean {
    for (const { ref } of this.#runs.keys()) if (ref.id === id && ref.tenant === tenant) return true;
    return this.#operations.worksFor({ tenant, id });
  }

  async #scan(): Promise<void> {
    const { store, system, agents, runsMax } = this.#host;
    this.#foundNone = false;
    try {
      const free = runsMax - this.#inHand;
      this.#saturated = free <= 0;
      if (!this.ready || free <= 0) return;
      const { deadWorkers } = this.#lease;
      const notUnderstoodBefore = this.#notUnderstood.seen;
      const limit = this.#solo.limitOf(free + choiceSessions) + notUnderstoodBefore;
      const claimable = await store.findClaimable({ nowMs: system.clock.nowMs(), deadWorkers, agents: [...agents.keys()], limit });
      const isFull = claimable.length === limit;
      const found = this.#notUnderstood.sift(claimable);
      this.#solo.looked(found);
      const soloBefore = this.#solo.waiting;
      if (deadWorkers.length > 0 && this.#inHand === 0) await this.#findSolo(found, deadWorkers);
      for (const session of this.#solo.inOrder(this.#tenants.inTurn(found))) await this.#claims.run(session, () => this.#claim(session, deadWorkers));
      if (isFull) this.#saturated = true;
      else if (deadWorkers.length > 0 && found.length === 0) await this.#lease.forgetDead(deadWorkers);
      // Those that must run alone, or cannot be read here, took the places of others in this look.
      if (isFull && (this.#solo.waiting > soloBefore || this.#notUnderstood.seen > notUnderstoodBefore)) this.wake();
      this.#foundNone = found.length === 0;
    } catch (error) {
      this.#lookLater(error);
    }
  }

  /** The store is somebody's to mend; until then it is asked again and again. */
  #lookLater(error: unknown): void {
    this.dueAt(this.#host.system.clock.nowMs() + this.#host.pollMs);
    this.#host.log('error', 'scan-failed', { error: error instanceof Error ? error.message : String(error) });
  }

  /** In a process that has nothing in hand, those that must run alone are known before their siblings are taken, which died with them. */
  async #findSolo(found: readonly Claimable[], deadWorkers: readonly string[]): Promise<void> {
    for (const ref of found) {
      const session = await this.#host.store.readSession(ref);
      if (session !== null && needsSolo(session, session.claim !== null && deadWorkers.includes(session.claim.worker))) this.#solo.waits(ref);
    }
  }

  /** Claims one session that may be taken, in a place kept for it. One that cannot be claimed keeps no others waiting; a store that fails is the matter of all. */
  async #claim(ref: Claimable, deadWorkers: readonly string[]): Promise<void> {
    const agent = this.#host.agents.get(ref.agent);
    if (agent === undefined || !this.ready || !this.#solo.mayTake(ref, this.#inProgress)) return;
    if (this.#inHand >= this.#host.runsMax) {
      this.#saturated = true;
      return;
    }
    this.#reserved += 1;
    try {
      if (await this.#claimAs(false, ref, agent, deadWorkers) === 'needs-solo') {
        this.#solo.waits(ref);
        if (!this.#solo.mayRunAlone(ref, this.#inProgress - 1)) return;
        await this.#solo.claiming(async () => void await this.#claimAs(true, ref, agent, deadWorkers));
      }
      this.#solo.forget(ref);
    } catch (error) {
      if (error instanceof StoreError) throw error;
      this.#host.log('error', 'claim-failed', { session: ref.id, error: error instanceof Error ? error.message : String(error) });
    } finally {
      this.#closePlace();
    }
  }

  async #claimAs(solo: boolean, ref: Claimable, agent: Agent, deadWorkers: readonly string[]): Promise<'needs-solo' | 'done'> {
    const { store, system: { clock, ids }, budgets } = this.#host;
    await budgets?.readForSession(ref);
    const request = { worker: this.#lease.id, solo, isDead: (worker: string) => deadWorkers.includes(worker) };
    const result = await store.update({
      key: ref,
      reads: { outcomes: true },
      transition: this.#notUnderstood.guarding(claim(request, agent.rules, { nowMs: clock.nowMs(), mintId: ids.mint.bind(ids), budgets })),
    });
    if (result.kind === 'refused') return result.refusal.details?.['solo'] === true ? 'needs-solo' : 'done';
    if (result.kind === 'committed') {
      this.#notUnderstood.forget(ref);
      this.#host.committed(ref, result.entries);
      this.#begin(result.session, result.reply, result.entries);
    }
    return 'done';
  }

  #begin(session: Session, { fence, work }: Claimed, entries: readonly Entry[]): void {
    const agent = this.#host.agents.get(session.agent);
    if (work === null || agent === undefined) {
      this.#rested(session);
      return;
    }
    // The commit of a claim may come after the lease that it was made under: what names the lost id is anybody's, and nothing of it begins here.
    if (!this.#lease.held || session.claim?.worker !== this.#lease.id) return;
    const run: SessionRun = {
      ref: { tenant: session.tenant, id: session.id }, agent, lease: { worker: this.#lease.id, fence }, session, lastStep: null, clientTools: null, contextFailures: null,
      history: this.#histories.take(session), abort: new AbortController(), handingOver: this.#state !== 'running',
      notUnderstood: (at, entry) => this.#leave(at, entry),
    };
    run.history.append(entries);
    this.#tenants.gave(session.tenant);
    if (session.operations.length > 0) this.#operations.wake();
    const solo = session.claim?.solo === true;
    if (solo) this.#host.log('warn', 'runs-alone', { session: session.id, crashes: session.crashes, beside: this.#runs.size + this.#operations.runs });
    this.#solo.began(run);
    const done = runSession(solo ? this.#wakingHost() : this.#host, run, work)
      .catch((error: unknown) => this.#givenUp.afterFault(run, error))
      .finally(() => {
        this.#runs.delete(run);
        this.#solo.ended(run);
        // A call that a failed run left behind hears that it no longer counts.
        run.abort.abort('fence-lost');
        // A turn that waits, for days perhaps, holds no memory.
        if (run.session.turn === null || pauseOf(run.session.turn) === null) this.#histories.put(run.session, run.history);
        this.#rested(run.session);
      });
    this.#runs.set(run, done);
  }

  /** A newer version of Holdfast has written to the session, and works on it elsewhere; or nobody does, until it comes. */
  #leave(session: Session, { seq, kind, v }: Entry): void {
    this.#notUnderstood.leave(session);
    this.#host.log('warn', 'not-understood', { session: session.id, agent: session.agent, seq, kind, version: v });
  }

  /** After each commit of a run alone, what was left because of it is looked at again. */
  #wakingHost(): WorkerHost {
    return {
      ...this.#host,
      committed: (ref, entries) => {
        this.#host.committed(ref, entries);
        this.wake();
      },
    };
  }

  /** After a run: what the session waits for, and what waited for this place. */
  #rested(session: Session): void {
    const dueMs = session.claim === null ? dueAtMs(session) : null;
    if (dueMs !== null && dueMs > 0) this.dueAt(dueMs);
    if (this.#saturated || this.#solo.someWait || dueMs === 0) this.wake();
    if (session.operations.length > 0) this.#operations.wake();
  }

  #abortAll(reason: AbortReason): void {
    for (const run of this.#runs.keys()) run.abort.abort(reason);
    this.#operations.abortAll(reason);
  }
}
