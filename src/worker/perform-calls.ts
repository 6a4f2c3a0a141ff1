import type { CallsWork } from '../core/advance.ts';
import type { CallResult, ToolCallPart } from '../core/entry.ts';
import { invariant } from '../core/errors.ts';
import { CallBatch } from './call-batch.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';
import { stepTools } from './step-tools.ts';

export interface CallsOutcome {
  /** What the calls came to, or null when the run was aborted first. */
  readonly results: readonly CallResult[] | null;
  /** Calls that did not begin. */
  readonly notBegun: readonly number[];
  /** To be called when the results come too late for their step. */
  readonly recordLost: () => void;
}

/**
 * Runs the calls of a step side by side, up to the agent's limit, and those that are approved meanwhile with them. A call of a tool that is not `rerun`
 * begins only after a commit has named it as dispatched: the first ones by the commit that led here, each further one by its own.
 */
export async function performCalls(host: WorkerHost, run: SessionRun, work: CallsWork): Promise<CallsOutcome> {
  const batch = new CallBatch(host, run, { stepSeq: work.stepSeq, turnId: work.turnId, parts: await callParts(host, run, work), tools: await stepTools(host, run), probe: work.probe });
  const side = run.agent.limits.parallelCalls;
  await batch.run([...work.run.slice(0, side).map((call) => ({ call, isDispatched: true })), ...work.run.slice(side).map((call) => ({ call, isDispatched: false }))]);
  const { notBegun } = batch;
  const recordLost = (): void => batch.recordLost();
  if (!run.abort.signal.aborted && notBegun.length === 0) return { results: batch.results, notBegun, recordLost };
  await batch.storeAll();
  recordLost();
  return { results: null, notBegun, recordLost };
}

/** The calls as their step recorded them; read from the log after a takeover or a pause. */
async function callParts(host: WorkerHost, run: SessionRun, { stepSeq, run: open }: CallsWork): Promise<ReadonlyMap<number, ToolCallPart>> {
  const step = run.lastStep?.seq === stepSeq ? run.lastStep : (await host.store.readEntries(run.ref, { afterSeq: stepSeq - 1, limit: 1 }))[0];
  invariant(step?.kind === 'assistant-step' && step.seq === stepSeq, `entry ${stepSeq} is the step whose calls are open`);
  const parts = new Map(step.parts.flatMap((part) => (part.type === 'tool-call' ? [[part.index, part] as const] : [])));
  invariant(open.every(({ index }) => parts.has(index)), `the open calls of step ${stepSeq} are in it`);
  return parts;
}
