import { advance, dispatch, prepareCalls, type Advancing, type Work } from './advance.ts';
import { attemptsSpent, type AgentRules } from './decide.ts';
import { Draft, type Circumstances, type Loaded, type Transition } from './draft.ts';
import type { Compaction, InjectedContext } from './compaction.ts';
import type { AttemptRecord, CallResult, ErrorInfo, FinishReason, StepPart } from './entry.ts';
import { refuse, type Refusal } from './errors.ts';
import { retryDelayMs } from './retry.ts';
import { withoutWrites } from './call-writes.ts';
import type { OpenCall, Turn } from './session.ts';

/** What a worker holds: a session, under a fence. */
export interface Lease {
  readonly worker: string;
  readonly fence: number;
}

/** How a generation ended. */
export type GenerationOutcome =
  | { readonly kind: 'generated'; readonly attempt: AttemptRecord; readonly parts: readonly StepPart[]; readonly finishReason: FinishReason; readonly warnings: readonly string[]; readonly injected?: readonly InjectedContext[] }
  /** `compacts`: the history is compacted, and then it is tried again. */
  | { readonly kind: 'failed'; readonly attempt: AttemptRecord; readonly error: ErrorInfo; readonly retryAfterMs: number; readonly injected?: readonly InjectedContext[]; readonly compacts?: true }
  /** `redactions`: of how many entries the content had been removed when the history was read. */
  | { readonly kind: 'compacted'; readonly attempt: AttemptRecord; readonly compaction: Compaction; readonly redactions: number };

export interface SettleCircumstances extends Circumstances {
  /** From 0 to 1, for the jitter of a retry. */
  readonly random: number;
}

/** The value of a step that lost its fence: the worker stops, nothing is written (G4). */
const fenceLost: Refusal = refuse('fence_lost', 'the session was stopped, moved or taken over; this work no longer counts');

function held({ session }: Loaded, lease: Lease): boolean {
  return session.fence === lease.fence && session.claim?.worker === lease.worker;
}

/** The commit of a generation: the step or the failed attempt, everything that follows from it, and what to do next. */
export function settleGeneration(lease: Lease, outcome: GenerationOutcome, rules: AgentRules, circumstances: SettleCircumstances): Transition<Work | null> {
  return (loaded) => {
    if (!held(loaded, lease) || loaded.session.turn?.attempt?.id !== outcome.attempt.id) return fenceLost;
    const draft = new Draft(loaded.session, circumstances.nowMs);
    const turnId = loaded.session.turn.id;
    draft.set({ crashes: 0 });
    draft.dropChunks();
    if (outcome.kind !== 'compacted') for (const context of outcome.injected ?? []) draft.append({ kind: 'context-injected', turnId, ...context, visibility: 'model' });
    if (outcome.kind === 'compacted') {
      settleCompaction(draft, turnId, outcome, circumstances);
    } else if (outcome.kind === 'generated') {
      const { attempt, parts, finishReason, warnings } = outcome;
      draft.append({ kind: 'assistant-step', turnId, attempt, parts, finishReason, ...(warnings.length === 0 ? {} : { warnings }) });
    } else {
      settleFailure(draft, outcome, circumstances);
    }
    return draft.done(advance(draft, rules, advancing(loaded, circumstances)));
  };
}

function advancing({ keyedOperations }: Loaded, { mintId, budgets }: Circumstances): Advancing {
  return { mintId, keyedOperations, budgets };
}

/** A summary of what has been redacted meanwhile might say it: it is thrown away and made again. */
function settleCompaction(draft: Draft, turnId: string, { attempt, compaction, redactions }: Extract<GenerationOutcome, { kind: 'compacted' }>, circumstances: SettleCircumstances): void {
  if (draft.session.redactions === redactions) {
    draft.append({ kind: 'history-compacted', turnId, ...compaction, attempt });
    return;
  }
  const error: ErrorInfo = { code: 'redacted_meanwhile', message: 'entries were redacted while they were summarised', retryable: true };
  settleFailure(draft, { kind: 'failed', attempt, error, retryAfterMs: 0 }, circumstances);
}

function settleFailure(draft: Draft, { attempt, error, retryAfterMs, compacts }: Extract<GenerationOutcome, { kind: 'failed' }>, { random }: SettleCircumstances): void {
  const turn = draft.session.turn;
  if (turn === null) return;
  const retries = (error.retryable || compacts === true) && !attemptsSpent({ stepAttempts: turn.stepAttempts + 1, failedAttempts: turn.failedAttempts + 1 });
  // Compacted, the prompt is another one: there is nothing to wait for.
  const delayMs = compacts === true ? 0 : retryDelayMs(attempt.number, random, retryAfterMs);
  draft.append({
    kind: 'attempt-failed', turnId: turn.id, attempt, error,
    ...(retries ? { retry: { delayMs, atMs: draft.nowMs + delayMs } } : {}),
    ...(retries && compacts === true ? { compacts } : {}),
  });
  if (!retries) draft.endTurn('failed', { error });
}

/** The commit of what calls came to: the step's results if they were the last ones, else what they leave to be waited for. Reads the outcomes. */
export function settleCalls(lease: Lease, stepSeq: number, results: readonly CallResult[], rules: AgentRules, circumstances: Circumstances): Transition<Work | null> {
  return (loaded) => {
    const step = loaded.session.turn?.lastStep;
    if (!held(loaded, lease) || step?.seq !== stepSeq || step.openCalls.length === 0) return fenceLost;
    const draft = new Draft(loaded.session, circumstances.nowMs, loaded.outcomes, loaded.state);
    draft.set({ crashes: 0 });
    for (const result of results) draft.keepOutcome(result);
    return draft.done(advance(draft, rules, advancing(loaded, circumstances)));
  };
}

/** What a worker has of a step's calls, and how many more it may run beside them. */
export interface CallsInHand {
  readonly indexes: readonly number[];
  readonly places: number;
}

/** While calls of a step run: those that may run since, approved meanwhile, as many of them dispatched as there are places; operations are started. Reads the outcomes. */
export function joinCalls(lease: Lease, stepSeq: number, inHand: CallsInHand, rules: AgentRules, circumstances: Circumstances): Transition<readonly OpenCall[]> {
  return (loaded) => {
    const step = loaded.session.turn?.lastStep;
    if (!held(loaded, lease) || step?.seq !== stepSeq || step.openCalls.length === 0) return fenceLost;
    const draft = new Draft(loaded.session, circumstances.nowMs, loaded.outcomes);
    const decision = prepareCalls(draft, rules, advancing(loaded, circumstances));
    const joins = decision.kind === 'run-calls' ? decision.run.filter(({ index }) => !inHand.indexes.includes(index)) : [];
    dispatch(draft, rules, joins.slice(0, inHand.places).map(({ index }) => index));
    return draft.done(joins);
  };
}

/**
 * A call that had been given up, by a stop or a takeover, has come to something after all. It changes nothing and is kept beside the call's outcome.
 * Not kept while the call is open and runs again, or is going to; one that its own worker timed out does not.
 */
export function recordLateResult(turnId: string, stepSeq: number, result: CallResult, nowMs: number, isTimedOut = false): Transition<null> {
  return ({ session }) => {
    const step = session.turn?.lastStep;
    const call = step?.seq === stepSeq ? step.openCalls.find(({ index }) => index === result.index) : undefined;
    const runsAgain = call?.ended !== true && (call?.dispatchedFence === undefined || call.dispatchedFence === session.fence);
    if (call !== undefined && runsAgain && !isTimedOut) return refuse('fence_lost', 'the call is open and somebody else works on it');
    const draft = new Draft(session, nowMs);
    draft.append({ kind: 'late-result', turnId, stepSeq, result: withoutWrites(result) });
    return draft.done(null);
  };
}

/** What an attempt used is known after all, though its worker lost the session and somebody else recorded it without. */
export function recordLateUsage(turnId: string, attempt: AttemptRecord, nowMs: number): Transition<null> {
  return ({ session }) => {
    const inFlight = [session.turn?.attempt, ...(session.labelling?.attempts ?? [])];
    if (inFlight.some((each) => each?.id === attempt.id)) return refuse('fence_lost', 'the attempt is in flight, and is recorded by whoever has it');
    const draft = new Draft(session, nowMs);
    draft.append({ kind: 'late-usage', turnId, late: attempt });
    return draft.done(null);
  };
}

/** A later commit that dispatches calls beyond the parallel limit. */
export function dispatchCalls(lease: Lease, indexes: readonly number[], rules: AgentRules, nowMs: number): Transition<null> {
  return (loaded) => {
    if (!held(loaded, lease)) return fenceLost;
    const draft = new Draft(loaded.session, nowMs);
    dispatch(draft, rules, indexes);
    return draft.done(null);
  };
}

export interface HandOver {
  /** Calls that were dispatched and did not begin: their dispatch is taken back, but that of calls which may have run before. Calls that run while their process goes away stay dispatched, and the tool's recovery decides. */
  readonly notBegun: readonly number[];
  /** The attempt whose generation was cut off; null when it had not begun. */
  readonly lostAttempt: AttemptRecord | null;
}

/** Gives a session back in order: it is left to the next claimant at once, and it is no crash. */
export function handOver(lease: Lease, { notBegun, lostAttempt }: HandOver, nowMs: number): Transition<null> {
  return (loaded) => {
    if (!held(loaded, lease)) return fenceLost;
    const draft = new Draft(loaded.session, nowMs);
    const { turn } = draft.session;
    if (turn !== null && turn.attempt !== null) {
      if (lostAttempt === null) draft.set({ turn: { ...turn, attempt: null } });
      else draft.append({ kind: 'attempt-lost', turnId: turn.id, attempt: lostAttempt });
      draft.dropChunks();
    } else if (turn !== null && turn.lastStep !== null && notBegun.length > 0) {
      draft.set({ turn: { ...turn, lastStep: { ...turn.lastStep, openCalls: turn.lastStep.openCalls.map((call) => (notBegun.includes(call.index) && call.dispatchedFence === lease.fence ? undispatched(call, turn) : call)) } } });
    }
    draft.set({ claim: null, crashes: 0 });
    return draft.done(null);
  };
}

/** Gives a session up that this process cannot go on with: like the death of a worker, it counts towards parking. */
export function abandon(lease: Lease, nowMs: number): Transition<null> {
  return (loaded) => {
    if (!held(loaded, lease)) return fenceLost;
    const draft = new Draft(loaded.session, nowMs);
    draft.set({ claim: null, crashes: loaded.session.crashes + 1 });
    return draft.done(null);
  };
}

/** Of a call that may have run under a worker before, the dispatch stays and the tool's recovery decides anew, unless a person has decided that it runs. */
function undispatched(call: OpenCall, { actions }: Turn): OpenCall {
  const last = actions.findLast(({ index }) => index === call.index);
  if (call.mayHaveRun === true && !(last?.type === 'recovery' && last.resolved?.resolution === 'approved')) return call;
  const { dispatchedFence: _takenBack, ...rest } = call;
  return rest;
}
