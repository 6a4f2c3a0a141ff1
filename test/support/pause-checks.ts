import type { CallsWork } from '../../src/core/advance.ts';
import type { ToolRules } from '../../src/core/decide.ts';
import type { CallResult, Entry, EntryOf } from '../../src/core/entry.ts';
import { canonicalJson, type JsonValue } from '../../src/core/json.ts';
import { isVisible } from '../../src/core/intervals.ts';
import { isLive, operationDueAtMs } from '../../src/core/operation.ts';
import { awaitedOperations, dueAtMs, emptySession, openActions, type Session } from '../../src/core/session.ts';
import { unansweredIn } from './answered-prompt.ts';
import { foldEntry, toldByLog } from './log-fold.ts';
import type { PureSession } from './pure-session.ts';

const callKey = (stepSeq: number, index: number): string => `${stepSeq}/${index}`;

/** Codes of calls that failed without having run. */
const neverRan = new Set(['tool_changed', 'exclusive_tool', 'invalid_input', 'unknown_tool', 'too_many_operations']);

/** What has been seen in all the histories of a test, so that it can be said that there was something to see. */
export const seen = new Map<string, number>();

function see(what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1);
}

function must(condition: boolean, what: () => string): void {
  if (!condition) throw new Error(what());
}

/** Looks after everything that must hold of a session, after each commit and each beginning of a tool. */
export class PauseChecks {
  readonly #pure: PureSession;
  readonly #tools: ReadonlyMap<string, ToolRules>;
  #entries = 0;
  #folded: Session;
  #attemptId: string | undefined;
  /** Times that each call's tool has really run. */
  readonly #effects = new Map<string, number>();
  /** The fences under which a commit named each call as dispatched, each with the log's length then. */
  readonly #dispatched = new Map<string, Map<number, number>>();
  /** Outcomes that a commit has kept ahead of their step. */
  readonly #kept = new Map<string, CallResult>();
  readonly #opened = new Map<string, EntryOf<'action-opened'>>();
  readonly #resolved = new Map<string, EntryOf<'action-resolved'>>();
  readonly #operations = new Map<string, EntryOf<'operation-started'>>();
  readonly #ended = new Map<string, EntryOf<'operation-ended'>>();
  /** The results that came while their calls were not visible. */
  readonly #cameWhileLeft = new Set<string>();
  readonly #turns = new Set<string>();
  readonly #answered = new Set<number>();
  readonly #messages = new Map<string, 'waits' | 'said' | 'unqueued'>();

  constructor(pure: PureSession, tools: ReadonlyMap<string, ToolRules>) {
    this.#pure = pure;
    this.#tools = tools;
    const { tenant, id, createdAtMs } = pure.session;
    this.#folded = emptySession({ tenant, id }, createdAtMs);
  }

  /** Results of detached operations that the visible history has the calls of, and does not give to the model. A result belongs to the branch that holds its call. */
  undelivered(): readonly string[] {
    const { session: { visible } } = this.#pure;
    const given = new Set(this.#given().map(({ operationId }) => operationId));
    return [...this.#ended.values()].flatMap(({ mode, operationId, stepSeq, result }) => (mode === 'detach' && result !== undefined && isVisible(visible, stepSeq) && !given.has(operationId) ? [operationId] : []));
  }

  /** The visible entries that give the model a result. */
  #given(): readonly EntryOf<'operation-result'>[] {
    const { log, session: { visible } } = this.#pure;
    return log.filter((entry): entry is EntryOf<'operation-result'> => entry.kind === 'operation-result' && isVisible(visible, entry.seq));
  }

  /** Looks after what was committed since. */
  committed(): void {
    const { log, session, deleted } = this.#pure;
    if (deleted) return see('deleted');
    for (const entry of log.slice(this.#entries)) this.#entry(entry);
    this.#entries = log.length;
    const [told, row] = [toldByLog(this.#folded), toldByLog(session)];
    must(canonicalJson(told as unknown as JsonValue) === canonicalJson(row as unknown as JsonValue), () => `the row is the fold of the log:\n${JSON.stringify(row)}\n${JSON.stringify(told)}`);
    this.#actions();
    this.#outcomes();
    this.#livingOperations();
    this.#notStuck();
    this.#messagesKept();
    this.#deliveries();
    this.#prompt();
  }

  #entry(entry: Entry): void {
    see(entry.kind);
    this.#folded = foldEntry(this.#folded, entry);
    switch (entry.kind) {
      case 'action-opened':
        must(!this.#opened.has(entry.actionId), () => `action ${entry.actionId} is opened once`);
        this.#opened.set(entry.actionId, entry);
        return see(`asked: ${entry.type}`);
      case 'action-resolved':
        return this.#actionResolved(entry);
      case 'tool-results':
        return this.#results(entry);
      case 'operation-started':
        must(!this.#operations.has(entry.operationId), () => `operation ${entry.operationId} starts once`);
        this.#operations.set(entry.operationId, entry);
        return;
      case 'operation-ended':
        must(this.#operations.has(entry.operationId) && !this.#ended.has(entry.operationId), () => `operation ${entry.operationId} ends once`);
        this.#ended.set(entry.operationId, entry);
        if (!isVisible(this.#folded.visible, entry.stepSeq)) this.#cameWhileLeft.add(entry.operationId);
        return see(`operation: ${entry.status}`);
      case 'operation-result':
        return this.#operationResult(entry);
      case 'message-queued':
        this.#messages.set(entry.messageId, 'waits');
        return;
      case 'turn-started':
        must(!this.#turns.has(entry.turnId), () => `turn ${entry.turnId} begins once`);
        must(this.#folded.deliveries.some(({ stepSeq }) => isVisible(this.#folded.visible, stepSeq)), () => `turn ${entry.turnId} begins with a result whose call is visible`);
        this.#turns.add(entry.turnId);
        return;
      case 'user-message':
        must(this.#messages.get(entry.messageId) === undefined || this.#messages.get(entry.messageId) === 'waits', () => `message ${entry.messageId} is said once`);
        this.#messages.set(entry.messageId, 'said');
        if (entry.steered === true) see('steered');
        return;
      case 'message-unqueued':
        this.#messages.set(entry.messageId, 'unqueued');
        return;
      default:
    }
  }

  #actionResolved(entry: EntryOf<'action-resolved'>): void {
    const opened = this.#opened.get(entry.actionId);
    must(opened !== undefined && !this.#resolved.has(entry.actionId), () => `action ${entry.actionId} is consumed once`);
    this.#resolved.set(entry.actionId, entry);
    see(`resolved: ${entry.resolution}`);
    const expiresAtMs = opened?.expiresAtMs ?? null;
    if (entry.by !== undefined) must(expiresAtMs === null || entry.atMs < expiresAtMs, () => `action ${entry.actionId} is answered before it expires`);
    if (entry.resolution === 'expired') must(expiresAtMs !== null && entry.atMs >= expiresAtMs, () => `action ${entry.actionId} does not expire before its time`);
  }

  /** Each call of the step has exactly one outcome, those that were kept are unchanged, and none claims not to have run that has. */
  #results({ stepSeq, results, seq }: EntryOf<'tool-results'>): void {
    const step = this.#pure.log[stepSeq - 1];
    const calls = step?.kind === 'assistant-step' ? step.parts.flatMap((part) => (part.type === 'tool-call' ? [part.index] : [])) : [];
    must(!this.#answered.has(stepSeq), () => `step ${stepSeq} is answered once`);
    this.#answered.add(stepSeq);
    must(results.map(({ index }) => index).join() === calls.join(), () => `the results of step ${stepSeq} are of its calls: ${results.map(({ index }) => index).join()}`);
    for (const result of results) {
      see(`outcome: ${result.outcome}${result.mayHaveRun === true ? ', may have run' : ''}`);
      const key = callKey(stepSeq, result.index);
      const kept = this.#kept.get(key);
      const { stopsTurn: _stops, ...own } = result;
      const { stopsTurn: _keptStops, ...keptOwn } = kept ?? result;
      must(JSON.stringify(own) === JSON.stringify(keptOwn), () => `the outcome kept of call ${key} is the one in its results: ${JSON.stringify([kept, result])}`);
      if (kept !== undefined) see('outcome kept');
      const claimsNotToHaveRun = (result.outcome === 'stopped' && result.mayHaveRun !== true) || result.outcome === 'denied' || result.outcome === 'expired' || (result.outcome === 'failed' && neverRan.has(result.code ?? ''));
      const isRerun = this.#tools.get(result.toolName)?.recovery === 'rerun';
      must(!claimsNotToHaveRun || isRerun || !this.#effects.has(key), () => `call ${key}, which has run, is not said not to have: ${JSON.stringify(result)}`);
    }
    for (const [id, { stepSeq: askedBy }] of this.#opened) if (askedBy === stepSeq) must(this.#resolved.has(id), () => `action ${id} is resolved when its step is answered (entry ${seq})`);
  }

  #operationResult({ seq, operationId, stepSeq, turnId, result }: EntryOf<'operation-result'>): void {
    const { log } = this.#pure;
    if (log.some((entry) => entry.kind === 'operation-result' && entry.operationId === operationId && entry.seq < seq)) see('given in two branches');
    if (this.#cameWhileLeft.has(operationId)) see('given after its branch was restored');
    const ended = this.#ended.get(operationId);
    must(ended?.mode === 'detach' && JSON.stringify(ended.result) === JSON.stringify(result), () => `the result of ${operationId} is what it came to`);
    must(this.#answered.has(stepSeq), () => `the result of ${operationId} comes after that of its call`);
    must(isVisible(this.#folded.visible, stepSeq), () => `the result of ${operationId} belongs to the visible branch`);
    must(this.#folded.turn?.id === turnId, () => `the result of ${operationId} is given in the turn that runs`);
  }

  /** What waits for the model is what the visible history has the calls of and does not give; and it gives nothing twice. */
  #deliveries(): void {
    const { session } = this.#pure;
    const given = this.#given();
    must(new Set(given.map(({ operationId }) => operationId)).size === given.length, () => `each result is given once: ${JSON.stringify(given)}`);
    for (const { operationId, stepSeq } of given) must(isVisible(session.visible, stepSeq), () => `the result of ${operationId} is given in the branch of its call`);
    if (session.ended) return;
    const [waits, expected] = [session.deliveries.map(({ operationId }) => operationId).toSorted().join(), this.undelivered().toSorted().join()];
    must(waits === expected, () => `what waits for the model is what it was not given: ${waits} and not ${expected}`);
  }

  #actions(): void {
    const { session, log } = this.#pure;
    for (const action of session.turn?.actions ?? []) {
      const resolved = this.#resolved.get(action.id);
      must(action.resolved?.resolution === resolved?.resolution, () => `the row says of action ${action.id} what the log says`);
      must(log[(session.turn?.lastStep?.seq ?? 0) - 1]?.kind === 'assistant-step', () => 'actions belong to the last step');
    }
    const open = new Set(openActions(session.turn).map(({ id }) => id));
    for (const id of this.#opened.keys()) must(this.#resolved.has(id) !== open.has(id), () => `action ${id} is resolved or open`);
  }

  /** Remembers what is kept, and what is dispatched. */
  #outcomes(): void {
    const { outcomes, session, log } = this.#pure;
    for (const { stepSeq, result } of outcomes) {
      const key = callKey(stepSeq, result.index);
      const known = this.#kept.get(key);
      must(known === undefined || known === result, () => `the outcome kept of call ${key} stays`);
      this.#kept.set(key, result);
    }
    const step = session.turn?.lastStep;
    for (const { index, dispatchedFence, ended } of step?.openCalls ?? []) {
      const key = callKey(step?.seq ?? 0, index);
      must(ended !== true || this.#kept.has(key), () => `call ${key}, which has ended, has its outcome kept`);
      if (dispatchedFence === undefined) continue;
      const fences = this.#dispatched.get(key) ?? new Map<number, number>();
      this.#dispatched.set(key, fences);
      if (!fences.has(dispatchedFence)) fences.set(dispatchedFence, log.length);
    }
  }

  #livingOperations(): void {
    const { session, operations } = this.#pure;
    const live = [...operations.values()].filter(isLive);
    must(session.operations.map(({ id }) => id).toSorted().join() === live.map(({ id }) => id).toSorted().join(), () => `the row names the operations that live: ${session.operations.map(({ id }) => id).join()}`);
    must(!session.ended || live.length === 0, () => 'no operation outlives its session');
    const keys = live.flatMap((operation) => (operation.key === null ? [] : [operation.key]));
    must(new Set(keys).size === keys.length, () => 'one operation of a key lives');
    for (const id of this.#operations.keys()) must(this.#ended.has(id) !== live.some((operation) => operation.id === id), () => `operation ${id} lives, or its end is in the log`);
    for (const operation of live) {
      const due = operationDueAtMs(operation);
      must(operation.worker !== null || due === 0 || (operation.external && due === operation.timeoutAtMs), () => `operation ${operation.id} has a worker, is due, or is somebody's outside until its time is over`);
    }
  }

  /** G7. */
  #notStuck(): void {
    const { session, operations } = this.#pure;
    if (session.turn === null) {
      must(session.claim === null, () => 'nobody holds a session at rest');
      if (session.queue.length > 0) must(session.queueHeld || session.archived || session.lastTurn?.reason === 'failed', () => 'at rest, messages wait only where somebody holds them, or after a failure');
      return;
    }
    const waits = openActions(session.turn).length > 0 || awaitedOperations(session).some(({ id }) => operations.get(id) !== undefined);
    must(session.claim !== null || dueAtMs(session) !== null || waits, () => 'a session that is not at rest is held, due, or waits for somebody or for an operation');
  }

  #messagesKept(): void {
    const waiting = new Set(this.#pure.session.queue.map(({ messageId }) => messageId));
    for (const [messageId, state] of this.#messages) must((state === 'waits') === waiting.has(messageId), () => `message ${messageId} waits, or was said, or was taken out`);
  }

  #prompt(): void {
    const { session, log } = this.#pure;
    const attemptId = session.turn?.attempt?.id;
    if (attemptId === undefined || attemptId === this.#attemptId) return;
    this.#attemptId = attemptId;
    see('prompt');
    const wrong = unansweredIn(log, session.visible);
    must(wrong === null, () => `each call of a prompt has its one result: ${wrong}`);
    must(session.turn?.lastStep?.openCalls.length !== 0 || session.turn.lastStep.calls > 0, () => 'a generation follows on results or messages');
  }

  /** A claim that found nothing to perform leaves nothing due now: else it would be claimed for ever. */
  idleClaim(): void {
    const { session, nowMs } = this.#pure;
    const due = dueAtMs(session);
    const rests = session.turn === null || (due !== null && due > Math.max(nowMs, session.updatedAtMs)) || due === null;
    must(session.claim === null && rests, () => `a claim without work leaves nothing due: ${due} at ${nowMs}`);
    see('claim without work');
  }

  /**
   * A worker is given calls to run. One that had been dispatched under an older fence is given out only if its tool runs twice without harm, if a person has allowed it
   * since, or to be probed.
   */
  handedOut({ stepSeq, run, probe }: CallsWork, fence: number): void {
    for (const { index, toolName } of run) {
      const key = callKey(stepSeq, index);
      const older = [...(this.#dispatched.get(key) ?? [])].filter(([other]) => other !== fence).map(([, logLength]) => logLength);
      if (older.length === 0) continue;
      const recovery = this.#tools.get(toolName)?.recovery;
      const isProbed = probe.includes(index);
      const isAllowed = [...this.#resolved.values()].some(({ actionId, resolution, seq }) =>
        resolution === 'approved' && seq > Math.max(...older) && this.#opened.get(actionId)?.type === 'recovery' && this.#opened.get(actionId)?.stepSeq === stepSeq && this.#opened.get(actionId)?.index === index);
      must(recovery === 'rerun' || recovery === 'rerun-keyed' || isProbed || isAllowed, () => `call ${key} of ${toolName} (${recovery}), dispatched before, is not given out again`);
      see(`given out again: ${isProbed ? 'probe' : isAllowed ? 'allowed' : recovery}`);
    }
  }

  /** An orderly worker had not begun these: what it was given has not run by it. */
  takenBack(stepSeq: number, notBegun: readonly number[], fence: number): void {
    for (const index of notBegun) this.#dispatched.get(callKey(stepSeq, index))?.delete(fence);
  }

  hasRun(stepSeq: number, index: number): boolean {
    return this.#effects.has(callKey(stepSeq, index));
  }

  /** A call's tool really runs. */
  began(stepSeq: number, index: number, toolName: string): void {
    const key = callKey(stepSeq, index);
    const times = (this.#effects.get(key) ?? 0) + 1;
    this.#effects.set(key, times);
    if (times === 1) return;
    const recovery = this.#tools.get(toolName)?.recovery;
    const allowed = [...this.#resolved.values()].filter(({ actionId, resolution }) => {
      const opened = this.#opened.get(actionId);
      return resolution === 'approved' && opened?.type === 'recovery' && opened.stepSeq === stepSeq && opened.index === index;
    }).length;
    must(recovery === 'rerun' || recovery === 'rerun-keyed' || times <= 1 + allowed, () => `call ${key} of ${toolName} (${recovery}) runs ${times} times, ${allowed} of them allowed by a person`);
  }
}
