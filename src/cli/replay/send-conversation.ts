import type { Holdfast } from '../../create-holdfast.ts';
import { HoldfastError, RefusedError } from '../../core/errors.ts';
import type { SessionHandle, TurnHandle } from '../../library/handles.ts';
import type { Difference, SentTurn } from './evidence.ts';
import { digestOf } from './log-turns.ts';
import { passTime, type Pace } from './pace.ts';
import type { RecordedTurn, Recording } from './recording.ts';
import { agentName } from './replay-agents.ts';

export interface SendingOptions {
  readonly holdfast: Holdfast;
  readonly runId: string;
  readonly pace: Pace;
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
  readonly problems: readonly Difference[];
}

/** How often a call is made again, with the same key, while the store does not take it. */
const storeTriesMax = 5;

/**
 * Sends a conversation's user messages one after another, each with an idempotency key, waiting for each turn's end, and reads the log as it grows. Never
 * throws: what goes wrong is a problem of the conversation, which then ends here.
 */
export async function sendConversation(options: SendingOptions, recording: Recording): Promise<SentConversation> {
  const sending = new Sending(options, recording);
  try {
    await sending.run();
  } catch (error) {
    if (!options.signal.aborted) sending.failed(error);
  }
  const { sessionId, sent, seen, problems } = sending;
  return { recording, sessionId, sent, seen, problems };
}

class Sending {
  sessionId: string | null = null;
  readonly sent: SentTurn[] = [];
  readonly seen = new Map<number, string>();
  readonly problems: Difference[] = [];
  readonly #options: SendingOptions;
  readonly #recording: Recording;
  #lastSeq = 0;
  #turn = 0;

  constructor(options: SendingOptions, recording: Recording) {
    this.#options = options;
    this.#recording = recording;
  }

  async run(): Promise<void> {
    const { holdfast, runId, pace, signal, mayGoOn } = this.#options;
    const { place, turns } = this.#recording;
    const greets = turns[0]?.user === null;
    const name = `replay-${runId}-${place}`;
    const session = await whileStoreRefuses(() => holdfast.sessions.create({ agent: agentName(runId, greets), externalId: name, metadata: { run: runId, conversation: place } }, { idempotencyKey: name }));
    this.sessionId = session.id;
    for (const [turn, recorded] of turns.entries()) {
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
    const { turnTimeoutMs, signal } = this.#options;
    const waiting = new AbortController();
    const over = passTime(turnTimeoutMs, AbortSignal.any([signal, waiting.signal])).then(() => 'over' as const);
    const ended = await Promise.race([turn.result, over]);
    waiting.abort();
    if (ended !== 'over') return;
    signal.throwIfAborted();
    const { status, retry, lastSeq } = await session.get();
    throw new HoldfastError('turn_stuck', `turn ${turn.id} has not ended after ${turnTimeoutMs} ms: the session is ${status}, its log at ${lastSeq}${retry === null ? '' : `, with a retry at ${retry.atMs}`}`);
  }

  /** Reads what is new: what a client was shown must be there for good. */
  async #readOn(session: SessionHandle): Promise<void> {
    for (;;) {
      const entries = await session.entries({ afterSeq: this.#lastSeq });
      for (const entry of entries) this.seen.set(entry.seq, digestOf(entry));
      const last = entries.at(-1);
      if (last === undefined) return;
      this.#lastSeq = last.seq;
    }
  }
}

/** A call that the store did not take had no effect, or will answer its repetition with the first reply (G2). */
async function whileStoreRefuses<Result>(call: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call();
    } catch (error) {
      const unavailable = error instanceof HoldfastError && !(error instanceof RefusedError) && error.code === 'store_unavailable';
      if (!unavailable || tries >= storeTriesMax) throw error;
    }
  }
}
