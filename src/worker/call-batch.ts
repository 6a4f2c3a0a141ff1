import type { AgentTool } from '../agent/tool.ts';
import { toolRules } from '../core/decide.ts';
import type { CallResult, ToolCallPart } from '../core/entry.ts';
import { HoldfastError, invariant } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { openActions, type OpenCall, type Session } from '../core/session.ts';
import { dispatchCalls, joinCalls } from '../core/settle.ts';
import type { UpdateResult } from '../store/store.ts';
import { approvedInputOf } from './approved-input.ts';
import { CallNode } from './call-node.ts';
import { CallState } from './call-state.ts';
import { recordLate } from './late-result.ts';
import { runTool } from './run-tool.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';
import { runInTransaction, type TransactionEnding } from './transaction-call.ts';
import { scopeOfCall } from './step-scope.ts';
import { keepWhole } from './whole-result.ts';

const readOnlyInTransaction = 'a tool with `transaction` reads state and does not write it: its transaction is committed before the step, in which alone it turns out whether a write can be made';
const staysInTransaction = 'a tool with `transaction` takes no transition: its transaction is committed before the step, in which alone it turns out whether the transition can be taken';

export interface BatchStep {
  readonly turnId: string;
  readonly stepSeq: number;
  readonly parts: ReadonlyMap<number, ToolCallPart>;
  readonly tools: ReadonlyMap<string, AgentTool>;
  /** Indexes of calls that may have run already. */
  readonly probe: readonly number[];
}

interface CallToRun {
  readonly call: OpenCall;
  /** A commit has named it as begun. */
  readonly isDispatched: boolean;
}

/**
 * The calls of one step as they run and end. An outcome whose siblings still run a while later is stored ahead of them, so that a takeover finds it. Calls
 * that are approved while their siblings run join the batch.
 */
export class CallBatch {
  readonly results: CallResult[] = [];
  readonly #host: WorkerHost;
  readonly #run: SessionRun;
  readonly #step: BatchStep;
  readonly #ended = Promise.withResolvers<void>();
  readonly #inHand = new Set<number>();
  readonly #timers = new Set<() => void>();
  /** Indexes of calls whose outcomes are stored ahead of their step. */
  readonly #stored = new Set<number>();
  #waiting: CallToRun[] = [];
  #running = 0;
  #joining = false;
  /** The look for decided siblings that was begun last. */
  #joined: Promise<void> = Promise.resolve();
  #joinAgain = false;
  #over = false;

  constructor(host: WorkerHost, run: SessionRun, step: BatchStep) {
    this.#host = host;
    this.#run = run;
    this.#step = step;
  }

  /** Calls that did not begin. */
  get notBegun(): readonly number[] {
    return this.#waiting.map(({ call }) => call.index);
  }

  /** Runs the calls, and those that join. Resolves when all have ended, when no more may begin and those that did have ended, or when the run is aborted. */
  async run(calls: readonly CallToRun[]): Promise<void> {
    const { signal } = this.#run.abort;
    const end = (): void => this.#ended.resolve();
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    const unwatch = this.#watch();
    this.#take(calls);
    try {
      await this.#ended.promise;
    } finally {
      this.#over = true;
      signal.removeEventListener('abort', end);
      unwatch();
      for (const cancel of this.#timers) cancel();
      this.#timers.clear();
      // What a commit under way dispatches did not begin, and is to be taken back.
      await this.#joined;
    }
  }

  /** Stores all outcomes so far, for whoever goes on with the step. */
  async storeAll(): Promise<void> {
    await Promise.all(this.results.map((result) => this.#storeEarly(result)));
  }

  /** Of a step that was taken from this run: what its calls had come to unknown to whoever took it is kept beside their outcomes. */
  recordLost(): void {
    for (const result of this.results) if (!this.#stored.has(result.index) && result.outcome !== 'unknown') this.#recordLate(result);
  }

  #take(calls: readonly CallToRun[]): void {
    for (const { call } of calls) this.#inHand.add(call.index);
    this.#waiting.push(...calls);
    this.#fill();
  }

  #fill(): void {
    const { abort, agent } = this.#run;
    while (this.#running < agent.limits.parallelCalls && !abort.signal.aborted && !this.#run.handingOver) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#running += 1;
      this.#perform(next)
        .catch((error: unknown) => this.#ended.reject(error))
        .finally(() => {
          this.#running -= 1;
          this.#fill();
        });
    }
    if (this.#running === 0 && !this.#joining) this.#ended.resolve();
  }

  async #perform({ call, isDispatched }: CallToRun): Promise<void> {
    if (!isDispatched && !(await this.#dispatch(call))) return;
    const { index, toolName } = call;
    const part = this.#step.parts.get(index);
    invariant(part !== undefined, `call ${index} is in step ${this.#step.stepSeq}`);
    const definition = this.#step.tools.get(toolName);
    const { toolCallId } = part;
    // An MCP server's tools come and go with it.
    if (definition === undefined) return this.#end({ index, toolCallId, toolName, outcome: 'failed', code: 'tool_unavailable', errorText: `the tool ${toolName} cannot be reached now; it did not run` });
    const { ref, agent, abort, history } = this.#run;
    const bound = { clock: this.#host.system.clock, signal: abort.signal, timeoutMs: definition.timeoutMs ?? agent.limits.toolTimeoutMs };
    const made = await scopeOfCall(this.#host.store, this.#run, part, bound);
    if ('failed' in made) return this.#end(made.failed);
    const state = new CallState({ store: this.#host.store, agent, session: made.scope.session, ...(definition.transaction === true ? { readOnly: readOnlyInTransaction } : {}) });
    const node = new CallNode({ agent, session: made.scope.session, ...(definition.transaction === true ? { readOnly: staysInTransaction } : {}) });
    const toolRun = {
      definition, call: part, ...bound,
      approvedInput: await approvedInputOf(this.#host.store, ref, call.inputSeq ?? null),
      probes: this.#step.probe.includes(index),
      resultBytesMax: definition.maxResultBytes ?? agent.limits.toolResultBytesMax,
      options: {
        ...made.scope, toolCallId, callKey: `${ref.id}/${this.#step.stepSeq}/${index}`, messages: history.messages.slice() as never,
        progress: () => undefined, externalCompletion: notAnOperation, state, node,
      },
    };
    if (definition.transaction === true) return this.#endTransaction(await runInTransaction(this.#host, this.#run, { stepSeq: this.#step.stepSeq, toolRun }));
    const result = await runTool({ ...toolRun, keepWhole: (text) => keepWhole(this.#host, ref, text), onLate: (late) => this.#recordLate(late, true) });
    this.#end(node.seal(await state.seal(result)));
  }

  /** Commits that a call begins, where its tool needs that. False when the fence is lost. */
  async #dispatch({ index, toolName }: OpenCall): Promise<boolean> {
    const { agent, lease, ref } = this.#run;
    if (toolRules(agent.rules, toolName)?.recovery === 'rerun') return true;
    const dispatched = await this.#host.store.update({ key: ref, transition: dispatchCalls(lease, [index], agent.rules, this.#host.system.clock.nowMs()) });
    this.#accept(dispatched);
    return dispatched.kind === 'committed';
  }

  #accept<Reply>(result: UpdateResult<Reply>): Reply | null {
    if (result.kind !== 'committed') {
      if (!this.#run.abort.signal.aborted) this.#run.abort.abort('fence-lost');
      return null;
    }
    this.#run.session = result.session;
    this.#run.history.append(result.entries);
    this.#host.committed(this.#run.ref, result.entries);
    return result.reply;
  }

  #end(result: CallResult): void {
    // What ends because it was told to is no outcome of the tool's; what it came to all the same is kept beside.
    if (this.#run.abort.signal.aborted) {
      if (result.outcome === 'done') this.#recordLate(result);
      return;
    }
    this.results.push(result);
    const cancel = this.#host.system.clock.after(limits.earlyOutcomeMs, () => {
      this.#timers.delete(cancel);
      void this.#storeEarly(result);
    });
    this.#timers.add(cancel);
  }

  /** Of what was rolled back nothing came, late or not; what is stored is the step's, whoever goes on with it. */
  #endTransaction(ending: TransactionEnding): void {
    const { signal } = this.#run.abort;
    if (ending.kind === 'rolled-back') return this.#end(ending.result);
    if (ending.kind === 'stored') {
      this.#stored.add(ending.result.index);
      if (!signal.aborted) this.results.push(ending.result);
    } else if (ending.isFenceLost && !signal.aborted) {
      this.#run.abort.abort('fence-lost');
    }
  }

  async #storeEarly(result: CallResult): Promise<void> {
    const { ref, lease, abort } = this.#run;
    try {
      const stored = await this.#host.store.storeOutcomeIfHeld({ ref, fence: lease.fence, stepSeq: this.#step.stepSeq, result });
      if (stored === 'stored') this.#stored.add(result.index);
      else if (!abort.signal.aborted) abort.abort('fence-lost');
    } catch (error) {
      // The step's own commit carries the outcome; only a takeover before it would miss this.
      this.#host.log('warn', 'early-outcome-not-stored', { session: ref.id, error: error instanceof Error ? error.message : String(error) });
    }
  }

  #recordLate(result: CallResult, isTimedOut = false): void {
    const { tenant, id: sessionId } = this.#run.ref;
    recordLate(this.#host, { tenant, sessionId, turnId: this.#step.turnId, stepSeq: this.#step.stepSeq }, result, isTimedOut);
  }

  /** While somebody may still decide on a sibling, looks for it after each hint, and now and then without one. */
  #watch(): () => void {
    if (openActions(this.#run.session.turn).length === 0) return () => undefined;
    const { store, system: { clock }, pollMs } = this.#host;
    const unsubscribe = store.onChange(({ ref }) => {
      if (ref === null || ref.id === this.#run.ref.id) this.#joinSoon();
    });
    let cancel: () => void = () => undefined;
    const poll = (): void => {
      cancel = clock.after(pollMs, () => {
        this.#joinSoon();
        poll();
      });
    };
    poll();
    return () => {
      unsubscribe();
      cancel();
    };
  }

  #joinSoon(): void {
    this.#joinAgain = true;
    if (this.#joining || this.#over || this.#run.handingOver) return;
    this.#joining = true;
    this.#joined = this.#join();
  }

  async #join(): Promise<void> {
    try {
      while (this.#joinAgain && !this.#over && !this.#run.abort.signal.aborted) {
        this.#joinAgain = false;
        if (this.#isDecided(await this.#host.store.readSession(this.#run.ref))) await this.#joinDecided();
      }
    } catch (error) {
      // The step's own commit finds what was decided; it only begins later.
      this.#host.log('warn', 'approved-call-not-joined', { session: this.#run.ref.id, error: error instanceof Error ? error.message : String(error) });
    } finally {
      this.#joining = false;
      this.#fill();
    }
  }

  /** Whether less waits to be decided than this run knows of: only then is there something to commit. */
  #isDecided(session: Session | null): boolean {
    return session !== null && session.fence === this.#run.lease.fence && openActions(session.turn).length < openActions(this.#run.session.turn).length;
  }

  async #joinDecided(): Promise<void> {
    const { agent, lease, ref } = this.#run;
    const { clock, ids } = this.#host.system;
    const places = Math.max(0, agent.limits.parallelCalls - this.#running - this.#waiting.length);
    const joined = this.#accept(await this.#host.store.update({
      key: ref,
      reads: { outcomes: true },
      transition: joinCalls(lease, this.#step.stepSeq, { indexes: [...this.#inHand], places }, agent.rules, { nowMs: clock.nowMs(), mintId: ids.mint.bind(ids) }),
    }));
    if (joined !== null) this.#take(joined.map((call, place) => ({ call, isDispatched: place < places })));
  }
}

function notAnOperation(): Promise<never> {
  return Promise.reject(new HoldfastError('not_an_operation', 'only a tool with `background` can be completed from outside'));
}
