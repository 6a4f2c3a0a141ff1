import { PromptHistory } from '../agent/prompt.ts';
import type { Work } from '../core/advance.ts';
import type { Transition } from '../core/draft.ts';
import { handOver, settleCalls, settleGeneration, type GenerationOutcome, type HandOver } from '../core/settle.ts';
import type { UpdateRequest, UpdateResult } from '../store/store.ts';
import { catchUp } from './history-cache.ts';
import { performCalls } from './perform-calls.ts';
import { performAttempt } from './perform-attempt.ts';
import { recordUsageLate } from './late-usage.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';

/**
 * The step, again and again until the session rests: perform what the last commit recorded as begun, settle what came of it, commit. The commit
 * is fenced and says what comes next. Ends when there is nothing to perform, when the fence is lost, or when the session is handed over: because the process goes away, or cannot read the log.
 */
export async function runSession(host: WorkerHost, run: SessionRun, firstWork: Work): Promise<void> {
  for (let work: Work | null = firstWork; work !== null; ) {
    if (run.handingOver) return void await giveBack(host, run, unbegun(work));
    // What was redacted while the last step was done is in no further prompt.
    if (!run.history.continuesTo(run.session)) run.history = new PromptHistory(run.session.visible, run.session.redactions);
    const strange = await catchUp(host.store, run.history, run.session);
    if (strange !== null) {
      run.notUnderstood(run.session, strange);
      return void await giveBack(host, run, unbegun(work));
    }
    const performed: Performed = work.kind === 'generate' ? await generate(host, run, work) : await call(host, run, work);
    if (performed.kind === 'aborted') return await giveBack(host, run, performed.handOver) ? undefined : performed.recordLost?.();
    await host.budgets?.readFor(run.session);
    const result: UpdateResult<Work | null> = await host.store.update({ key: run.ref, reads: performed.reads, transition: performed.transition });
    if (result.kind !== 'committed') return performed.recordLost?.();
    run.session = result.session;
    run.history.append(result.entries);
    run.lastStep = result.entries.find((entry) => entry.kind === 'assistant-step') ?? run.lastStep;
    host.committed(run.ref, result.entries);
    work = result.reply;
  }
}

type Performed =
  | { readonly kind: 'done'; readonly transition: Transition<Work | null>; readonly reads: NonNullable<UpdateRequest<Work | null>['reads']>; readonly recordLost?: () => void }
  | { readonly kind: 'aborted'; readonly handOver: HandOver; readonly recordLost?: () => void };

async function generate(host: WorkerHost, run: SessionRun, { turnId, attempt }: Extract<Work, { kind: 'generate' }>): Promise<Performed> {
  const outcome = await performAttempt(host, run, attempt);
  // Whoever took the session recorded the attempt, and could not know what it used.
  const recordLost = (): void => recordUsageLate(host, run.ref, turnId, outcome.attempt);
  if (outcome.kind === 'aborted') return { kind: 'aborted', handOver: { notBegun: [], lostAttempt: outcome.attempt }, recordLost };
  return {
    kind: 'done', reads: operationKeys(outcome), recordLost,
    transition: settleGeneration(run.lease, outcome, run.agent.rules, { ...circumstances(host), random: host.system.random.next() }),
  };
}

async function call(host: WorkerHost, run: SessionRun, work: Extract<Work, { kind: 'run-calls' }>): Promise<Performed> {
  const { results, notBegun, recordLost } = await performCalls(host, run, work);
  if (results === null) return { kind: 'aborted', handOver: { notBegun, lostAttempt: null } };
  return { kind: 'done', reads: { outcomes: true, state: results.flatMap(({ stateWrites }) => stateWrites?.writes ?? []) }, recordLost, transition: settleCalls(run.lease, work.stepSeq, results, run.agent.rules, circumstances(host)) };
}

/** What a step that starts operations has to know of those that live. */
function operationKeys(outcome: GenerationOutcome): { readonly operationKeys?: readonly string[] } {
  if (outcome.kind !== 'generated') return {};
  const keys = outcome.parts.flatMap((part) => (part.type === 'tool-call' && part.operation?.key !== undefined ? [part.operation.key] : []));
  return keys.length === 0 ? {} : { operationKeys: keys };
}

function circumstances({ system: { clock, ids }, budgets }: WorkerHost) {
  return { nowMs: clock.nowMs(), mintId: ids.mint.bind(ids), budgets };
}

function unbegun(work: Work): HandOver {
  return { notBegun: work.kind === 'generate' ? [] : work.run.map(({ index }) => index), lostAttempt: null };
}

/** Leaves the session to the next claimant. Where the fence is lost there is nothing to give, and this changes nothing; returns whether it was had. */
async function giveBack(host: WorkerHost, run: SessionRun, what: HandOver): Promise<boolean> {
  if (run.abort.signal.reason === 'fence-lost') return false;
  return (await host.store.update({ key: run.ref, transition: handOver(run.lease, what, host.system.clock.nowMs()) })).kind === 'committed';
}
