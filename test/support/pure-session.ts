import { acceptResolve, type GivenAnswer, type ResolveReply } from '../../src/core/accept/resolve.ts';
import { acceptSend, type SendCommand, type SendReply } from '../../src/core/accept/send.ts';
import { acceptStop, type StopCommand, type StopReply } from '../../src/core/accept/stop.ts';
import { createSession, type CreateCommand } from '../../src/core/accept/create.ts';
import { acceptTransition, type Accept } from '../../src/core/accept/transition.ts';
import { actionIdOf, type ActionAnswer } from '../../src/core/action.ts';
import type { Work } from '../../src/core/advance.ts';
import type { Exhausted } from '../../src/core/budget.ts';
import { claim, type ClaimRequest } from '../../src/core/claim.ts';
import type { AgentRules, ToolRules } from '../../src/core/decide.ts';
import type { Change, StoredOutcome, Transition } from '../../src/core/draft.ts';
import type { AttemptRecord, CallResult, Entry, EntryOf, ErrorInfo, FinishReason, MessageContent, StepPart, Usage } from '../../src/core/entry.ts';
import { contentOf } from '../../src/core/entry-format.ts';
import { isRefusal, refuse, type Refusal } from '../../src/core/errors.ts';
import { markOf, type Branch, type Mark } from '../../src/core/history.ts';
import { canonicalJson, type JsonValue } from '../../src/core/json.ts';
import { isLive, type Operation } from '../../src/core/operation.ts';
import { cancelled, claimOperation, type ClaimedOperation, type OperationLease, type OperationTransition } from '../../src/core/operation-transitions.ts';
import { dueAtMs, statusOf, type Session, type SessionStatus } from '../../src/core/session.ts';
import { abandon, handOver, settleCalls, settleGeneration, type GenerationOutcome, type HandOver, type Lease, type SettleCircumstances } from '../../src/core/settle.ts';
import { itemOf } from '../../src/core/state.ts';
import { visibleState } from '../../src/core/state-reading.ts';
import type { LoadedScope, LoadedState } from '../../src/core/state-world.ts';
import type { StreamSegment } from '../../src/core/stream-parts.ts';

export const toolDefaults: ToolRules = { recovery: 'report', exclusive: false, stopAfter: false };

/** Rules of an agent with one tool of each policy. */
export function rulesWith(overrides: Partial<AgentRules> = {}): AgentRules {
  return {
    agent: 'pure', version: '1', maxSteps: 20, parallelCalls: 8, endAfterInactivityMs: null,
    tools: new Map<string, ToolRules>([
      ['pay', toolDefaults], ['look', { ...toolDefaults, recovery: 'rerun' }], ['book', { ...toolDefaults, recovery: 'rerun-keyed' }],
      ['alone', { ...toolDefaults, exclusive: true }], ['finish', { ...toolDefaults, recovery: 'rerun', stopAfter: true }],
      ['wire', { ...toolDefaults, recovery: 'ask' }], ['trace', { ...toolDefaults, recovery: 'probe' }],
    ]),
    ...overrides,
  };
}

/** What a store holds after a commit. */
export interface Committed {
  readonly session: Session;
  /** The log is append-only: its first `logLength` entries are those of this commit. */
  readonly logLength: number;
  readonly chunks: readonly StreamSegment[];
  readonly operations: readonly Operation[];
}

/**
 * A session, its log and its operations in plain memory: transitions are applied as a store applies them, and nothing else happens. Keeps what it held after every commit. A test of
 * the core works with this and needs no store.
 */
export class PureSession {
  session!: Session;
  readonly log: Entry[] = [];
  chunks: readonly StreamSegment[] = [];
  outcomes: readonly StoredOutcome[] = [];
  /** Ended ones included, in the order of their start. */
  readonly operations = new Map<string, Operation>();
  /** Discarded futures that can be restored. */
  readonly branches = new Map<string, Branch>();
  /** Scopes beside the session, by their text; a test adds those that it writes. */
  readonly scopes = new Map<string, LoadedScope>();
  deleted = false;
  readonly history: Committed[] = [];
  /** Told of every commit. */
  onCommit: () => void = () => undefined;
  nowMs = 1_000;
  /** For the jitter of retries. */
  random = 0.5;
  /** The budget that is used up. */
  exhausted: Exhausted | null = null;
  rules: AgentRules;
  /** What the last claim or settlement left to be done. */
  work: Work | null = null;
  lease: Lease = { worker: '', fence: -1 };
  #minted = 0;

  constructor(create: Partial<CreateCommand> & { readonly text?: string } = {}, rules = rulesWith()) {
    this.rules = rules;
    const { text, ...rest } = create;
    const change = createSession({ tenant: 'acme', id: 'ses_1' }, {
      agent: rules.agent, owner: 'ada', greets: false, endAfterInactivityMs: rules.endAfterInactivityMs, ...(rules.nodes === undefined ? {} : { nodes: rules.nodes }), ...(text === undefined ? {} : { message: this.message(text) }), ...rest,
    }, this.circumstances);
    if (isRefusal(change)) throw new Error(`the session is created: ${change.message}`);
    this.#commit(change);
  }

  get status(): SessionStatus {
    return statusOf(this.session);
  }

  get circumstances(): SettleCircumstances {
    return { nowMs: this.nowMs, random: this.random, mintId: (prefix) => this.mint(prefix), budgets: { isKnown: () => true, exhausted: () => this.exhausted } };
  }

  mint(prefix: string): string {
    this.#minted += 1;
    return `${prefix}_${String(this.#minted).padStart(4, '0')}`;
  }

  message(text: string, rest: Partial<MessageContent> = {}): MessageContent {
    return { messageId: this.mint('msg'), parts: [{ type: 'text', text }], ...rest };
  }

  /** Applies a transition as a store does: a refusal changes nothing. */
  apply<Reply>(transition: Transition<Reply>, readsOutcomes = true, branchId?: string): Reply | Refusal {
    if (this.deleted) return refuse('session_not_found', 'there is no such session any more');
    const keyedOperations = [...this.operations.values()].filter((operation) => isLive(operation) && operation.key !== null);
    const change = transition({ session: this.session, chunks: this.chunks, outcomes: readsOutcomes ? this.storedOutcomes() : [], keyedOperations, state: this.loadedState(), marks: this.marks(), ...(branchId === undefined ? {} : { branch: this.branches.get(branchId) ?? null }) });
    if (isRefusal(change)) return change;
    this.#commit(change);
    return change.reply;
  }

  /** The marks of the history. */
  marks(): readonly Mark[] {
    return this.log.flatMap((entry): readonly Mark[] => {
      const mark = markOf(entry);
      return mark === null ? [] : [{ seq: entry.seq, mark }];
    });
  }

  /** All of the state, as a store reads it for a change. */
  loadedState(): LoadedState {
    const visible = [...visibleState(this.marks(), this.session.visible)];
    const entries = visible.map(([key, { seq }]) => [key, this.log[seq - 1] as EntryOf<'state-changed'>] as const);
    return { conversation: new Map(entries), conversationKeys: visible.filter(([, { isSet }]) => isSet).length, scopes: this.scopes };
  }

  /** The values of the conversation's state in a history, the present one by default. */
  stateIn(visible = this.session.visible): Readonly<Record<string, JsonValue>> {
    const entries = [...visibleState(this.marks(), visible).values()].map(({ seq }) => this.log[seq - 1] as EntryOf<'state-changed'>);
    return Object.fromEntries(entries.flatMap((entry) => itemOf(entry, this.nowMs) ?? []).map(({ key, value }) => [key, value]));
  }

  /** Applies a transition of an operation as a store does: its row and its session in one commit. */
  changeOperation<Reply>(id: string, transition: OperationTransition<Reply>): Reply | Refusal {
    const change = transition({ operation: this.operation(id), session: this.deleted ? null : this.session, outcomes: this.storedOutcomes() });
    if (isRefusal(change)) return change;
    this.operations.set(id, change.operation);
    if (change.session === null) this.#remember();
    else this.#commit(change.session);
    return change.reply;
  }

  operation(id: string): Operation {
    const operation = this.operations.get(id);
    if (operation === undefined) throw new Error(`there is an operation ${id}`);
    return operation;
  }

  /** Takes an operation; `dead` are the workers that are. */
  claimOperation(id: string, worker = 'wrk_o', dead: readonly string[] = []): (ClaimedOperation & { readonly lease: OperationLease }) | Refusal {
    const claimed = this.changeOperation(id, claimOperation(worker, (other) => dead.includes(other), this.rules, this.circumstances));
    return isRefusal(claimed) ? claimed : { ...claimed, lease: { worker, fence: claimed.operation.fence } };
  }

  /** The stored outcomes of the open calls. */
  storedOutcomes(): readonly CallResult[] {
    const stepSeq = this.session.turn?.lastStep?.seq;
    return this.outcomes.filter((outcome) => outcome.stepSeq === stepSeq).map(({ result }) => result);
  }

  /** Applies a transition that must not be refused. */
  must<Reply>(transition: Transition<Reply>): Reply {
    const reply = this.apply(transition);
    if (isRefusal(reply)) throw new Error(`refused: ${reply.refused}: ${reply.message}`);
    return reply;
  }

  command<Reply>(accept: Accept<Reply>, expectedRevision?: number, branchId?: string): Reply | Refusal {
    const accepted = this.apply(acceptTransition(accept, this.circumstances, { expectedRevision }), true, branchId);
    return isRefusal(accepted) ? accepted : accepted.reply;
  }

  send(text: string, whenBusy: SendCommand['whenBusy'] = 'queue', rest: Partial<MessageContent> = {}): SendReply | Refusal {
    return this.command(acceptSend({ message: this.message(text, rest), whenBusy }));
  }

  stop(command: StopCommand = {}): StopReply | Refusal {
    return this.command(acceptStop(command));
  }

  /** Answers actions, all of them or none. */
  resolve(given: readonly GivenAnswer[], by = 'ada', roles: readonly string[] = []): ResolveReply | Refusal {
    return this.command(acceptResolve({ answers: given, by, roles }));
  }

  /** Answers the action of the last step's call at `index`. */
  answer(index: number, answer: ActionAnswer, rest: Partial<GivenAnswer> = {}): ResolveReply | Refusal {
    const asked = this.session.turn?.actions.findLast((action) => action.index === index);
    return this.resolve([givenAnswer(asked?.id ?? actionIdOf(this.session.turn?.lastStep?.seq ?? 0, index), answer, rest)]);
  }

  claim(worker = 'wrk_a', request: Partial<ClaimRequest> = {}): Refusal | null {
    const claimed = this.apply(claim({ worker, solo: true, isDead: () => false, ...request }, this.rules, this.circumstances));
    if (isRefusal(claimed)) return claimed;
    this.lease = { worker, fence: claimed.fence };
    this.work = claimed.work;
    return null;
  }

  /** The worker that has it dies, and another takes it. */
  takeOver(worker = 'wrk_b', request: Partial<ClaimRequest> = {}): Refusal | null {
    return this.claim(worker, { isDead: () => true, ...request });
  }

  /** Stores live output of the attempt in flight. */
  show(...segments: readonly StreamSegment[]): void {
    this.chunks = [...this.chunks, ...segments];
    this.#remember();
  }

  /** Stores a call's outcome ahead of its step, under the lease that is given. */
  storeEarly(result: CallResult, lease = this.lease): 'stored' | 'fence-lost' {
    const stepSeq = this.session.turn?.lastStep?.seq;
    const holds = !this.deleted && this.session.fence === lease.fence && this.session.claim?.worker === lease.worker;
    if (!holds || stepSeq === undefined) return 'fence-lost';
    this.#storeOutcome({ stepSeq, result });
    this.#remember();
    return 'stored';
  }

  settle(outcome: GenerationOutcome): Refusal | null {
    return this.#settled(settleGeneration(this.lease, outcome, this.rules, this.circumstances));
  }

  generated(parts: readonly StepPart[], finishReason: FinishReason = parts.some(({ type }) => type === 'tool-call') ? 'tool-calls' : 'stop', usage: Usage | null = { inputTokens: 3, outputTokens: 2 }): Refusal | null {
    return this.settle({ kind: 'generated', attempt: this.attempt(usage), parts, finishReason, warnings: [] });
  }

  failed(error: Partial<ErrorInfo> = {}, retryAfterMs = 0): Refusal | null {
    return this.settle({ kind: 'failed', attempt: this.attempt(null), error: { code: 'overloaded', message: 'busy', retryable: true, ...error }, retryAfterMs });
  }

  /** The results of the calls that the last work was to run, all done unless said otherwise. */
  results(overrides: Readonly<Record<number, Partial<CallResult>>> = {}): Refusal | null {
    const step = this.session.turn?.lastStep;
    const calls = this.work?.kind === 'run-calls' ? this.work.run : (step?.openCalls ?? []);
    return this.settleResults(calls.map(({ index, toolCallId, toolName }): CallResult => ({ index, toolCallId, toolName, outcome: 'done', output: `result ${index}`, ...overrides[index] })));
  }

  settleResults(results: readonly CallResult[]): Refusal | null {
    return this.#settled(settleCalls(this.lease, this.session.turn?.lastStep?.seq ?? -1, results, this.rules, this.circumstances));
  }

  handOver(what: Partial<HandOver> = {}): Refusal | null {
    return this.apply(handOver(this.lease, { notBegun: [], lostAttempt: null, ...what }, this.nowMs));
  }

  abandon(): Refusal | null {
    return this.apply(abandon(this.lease, this.nowMs));
  }

  /** The record of the attempt in flight. */
  attempt(usage: Usage | null = null): AttemptRecord {
    const attempt = this.session.turn?.attempt ?? { id: 'att_none', number: 1, startedAtMs: 0 };
    return { ...attempt, durationMs: 5, usage };
  }

  /** Moves the clock to when the session is due. */
  untilDue(): void {
    this.nowMs = Math.max(this.nowMs, dueAtMs(this.session) ?? 0);
  }

  entries<Kind extends Entry['kind']>(kind: Kind): readonly EntryOf<Kind>[] {
    return this.log.filter((entry): entry is EntryOf<Kind> => entry.kind === kind);
  }

  last<Kind extends Entry['kind']>(kind: Kind): EntryOf<Kind> | undefined {
    return this.entries(kind).at(-1);
  }

  #settled(transition: Transition<Work | null>): Refusal | null {
    const work = this.apply(transition);
    if (isRefusal(work)) return work;
    this.work = work;
    return null;
  }

  #commit<Reply>(change: Change<Reply>): void {
    for (const { contentFrom, ...entry } of change.entries) {
      const source = contentFrom === undefined ? undefined : this.log[contentFrom - 1];
      if (contentFrom !== undefined && source === undefined) throw new Error(`entry ${contentFrom} is in the log`);
      this.log.push({ ...entry, ...(source && contentOf(source)) } as Entry);
    }
    this.session = change.session;
    if (change.dropsChunks) this.chunks = [];
    if (change.dropsOutcomes) this.outcomes = [];
    for (const outcome of change.outcomes ?? []) this.#storeOutcome(outcome);
    for (const operation of change.operations ?? []) this.operations.set(operation.id, operation);
    for (const id of change.cancels ?? []) this.operations.set(id, cancelled(this.operation(id), change.session.updatedAtMs));
    for (const entry of change.redacts ?? []) this.log[entry.seq - 1] = entry;
    for (const { scopeText, lastVersion, clears, puts, removes } of change.stateRows ?? []) {
      const items = new Map(clears ? [] : (this.scopes.get(scopeText)?.items ?? []));
      for (const key of removes) items.delete(key);
      for (const item of puts) items.set(item.key, item);
      this.scopes.set(scopeText, { lastVersion, keys: items.size, items });
    }
    for (const branch of change.branches?.filed ?? []) this.branches.set(branch.id, branch);
    for (const id of change.branches?.restored ?? []) this.branches.delete(id);
    if (change.deletesSession) this.#delete();
    this.#remember();
  }

  /** As a store does: the first outcome of a call counts. */
  #storeOutcome({ stepSeq, result }: StoredOutcome): void {
    if (this.outcomes.some((outcome) => outcome.stepSeq === stepSeq && outcome.result.index === result.index)) return;
    this.outcomes = [...this.outcomes, { stepSeq, result }];
  }

  #delete(): void {
    this.deleted = true;
    this.operations.clear();
    this.branches.clear();
    this.chunks = [];
    this.outcomes = [];
  }

  #remember(): void {
    this.history.push({ session: this.session, logLength: this.log.length, chunks: this.chunks, operations: [...this.operations.values()].filter(isLive) });
    this.onCommit();
  }
}

/** An answer, its fingerprint made as the command makes it. */
export function givenAnswer(actionId: string, answer: ActionAnswer, rest: Partial<GivenAnswer> = {}): GivenAnswer {
  return { actionId, answer, fingerprint: canonicalJson(answer), ...rest };
}

/** A tool call as a part of a step. */
export function callPart(index: number, toolName: string, rest: Partial<Extract<StepPart, { readonly type: 'tool-call' }>> = {}): StepPart {
  return { type: 'tool-call', index, toolCallId: `call_${index}`, toolName, input: { index }, ...rest };
}

export function textPart(text: string): StepPart {
  return { type: 'text', text };
}

/** Live text of one part. */
export function liveText(offset: number, text: string, part = 0): StreamSegment {
  return { part, type: 'text', offset, text };
}
