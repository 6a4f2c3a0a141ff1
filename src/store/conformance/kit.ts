import { createSession, type CreateCommand, type CreateReply } from '../../core/accept/create.ts';
import { acceptSend, type SendCommand, type SendReply } from '../../core/accept/send.ts';
import { acceptTransition, type Accept, type Accepted } from '../../core/accept/transition.ts';
import { claim, type Claimed } from '../../core/claim.ts';
import type { AgentRules } from '../../core/decide.ts';
import type { Transition } from '../../core/draft.ts';
import type { AttemptRecord, CallResult, EntryKind, FinishReason, StepPart, ToolCallPart } from '../../core/entry.ts';
import { invariant, refuse } from '../../core/errors.ts';
import type { JsonValue } from '../../core/json.ts';
import type { Attempt, Session } from '../../core/session.ts';
import { settleCalls, settleGeneration, type Lease, type SettleCircumstances } from '../../core/settle.ts';
import type { CreateResult, Idempotency, SessionKey, SessionRef, Store, StoreCapabilities, Tail, UpdateRequest, UpdateResult } from '../store.ts';

/** What the suite needs of a test runner. */
export interface TestApi {
  readonly describe: (name: string, body: () => void) => void;
  readonly it: (name: string, body: () => Promise<void>) => void;
  readonly expect: (actual: unknown, message?: string) => Expectation;
}

export interface Expectation {
  /** `Object.is`. */
  toBe(expected: unknown): void;
  /** Deep equality; members that are `undefined` count as absent. */
  toEqual(expected: unknown): void;
}

export interface OpenedStore {
  readonly store: Store;
  /** Closes the store and opens the same data again; leave it out where nothing outlives the store. */
  readonly reopen?: () => Promise<Store>;
  /** One more store on the same data, as another process would open it. The suite closes it. */
  readonly peer?: () => Promise<Store>;
  /** Closes the store if it is open, and removes its data. */
  readonly close: () => Promise<void>;
}

/** Opens a store for one case. The clock is the case's: leases go by it, on a store that has one of its own too. */
export type OpenConformanceStore = (options: { readonly outboxKinds: readonly EntryKind[]; readonly nowMs: () => number }) => Promise<OpenedStore>;

/** What time it is for a case. */
export class CaseClock {
  nowMs = 1_750_000_000_000;
}

/** What decides which cases hold for a store. */
export interface Traits extends StoreCapabilities {
  readonly reopens: boolean;
  readonly hasPeers: boolean;
}

/** One guarantee of the port. */
export interface ConformanceCase {
  readonly name: string;
  /** Left out where this is false. */
  readonly when?: (traits: Traits) => boolean;
  readonly outboxKinds?: readonly EntryKind[];
  readonly run: (kit: Kit) => Promise<void>;
}

export const hasPeers = (traits: Traits): boolean => traits.hasPeers;

/** The agent that the suite's sessions are with: `look` may run again, `pay` may not. */
export const suiteRules: AgentRules = {
  agent: 'suite', version: '1', maxSteps: 20, parallelCalls: 8, endAfterInactivityMs: null,
  tools: new Map([
    ['look', { recovery: 'rerun', exclusive: false, stopAfter: false }],
    ['pay', { recovery: 'report', exclusive: false, stopAfter: false }],
  ]),
};

export interface NewSessionOptions extends Partial<Omit<CreateCommand, 'message'>> {
  readonly tenant?: string;
  /** The first message. */
  readonly text?: string;
  readonly idempotency?: readonly Idempotency[];
}

/** A session that a worker has claimed, and the generation it has begun. */
export interface InWork {
  readonly ref: SessionRef;
  readonly lease: Lease;
  readonly attempt: Attempt;
  readonly session: Session;
}

/** What a case works with: a store, and sessions made by the engine's own transitions. */
export class Kit {
  store: Store;
  readonly expect: TestApi['expect'];
  readonly #clock: CaseClock;
  readonly #opened: OpenedStore;
  readonly #peers: Store[] = [];
  #minted = 0;

  constructor(opened: OpenedStore, expect: TestApi['expect'], clock = new CaseClock()) {
    this.#opened = opened;
    this.#clock = clock;
    this.store = opened.store;
    this.expect = expect;
  }

  /** The time, and that of the next commit; a case moves it. */
  get nowMs(): number {
    return this.#clock.nowMs;
  }

  set nowMs(nowMs: number) {
    this.#clock.nowMs = nowMs;
  }

  async end(): Promise<void> {
    for (const peer of this.#peers) await peer.close();
    await this.#opened.close();
  }

  async peer(): Promise<Store> {
    invariant(this.#opened.peer !== undefined, 'a case that needs a peer says so');
    const peer = await this.#opened.peer();
    await peer.migrate();
    this.#peers.push(peer);
    return peer;
  }

  async reopen(): Promise<void> {
    invariant(this.#opened.reopen !== undefined, 'a case that reopens says so');
    this.store = await this.#opened.reopen();
    await this.store.migrate();
  }

  mint(prefix: string): string {
    this.#minted += 1;
    return `${prefix}_${String(this.#minted).padStart(8, '0')}`;
  }

  get circumstances(): SettleCircumstances {
    return { nowMs: this.nowMs, mintId: (prefix) => this.mint(prefix), random: 0.5 };
  }

  /** Asks for a new session; see {@link create} for one that must come into being. */
  createResult(options: NewSessionOptions = {}, store = this.store): Promise<CreateResult<Accepted<CreateReply>>> {
    const { tenant = 'acme', text, idempotency, ...given } = options;
    const ref = { tenant, id: this.mint('ses') };
    const command: CreateCommand = {
      agent: 'suite', owner: 'ada', greets: false, endAfterInactivityMs: null, ...given,
      ...(text === undefined ? {} : { message: { messageId: this.mint('msg'), parts: [{ type: 'text', text }] } }),
    };
    return store.create({
      ref, owner: command.owner, externalId: command.externalId,
      ...(idempotency === undefined ? {} : { idempotency }),
      build: () => createSession(ref, command, this.circumstances),
      replyToStore: ({ reply }) => reply as unknown as JsonValue,
    });
  }

  async create(options: NewSessionOptions = {}): Promise<Session> {
    const result = await this.createResult(options);
    invariant(result.kind === 'created', `the session is created, not ${result.kind}`);
    return result.session;
  }

  async update<Reply>(key: SessionKey, transition: Transition<Reply>, rest: Omit<UpdateRequest<Reply>, 'key' | 'transition'> = {}, store = this.store): Promise<Committed<Reply>> {
    return committed(await store.update({ key: keyOf(key), transition, ...rest }));
  }

  /** A command on a session, as the command path makes it. */
  command<Reply>(key: SessionKey, accept: Accept<Reply>, rest: Partial<UpdateRequest<Accepted<Reply>>> = {}, store = this.store): Promise<UpdateResult<Accepted<Reply>>> {
    return store.update({
      key: keyOf(key), transition: acceptTransition(accept, this.circumstances), replyToStore: ({ reply }) => reply as JsonValue, ...rest,
    });
  }

  async send(key: SessionKey, text: string, options: Partial<SendCommand['message']> & Partial<Pick<SendCommand, 'whenBusy'>> = {}): Promise<SendReply> {
    const { whenBusy = 'queue', ...content } = options;
    const message = { messageId: this.mint('msg'), parts: [{ type: 'text' as const, text }], ...content };
    return committed(await this.command(key, acceptSend({ message, whenBusy }))).reply.reply;
  }

  /** Adds an entry that anybody may add, to have one more. */
  async touch(key: SessionKey, title: string, store = this.store): Promise<Committed<number>> {
    return this.update(key, touching(title, this.nowMs), {}, store);
  }

  async claim(key: SessionKey, worker: string, dead: readonly string[] = []): Promise<Committed<Claimed>> {
    return this.update(key, claim({ worker, solo: true, isDead: (holder) => dead.includes(holder) }, suiteRules, this.circumstances), { reads: { outcomes: true } });
  }

  /** A session whose first message is being answered. */
  async inWork(options: NewSessionOptions = {}, worker = 'wrk_a'): Promise<InWork> {
    const { tenant, id } = await this.create({ text: 'hello', ...options });
    return this.claimed({ tenant, id }, worker);
  }

  async claimed(ref: SessionRef, worker: string, dead: readonly string[] = []): Promise<InWork> {
    const { session, reply } = await this.claim(ref, worker, dead);
    invariant(reply.work?.kind === 'generate', 'the claim begins a generation');
    return { ref: { tenant: ref.tenant, id: session.id }, lease: { worker, fence: reply.fence }, attempt: reply.work.attempt, session };
  }

  /** Commits a generation. */
  async settle({ ref, lease, attempt }: InWork, parts: readonly StepPart[], finishReason: FinishReason = 'stop', store = this.store): Promise<Session> {
    const outcome = { kind: 'generated' as const, attempt: attemptRecord(attempt), parts, finishReason, warnings: [] };
    const operationKeys = parts.flatMap((part) => (part.type === 'tool-call' && part.operation?.key !== undefined ? [part.operation.key] : []));
    return (await this.update(ref, settleGeneration(lease, outcome, suiteRules, this.circumstances), { reads: { operationKeys } }, store)).session;
  }

  /** The generation that the same worker's last commit has begun. */
  next({ ref, lease }: InWork, session: Session): InWork {
    const attempt = session.turn?.attempt;
    invariant(attempt !== null && attempt !== undefined, 'the next generation has begun');
    return { ref, lease, attempt, session };
  }

  /** Commits the results of the last step. */
  async settleCalls({ ref, lease }: InWork, stepSeq: number, results: readonly CallResult[]): Promise<Session> {
    return (await this.update(ref, settleCalls(lease, stepSeq, results, suiteRules, this.circumstances), { reads: { outcomes: true } })).session;
  }

  /** A whole turn: claimed, answered, over. */
  async answer(ref: SessionRef, text: string, worker = 'wrk_a'): Promise<Session> {
    return this.settle(await this.claimed(ref, worker), [{ type: 'text', text }]);
  }

  /** Everything of a session's end, from its beginning. */
  async tail(key: SessionKey, store = this.store): Promise<Tail> {
    const tail = await store.readTail(keyOf(key), { afterSeq: 0, limit: 10_000, attemptId: null, afterOrdinal: -1 });
    invariant(tail !== null, `session ${key.id} is found`);
    return tail;
  }

  key(name: string, overrides: Partial<Idempotency> = {}): Idempotency {
    return {
      scope: name, fingerprint: 'body-1', httpStatus: 202, expiresAtMs: this.nowMs + 86_400_000, replays: true,
      mismatch: refuse('idempotency_mismatch', 'another body'), ...overrides,
    };
  }
}

export type Committed<Reply> = Extract<UpdateResult<Reply>, { readonly kind: 'committed' }>;

/** The result of an update that must have been committed. */
export function committed<Reply>(result: UpdateResult<Reply>): Committed<Reply> {
  invariant(result.kind === 'committed', `the update is committed, not ${result.kind === 'refused' ? result.refusal.message : result.kind}`);
  return result;
}

/** Only what names a session: a `Session` has its owner in it, and would be looked for as the owner's. */
export function keyOf({ tenant, id }: SessionKey): SessionKey {
  return { tenant, id };
}

/** A transition that appends one ledger entry, and replies with its seq. */
export function touching(title: string, nowMs: number): Transition<number> {
  return acceptedReply(acceptTransition((draft) => draft.append({ kind: 'title-set', title, by: 'person' }).seq, { nowMs, mintId: () => 'turn_none' }));
}

function acceptedReply<Reply>(transition: Transition<Accepted<Reply>>): Transition<Reply> {
  return (loaded) => {
    const change = transition(loaded);
    return 'refused' in change ? change : { ...change, reply: change.reply.reply };
  };
}

export function attemptRecord(attempt: Attempt): AttemptRecord {
  return { ...attempt, durationMs: 5, usage: { inputTokens: 3, outputTokens: 2 } };
}

/** A tool call as a part of a step, with what else its step records of it. */
export function callPart(index: number, toolName: string, rest: Partial<ToolCallPart> = {}): StepPart {
  return { type: 'tool-call', index, toolCallId: `call_${index}`, toolName, input: { index }, ...rest };
}

export function doneResult(index: number, toolName: string, output: JsonValue = { index }): CallResult {
  return { index, toolCallId: `call_${index}`, toolName, outcome: 'done', output };
}

/** What a promise rejects with; null when it does not. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => null, (error: unknown) => error);
}

/** The `code` of what a promise rejects with. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await rejectionOf(promise);
  return error instanceof Error && 'code' in error ? error.code : error;
}
