import type { ActionAnswer } from '../../core/action.ts';
import type { Entry } from '../../core/entry.ts';
import { HoldfastError } from '../../core/errors.ts';
import type { Holdfast } from '../../create-holdfast.ts';
import type { SessionHandle } from '../../library/handles.ts';
import type { TurnHandle } from '../../library/turn-handle.ts';
import type { Difference, SentSteer, SentTurn } from './evidence.ts';
import { digestOf } from './log-turns.ts';
import { passTime, type Pace } from './pace.ts';
import { Person } from './person.ts';
import { needsPerson } from './recording-place.ts';
import type { RecordedTurn, Recording } from './recording.ts';
import { agentName } from './replay-agents.ts';
import { whileStoreRefuses } from './while-store-refuses.ts';

export interface SendingOptions {
  readonly holdfast: Holdfast;
  readonly runId: string;
  readonly pace: Pace;
  /** Of when and how actions are answered. */
  readonly seed: number;
  /** A turn that takes longer is given up, with its conversation: nothing may be stuck (G7). */
  readonly turnTimeoutMs: number;
  /** Ends the sending between two messages, and the waiting at once. */
  readonly signal: AbortSignal;
  /** Resolves when the next message may be sent. */
  readonly mayGoOn: () => Promise<void>;
  readonly onTurn: () => void;
}

/** What the sender knows of a conversation. */
export interface SentConversation {
  readonly recording: Recording;
  readonly sessionId: string | null;
  readonly sent: readonly SentTurn[];
  readonly seen: ReadonlyMap<number, string>;
  readonly steers: readonly SentSteer[];
  /** Answers that were acknowledged, by action. */
  readonly answers: ReadonlyMap<string, ActionAnswer>;
  readonly problems: readonly Difference[];
}

/** Who has a run's sessions, so that what they use is counted apart from all else in the store. */
export function ownerOf(runId: string): string {
  return `replay-${runId}`;
}

/**
 * Sends a conversation's user messages one after another, each with an idempotency key, waiting for each turn's end, and reads the log as it grows. Where the conversation
 * needs one, a person answers its actions meanwhile. Never throws: what goes wrong is a problem of the conversation, which then ends here.
 */
export async function sendConversation(options: SendingOptions, recording: Recording): Promise<SentConversation> {
  const sending = new Sending(options, recording);
  try {
    await sending.run();
  } catch (error) {
    if (!options.signal.aborted) sending.failed(error);
  }
  const { sessionId, sent, seen, problems, person } = sending;
  const own = (person?.findings ?? []).map((finding): Difference => ({ ...finding, conversation: recording.id }));
  return {
    recording, sessionId, sent, seen, steers: person?.steers ?? [], answers: person?.acknowledged ?? new Map(), problems: [...problems, ...own],
  };
}

class Sending {
  sessionId: string | null = null;
  readonly sent: SentTurn[] = [];
  readonly seen = new Map<number, string>();
  readonly problems: Difference[] = [];
  person: Person | null = null;
  readonly #options: SendingOptions;
  readonly #recording: Recording;
  #lastSeq = 0;
  #turn = 0;

  constructor(options: SendingOptions, recording: Recording) {
    this.#options = options;
    this.#recording = recording;
  }

  async run(): Promise<void> {
    const { holdfast, runId } = this.#options;
    const { place, turns } = this.#recording;
    const greets = turns[0]?.user === null;
    const name = `replay-${runId}-${place}`;
    const session = await whileStoreRefuses(() => holdfast.sessions.create({ agent: agentName(runId, greets), owner: ownerOf(runId), externalId: name, metadata: { run: runId, conversation: place } }, { idempotencyKey: name }));
    this.sessionId = session.id;
    if (!needsPerson(this.#recording)) return this.#runTurns(session, name);
    const leaving = new AbortController();
    const signal = AbortSignal.any([this.#options.signal, leaving.signal]);
    this.person = new Person({ session, recording: this.#recording, name, pace: this.#options.pace, seed: this.#options.seed, signal, onEntry: (entry) => this.#shown(entry) });
    const following = this.person.follow();
    try {
      await this.#runTurns(session, name);
      await this.#within(session, this.person.rested(), 'has come to rest');
      await this.#readOn(session);
    } finally {
      leaving.abort();
      await following;
    }
  }

  async #runTurns(session: SessionHandle & { readonly firstTurn: TurnHandle | null }, name: string): Promise<void> {
    const { pace, signal, mayGoOn } = this.#options;
    for (const [turn, recorded] of this.#recording.turns.entries()) {
      this.#turn = turn;
      await passTime(pace.pauseMs, signal);
      await mayGoOn();
      signal.throwIfAborted();
      const handle = recorded.user === null ? session.firstTurn : await this.#send(session, recorded, `${name}-${turn}`);
      if (handle === null) throw new HoldfastError('greeting_missing', 'the session was created without its opening turn');
      this.sent.push({ turn, turnId: handle.id, messageId: recorded.user === null ? null : (handle.messageId ?? '') });
      await this.#waitForEnd(session, handle);
      await this.#readOn(session);
      this.#options.onTurn();
    }
  }

  failed(error: unknown): void {
    const code = error instanceof HoldfastError ? `${error.code}: ` : '';
    const message = `${code}${error instanceof Error ? error.message : String(error)}`;
    this.problems.push({ count: 'mismatches', conversation: this.#recording.id, where: `turn ${this.#turn}`, problem: 'the conversation could not be gone on with', found: message });
  }

  #send(session: SessionHandle, { user }: RecordedTurn, idempotencyKey: string): Promise<TurnHandle> {
    return whileStoreRefuses(() => session.send({ parts: [...(user ?? [])] }, { idempotencyKey }));
  }

  async #waitForEnd(session: SessionHandle, turn: TurnHandle): Promise<void> {
    const { person } = this;
    if (person === null) return this.#within(session, whileStoreRefuses(() => turn.result), `turn ${turn.id} has ended`);
    await this.#within(session, person.turnEnded(turn.id), `the feed has told that turn ${turn.id} has ended`);
    await this.#within(session, whileStoreRefuses(() => turn.result), `turn ${turn.id} has ended`);
  }

  /** Waits for what must come in time (G7). */
  async #within(session: SessionHandle, coming: Promise<unknown>, what: string): Promise<void> {
    const { turnTimeoutMs, signal } = this.#options;
    const waiting = new AbortController();
    const over = passTime(turnTimeoutMs, AbortSignal.any([signal, waiting.signal])).then(() => 'over' as const);
    const ended = await Promise.race([coming, over]);
    waiting.abort();
    if (ended !== 'over') return;
    signal.throwIfAborted();
    const { status, retry, lastSeq } = await whileStoreRefuses(() => session.get());
    const known = this.person === null ? '' : `; ${this.person.describe()}`;
    throw new HoldfastError('turn_stuck', `${turnTimeoutMs} ms later it is not so that ${what}: the session is ${status}, its log at ${lastSeq}${retry === null ? '' : `, with a retry at ${retry.atMs}`}${known}`);
  }

  /** Reads what is new: what a client was shown must be there for good. */
  async #readOn(session: SessionHandle): Promise<void> {
    for (;;) {
      const entries = await whileStoreRefuses(() => session.entries({ afterSeq: this.#lastSeq }));
      for (const entry of entries) this.#shown(entry);
      const last = entries.at(-1);
      if (last === undefined) return;
      this.#lastSeq = last.seq;
    }
  }

  /** Whoever is shown an entry is shown the same one. */
  #shown(entry: Entry): void {
    const digest = digestOf(entry);
    const known = this.seen.get(entry.seq) ?? digest;
    if (known !== digest) this.problems.push({ count: 'lost', conversation: this.#recording.id, where: '', problem: `entry ${entry.seq} was shown twice and not the same`, found: entry.kind });
    this.seen.set(entry.seq, known);
  }
}
