import type { Agent } from '../agent/agent.ts';
import { claimOperation, releaseOperation, settleOperation, type ClaimedOperation, type OperationTransition } from '../core/operation-transitions.ts';
import type { Operation } from '../core/operation.ts';
import type { CallResult } from '../core/entry.ts';
import { canonicalJson, type JsonValue } from '../core/json.ts';
import type { Session } from '../core/session.ts';
import { StoreError, type ClaimableOperation, type OperationUpdateResult, type SessionRef } from '../store/store.ts';
import { ClaimsInTurn } from './claims-in-turn.ts';
import { recordLate } from './late-result.ts';
import type { OperationRun } from './operation-run.ts';
import { runOperation, type OperationEnding } from './run-operation.ts';
import type { AbortReason, WorkerHost } from './session-run.ts';
import { UnheldClaims } from './unheld-claims.ts';

export interface OperationRunnerOptions extends WorkerHost {
  readonly agents: ReadonlyMap<string, Agent>;
  /** Operations that run at the same time in this process. */
  readonly operationsMax: number;
}

/** How long an operation that could not begin is kept before it is given back, in milliseconds. */
const notBegunDelayMs = 1_000;

/** What the runner needs of its process's lease. */
export interface RunnerLease {
  readonly id: string;
  readonly held: boolean;
  readonly deadWorkers: readonly string[];
}

/**
 * Runs the operations of a worker process: claims those that nobody has, runs their tools, tells their sessions how they ended. It lives
 * and dies by the process's lease; what is lost with it goes on elsewhere by the tool's recovery.
 */
export class OperationRunner {
  readonly #host: OperationRunnerOptions;
  readonly #lease: RunnerLease;
  readonly #onSession: (session: Session) => void;
  readonly #runs = new Map<OperationRun, Promise<void>>();
  readonly #claims: ClaimsInTurn;
  readonly #unheld = new UnheldClaims();
  #scanning: Promise<void> | null = null;
  #scanAgain = false;
  /** The last look for operations found none to take. */
  #foundNone = false;
  #stopped = false;

  /** `onSession` is told of sessions that an operation's end has changed. */
  constructor(host: OperationRunnerOptions, lease: RunnerLease, onSession: (session: Session) => void) {
    this.#host = host;
    this.#lease = lease;
    this.#onSession = onSession;
    this.#claims = new ClaimsInTurn(host.system.clock, (error) => this.#scanFailed(error));
  }

  get runs(): number {
    return this.#runs.size;
  }

  /** Of what it has in hand, when each ends. */
  get ends(): readonly Promise<void>[] {
    return [...this.#runs.values()];
  }

  /** Resolves when it has looked for operations; null: it does not look just now. */
  get looking(): Promise<void> | null {
    return this.#scanning;
  }

  get foundNone(): boolean {
    return this.#foundNone;
  }

  /** Looks for operations to run soon. */
  wake(): void {
    if (this.#stopped) return;
    this.#scanAgain = true;
    this.#scanning ??= this.#scanUntilQuiet().finally(() => {
      this.#scanning = null;
    });
  }

  /** Whether it has an operation of the session in hand. */
  worksFor({ tenant, id }: SessionRef): boolean {
    for (const { operation } of this.#runs.keys()) if (operation.sessionId === id && operation.tenant === tenant) return true;
    return false;
  }

  /** A commit of this process changed the operation: a run under an older fence ends at once. */
  changed({ tenant, id, fence }: Operation): void {
    for (const run of this.#runs.keys()) if (run.operation.id === id && run.operation.tenant === tenant && run.lease.fence < fence) run.abort.abort('fence-lost');
  }

  /** A commit of this process changed the session: operations that live no longer end at once. */
  sessionChanged({ tenant, id, operations }: Session): void {
    for (const { operation, abort } of this.#runs.keys()) {
      if (operation.sessionId === id && operation.tenant === tenant && !operations.some((live) => live.id === operation.id)) abort.abort('fence-lost');
    }
  }

  /** Looks whether something was taken from this worker. A silent tool hears of its cancellation by this at the latest. At a heartbeat, claims that nobody here has are given back too. */
  async checkHeld(isHeartbeat: boolean): Promise<void> {
    const runs = [...this.#runs.keys()];
    if (runs.length === 0 && !isHeartbeat) return;
    const worker = this.#lease.id;
    const held = await this.#host.store.findHeldOperations(worker);
    const fences = new Map(held.map(({ id, fence }) => [id, fence]));
    for (const { operation, lease, abort } of runs) if (fences.get(operation.id) !== lease.fence) abort.abort('fence-lost');
    if (!isHeartbeat) return;
    const inHand = [...this.#runs.keys()].map(({ operation: { tenant, id }, lease: { fence } }) => ({ tenant, id, fence }));
    for (const { tenant, id, fence, begun } of this.#unheld.seenAgain(held, inHand)) {
      this.#update(tenant, id, false, releaseOperation({ worker, fence }, begun, this.#host.system.clock.nowMs()))
        .then(() => this.wake(), (error: unknown) => this.#host.log('error', 'give-back-failed', { operation: id, error: error instanceof Error ? error.message : String(error) }));
    }
  }

  abortAll(reason: AbortReason): void {
    for (const run of this.#runs.keys()) run.abort.abort(reason);
  }

  /** Takes no more. Resolves when what runs has ended or was given back; {@link abortAll} hurries it. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#scanning;
    await this.#claims.ended();
    await Promise.all(this.#runs.values());
  }

  async #scanUntilQuiet(): Promise<void> {
    while (this.#scanAgain && !this.#stopped) {
      this.#scanAgain = false;
      try {
        await this.#scan();
      } catch (error) {
        this.#scanFailed(error);
      }
    }
  }

  /** The next poll tries again; until then the store is somebody's to mend. */
  #scanFailed(error: unknown): void {
    this.#host.log('error', 'operation-scan-failed', { error: error instanceof Error ? error.message : String(error) });
  }

  async #scan(): Promise<void> {
    const { store, system, agents, operationsMax } = this.#host;
    const free = operationsMax - this.#runs.size;
    this.#foundNone = false;
    if (!this.#lease.held || free <= 0) return;
    const { deadWorkers } = this.#lease;
    const found = await store.findClaimableOperations({ nowMs: system.clock.nowMs(), deadWorkers, agents: [...agents.keys()], limit: free });
    this.#foundNone = found.length === 0;
    for (const claimable of found) await this.#claims.run(claimable, () => this.#claim(claimable, deadWorkers));
  }

  async #claim({ tenant, id, agent: name }: ClaimableOperation, deadWorkers: readonly string[]): Promise<void> {
    const agent = this.#host.agents.get(name);
    if (agent === undefined || this.#stopped || !this.#lease.held || this.#runs.size + this.#claims.size >= this.#host.operationsMax) return;
    const { id: worker } = this.#lease;
    const transition = claimOperation(worker, (other) => deadWorkers.includes(other), agent.rules, this.#circumstances());
    try {
      const result = await this.#update(tenant, id, true, transition, (error) => error instanceof StoreError);
      if (result.kind !== 'committed' || result.reply.work === 'none') return;
      // The process goes away meanwhile: nothing begins any more, and nobody would end it.
      if (this.#stopped) await this.#update(tenant, id, false, releaseOperation({ worker, fence: result.operation.fence }, false, this.#host.system.clock.nowMs()));
      else this.#begin(agent, result.reply);
    } catch (error) {
      // One that cannot be claimed keeps no others waiting; a store that fails is the matter of all.
      if (error instanceof StoreError) throw error;
      this.#host.log('error', 'operation-claim-failed', { operation: id, error: error instanceof Error ? error.message : String(error) });
    }
  }

  #begin(agent: Agent, { operation, work }: ClaimedOperation): void {
    // The commit of a claim may come after the lease that it was made under: what names the lost id is anybody's, and nothing of it begins here.
    if (!this.#lease.held || operation.worker !== this.#lease.id) return;
    const run: OperationRun = { agent, operation, lease: { worker: this.#lease.id, fence: operation.fence }, probes: work === 'probe', abort: new AbortController(), begun: false };
    const done = this.#perform(run)
      .catch((error: unknown) => this.#host.log('error', 'operation-failed', { operation: operation.id, error: error instanceof Error ? error.message : String(error) }))
      .finally(() => {
        this.#runs.delete(run);
        const { operation: { tenant, id }, lease: { fence }, begun } = run;
        if (begun) this.#unheld.hasBegun({ tenant, id, fence });
        run.abort.abort('fence-lost');
        this.wake();
      });
    this.#runs.set(run, done);
  }

  async #perform(run: OperationRun): Promise<void> {
    const { tenant, id } = run.operation;
    const ending = await Promise.race([this.#runOnce(run), aborted(run.abort.signal)]);
    const { reason } = run.abort.signal;
    if (reason === 'fence-lost') return;
    if (ending === null) {
      await this.#update(tenant, id, false, releaseOperation(run.lease, false, this.#host.system.clock.nowMs()));
      return;
    }
    if (ending === 'aborted' || (reason === 'hand-over' && ending.kind === 'ended' && ending.result.outcome !== 'done')) {
      await this.#update(tenant, id, false, releaseOperation(run.lease, run.begun, this.#host.system.clock.nowMs()));
      return;
    }
    if (ending.kind === 'delegated') {
      await this.#update(tenant, id, false, ending.transition);
      return;
    }
    const settled = await this.#update(tenant, id, true, settleOperation(run.lease, ending.result, this.#circumstances()));
    // It was cancelled, completed or given up before this process heard of it; or this very end has landed though its commit came back as an error.
    if (settled.kind === 'refused' && ending.result.outcome !== 'unknown' && !isSame(settled.operation?.result ?? null, ending.result)) recordLate(this.#host, run.operation, ending.result);
  }

  /** null: it could not begin, and is given back after a while. */
  async #runOnce(run: OperationRun): Promise<OperationEnding | null> {
    try {
      const ending = await runOperation(this.#host, run);
      // Its tool was told to end and came to something all the same.
      if (run.abort.signal.aborted && ending.kind === 'ended' && ending.result.outcome === 'done') recordLate(this.#host, run.operation, ending.result);
      return ending;
    } catch (error) {
      this.#host.log('error', 'operation-not-begun', { operation: run.operation.id, error: error instanceof Error ? error.message : String(error) });
      await new Promise<void>((resolve) => this.#host.system.clock.after(notBegunDelayMs, resolve));
      return null;
    }
  }

  /** Tries until the store answers: an operation that has ended must not stay open for want of one commit. */
  async #update<Reply>(tenant: string, id: string, withSession: boolean, transition: OperationTransition<Reply>, triesAgain: (error: unknown) => boolean = () => true): Promise<OperationUpdateResult<Reply>> {
    for (let delayMs = 100; ; delayMs = Math.min(delayMs * 2, 5_000)) {
      try {
        const result = await this.#host.store.updateOperation({ key: { tenant, id }, reads: { session: withSession }, transition });
        if (result.kind === 'committed' && result.session !== null) {
          this.#host.committed({ tenant, id: result.session.id }, result.entries);
          this.#onSession(result.session);
        }
        return result;
      } catch (error) {
        if (this.#stopped || !this.#lease.held || !triesAgain(error)) throw error;
        this.#host.log('error', 'operation-not-stored', { operation: id, error: error instanceof Error ? error.message : String(error) });
        await new Promise<void>((resolve) => this.#host.system.clock.after(delayMs, resolve));
      }
    }
  }

  #circumstances() {
    const { clock, ids } = this.#host.system;
    return { nowMs: clock.nowMs(), mintId: ids.mint.bind(ids) };
  }
}

function isSame(stored: CallResult | null, result: CallResult): boolean {
  return canonicalJson(stored as unknown as JsonValue) === canonicalJson(result as unknown as JsonValue);
}

/** A tool may not hear that it is to end; nobody waits for it. */
function aborted(signal: AbortSignal): Promise<'aborted'> {
  if (signal.aborted) return Promise.resolve('aborted');
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve('aborted'), { once: true });
  });
}
