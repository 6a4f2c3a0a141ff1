import type { Work } from '../core/advance.ts';
import type { CallResult, ToolCallPart } from '../core/entry.ts';
import { invariant } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { dispatchCalls } from '../core/settle.ts';
import { runTool } from './run-tool.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';
import { stepScope } from './step-scope.ts';

type CallsWork = Extract<Work, { kind: 'run-calls' }>;

export interface CallsOutcome {
  /** All of the step's results, or null when the run was aborted first. */
  readonly results: readonly CallResult[] | null;
  /** Calls that did not begin. */
  readonly notBegun: readonly number[];
}

/**
 * Runs the calls of a step side by side, up to the agent's limit. A call of a tool that is not `rerun` begins only after a commit has
 * named it as dispatched: the first ones by the commit that led here, each further one by its own.
 */
export async function performCalls(host: WorkerHost, run: SessionRun, work: CallsWork): Promise<CallsOutcome> {
  const calls = await callParts(host, run, work);
  const batch = new CallBatch(host, run, work.stepSeq, work.run.length);
  const side = run.agent.limits.parallelCalls;
  let begun = 0;
  const place = async (): Promise<void> => {
    for (let call = work.run[begun]; call !== undefined && !run.abort.signal.aborted && !run.handingOver; call = work.run[begun]) {
      begun += 1;
      if (begun > side && !(await isDispatched(host, run, call.index))) return;
      await batch.perform(calls, call.index, call.toolName);
    }
  };
  try {
    await Promise.race([Promise.all(work.run.slice(0, side).map(place)), aborted(run.abort.signal)]);
  } finally {
    batch.end();
  }
  if (batch.results.length === work.run.length) return { results: [...work.known, ...batch.results], notBegun: [] };
  await batch.storeAll();
  return { results: null, notBegun: work.run.slice(begun).map(({ index }) => index) };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** The calls as their step recorded them; read from the log after a takeover. */
async function callParts(host: WorkerHost, run: SessionRun, { stepSeq, run: open }: CallsWork): Promise<ReadonlyMap<number, ToolCallPart>> {
  const step = run.lastStep?.seq === stepSeq ? run.lastStep : (await host.store.readEntries(run.ref, { afterSeq: stepSeq - 1, limit: 1 }))[0];
  invariant(step?.kind === 'assistant-step' && step.seq === stepSeq, `entry ${stepSeq} is the step whose calls are open`);
  const parts = new Map(step.parts.flatMap((part) => (part.type === 'tool-call' ? [[part.index, part] as const] : [])));
  invariant(open.every(({ index }) => parts.has(index)), `the open calls of step ${stepSeq} are in it`);
  return parts;
}

/** Commits that a call begins, where its tool needs that. False when the fence is lost. */
async function isDispatched(host: WorkerHost, run: SessionRun, index: number): Promise<boolean> {
  const call = run.session.turn?.lastStep?.openCalls.find((open) => open.index === index);
  if (call === undefined || run.agent.rules.tools.get(call.toolName)?.recovery === 'rerun') return true;
  const result = await host.store.update({ key: run.ref, transition: dispatchCalls(run.lease, [index], run.agent.rules, host.system.clock.nowMs()) });
  if (result.kind === 'committed') run.session = result.session;
  else run.abort.abort('fence-lost');
  return result.kind === 'committed';
}

/** The calls of one step as they end. An outcome whose siblings still run a while later is stored ahead of them, so that a takeover finds it. */
class CallBatch {
  readonly results: CallResult[] = [];
  readonly #host: WorkerHost;
  readonly #run: SessionRun;
  readonly #stepSeq: number;
  readonly #count: number;
  readonly #timers = new Set<() => void>();

  constructor(host: WorkerHost, run: SessionRun, stepSeq: number, count: number) {
    this.#host = host;
    this.#run = run;
    this.#stepSeq = stepSeq;
    this.#count = count;
  }

  async perform(calls: ReadonlyMap<number, ToolCallPart>, index: number, toolName: string): Promise<void> {
    const call = calls.get(index);
    const definition = this.#run.agent.tools.get(toolName);
    invariant(call !== undefined && definition !== undefined, `the tool ${toolName} of call ${index} is known`);
    const { limits: agentLimits, rules } = this.#run.agent;
    let scope: Awaited<ReturnType<typeof stepScope>>;
    try {
      scope = await stepScope(this.#run);
    } catch (error) {
      const errorText = `the agent's context could not be made: ${error instanceof Error ? error.message : String(error)}`;
      this.#ended({ index, toolCallId: call.toolCallId, toolName, outcome: 'failed', code: 'context_failed', errorText });
      return;
    }
    const result = await runTool({
      definition, call, clock: this.#host.system.clock, signal: this.#run.abort.signal,
      timeoutMs: definition.timeoutMs ?? agentLimits.toolTimeoutMs,
      resultBytesMax: definition.maxResultBytes ?? agentLimits.toolResultBytesMax,
      stopsTurn: rules.tools.get(toolName)?.stopAfter === true,
      options: {
        ...scope, toolCallId: call.toolCallId, callKey: `${this.#run.ref.id}/${this.#stepSeq}/${index}`,
        messages: this.#run.history.messages.slice() as never,
      },
    });
    this.#ended(result);
  }

  end(): void {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
  }

  /** Stores all outcomes so far, for whoever goes on with the step. */
  async storeAll(): Promise<void> {
    await Promise.all(this.results.map((result) => this.#storeEarly(result)));
  }

  #ended(result: CallResult): void {
    // What ends because it was told to is no outcome of the tool's.
    if (this.#run.abort.signal.aborted) return;
    this.results.push(result);
    if (this.results.length === this.#count) return;
    const cancel = this.#host.system.clock.after(limits.earlyOutcomeMs, () => {
      this.#timers.delete(cancel);
      void this.#storeEarly(result);
    });
    this.#timers.add(cancel);
  }

  async #storeEarly(result: CallResult): Promise<void> {
    const { ref, lease, abort } = this.#run;
    try {
      const stored = await this.#host.store.storeOutcomeIfHeld({ ref, fence: lease.fence, stepSeq: this.#stepSeq, result });
      if (stored === 'fence-lost' && !abort.signal.aborted) abort.abort('fence-lost');
    } catch (error) {
      // The step's own commit carries the outcome; only a takeover before it would miss this.
      this.#host.log('warn', 'early-outcome-not-stored', { session: ref.id, error: error instanceof Error ? error.message : String(error) });
    }
  }
}
