import { callOfAction, type ActionAnswer, type OpenAction } from '../../core/action.ts';
import type { Entry } from '../../core/entry.ts';
import type { FeedEvent } from '../../core/feed-event.ts';
import { HoldfastError } from '../../core/errors.ts';
import { wholeLog } from '../../core/intervals.ts';
import { isLive } from '../../core/operation.ts';
import type { SessionStatus } from '../../core/session.ts';
import type { SessionHandle } from '../../library/handles.ts';
import { ActionAnswers, type AnswerToGive } from './action-answers.ts';
import type { Finding, SentSteer } from './evidence.ts';
import type { WorkPlace } from './execution-journal.ts';
import { logTurns } from './log-turns.ts';
import { passTime, type Pace } from './pace.ts';
import { stepPlaces } from './recording-place.ts';
import { actionAnswerOf, type RecordedCall, type RecordedStep, type Recording } from './recording.ts';
import { chanceOf } from './seeded-random.ts';
import { isStoreAway, storePauseMs, whileStoreRefuses } from './while-store-refuses.ts';

export interface PersonOptions {
  readonly session: SessionHandle;
  readonly recording: Recording;
  /** Names the conversation in idempotency keys. */
  readonly name: string;
  readonly pace: Pace;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Told of each entry that is shown. */
  readonly onEntry: (entry: Entry) => void;
}

/** How often following begins again, after a while each time, without an event in between. */
const followTriesMax = 100;

/**
 * The person at a conversation, and their client: follows the session, answers its actions as the recording says, and steers messages into its turns. Never throws; what
 * goes wrong is a finding.
 */
export class Person {
  readonly findings: Finding[] = [];
  readonly steers: SentSteer[] = [];
  readonly #options: PersonOptions;
  readonly #answers: ActionAnswers;
  readonly #entries: Entry[] = [];
  readonly #endedTurns = new Set<string>();
  readonly #known = new Set<string>();
  readonly #steering = new Set<Promise<void>>();
  readonly #working = new Set<Promise<void>>();
  readonly #waiting = new Set<() => void>();
  #status: SessionStatus | null = null;
  #events = 0;

  constructor(options: PersonOptions) {
    this.#options = options;
    const { session, pace, seed, signal } = options;
    signal.addEventListener('abort', () => this.#wake(), { once: true });
    this.#answers = new ActionAnswers({ session, pace, seed, signal, report: (finding) => this.findings.push(finding) });
  }

  /** Answers that were acknowledged, by action. */
  get acknowledged(): ReadonlyMap<string, ActionAnswer> {
    return this.#answers.acknowledged;
  }

  /** Follows until the signal is aborted. */
  async follow(): Promise<void> {
    const { session, signal } = this.#options;
    let after: string | undefined;
    for (let tries = 1; !signal.aborted; tries += 1) {
      try {
        for await (const event of session.events({ ...(after === undefined ? {} : { after }), signal })) {
          tries = 0;
          after = event.position;
          this.#take(event);
        }
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (isStoreAway(error) && tries < followTriesMax) {
          await passTime(storePauseMs, signal);
          continue;
        }
        this.findings.push({ count: 'mismatches', where: '', problem: 'the session cannot be followed', found: error instanceof Error ? error.message : String(error) });
        return;
      }
    }
  }

  /** Resolves when the feed has told of the turn's end, and what was to be steered into it is acknowledged. */
  async turnEnded(turnId: string): Promise<void> {
    await this.#until(() => this.#endedTurns.has(turnId) && this.#steering.size === 0);
  }

  /** Resolves when nothing goes on any more: no turn, no operation, no answer; and all of it has been told. */
  async rested(): Promise<void> {
    while (!this.#options.signal.aborted) {
      await this.#until(() => this.#working.size === 0);
      const events = this.#events;
      if (await this.#isAtRest()) return;
      // What is still to come will be told.
      await this.#until(() => this.#events > events);
    }
  }

  async #isAtRest(): Promise<boolean> {
    const { session } = this.#options;
    const before = await whileStoreRefuses(() => session.get());
    const { items } = await whileStoreRefuses(() => session.operations({ limit: 100 }));
    const { status, lastSeq } = await whileStoreRefuses(() => session.get());
    return (status === 'idle' || status === 'failed') && !items.some(isLive) && before.lastSeq === lastSeq && this.#lastSeq >= lastSeq;
  }

  /** What it waits for, for a person who looks at a conversation that does not go on. */
  describe(): string {
    return `the feed says ${this.#status ?? 'nothing'}, at entry ${this.#lastSeq}; ${this.#working.size} answers and messages are under way`;
  }

  get #lastSeq(): number {
    return this.#entries.at(-1)?.seq ?? 0;
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.#options.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  #take(event: FeedEvent): void {
    this.#events += 1;
    if (event.type === 'entry') this.#takeEntry(event.entry);
    else if (event.type === 'action') this.#answer(event.actions);
    else if (event.type === 'status') this.#status = event.status;
    this.#wake();
  }

  #takeEntry(entry: Entry): void {
    this.#options.onEntry(entry);
    this.#entries.push(entry);
    if (entry.kind === 'turn-ended') this.#endedTurns.add(entry.turnId);
    if (entry.kind !== 'assistant-step') return;
    const placed = this.#placeOf(entry.seq);
    // Where calls wait for an answer the message goes before it, so that where it joins is certain; else whenever it happens to.
    if (placed === null || placed.step.steered === undefined || asks(placed.step)) return;
    const { pace, seed, signal } = this.#options;
    const waitMs = chanceOf(seed, `${nameOf(placed.place)}/steer`) * pace.answerMsMax;
    this.#work(this.#steering, passTime(waitMs, signal).then(() => this.#steer(placed.place, placed.step, false)));
  }

  #placeOf(stepSeq: number): { readonly place: WorkPlace; readonly step: RecordedStep } | null {
    const { recording } = this.#options;
    const place = stepPlaces(recording, logTurns(this.#entries, { visible: wholeLog })).get(stepSeq);
    const step = place === undefined ? undefined : recording.turns[place.turn]?.steps[place.step];
    return place === undefined || step === undefined ? null : { place, step };
  }

  #answer(actions: readonly OpenAction[]): void {
    const fresh = actions.filter(({ id }) => !this.#known.has(id));
    const stepSeq = callOfAction(fresh[0]?.id ?? '')?.stepSeq;
    if (stepSeq === undefined) return;
    for (const { id } of fresh) this.#known.add(id);
    const placed = this.#placeOf(stepSeq);
    const answers = fresh.flatMap((action): AnswerToGive[] => {
      const call = placed?.step.calls[action.index];
      if (placed === null || call === undefined) {
        this.findings.push({ count: 'mismatches', where: '', problem: 'an action of no recorded call', found: JSON.stringify(action) });
        return [];
      }
      const where = `turn ${placed.place.turn}, step ${placed.place.step}, call ${action.index} (${action.toolName})`;
      return [{ actionId: action.id, where, answer: this.#answerTo(action, call, placed.place) }];
    });
    if (placed !== null) this.#work(this.#working, this.#answerStep(placed.place, placed.step, answers));
  }

  async #answerStep(place: WorkPlace, step: RecordedStep, answers: readonly AnswerToGive[]): Promise<void> {
    if (step.steered !== undefined && asks(step)) await this.#steer(place, step, true);
    const { repeats } = await this.#answers.give(answers);
    this.#work(this.#working, repeats);
  }

  /** What becomes of a call that may have run is drawn: it runs again, stays unknown, or its result is known after all. */
  #answerTo({ type, id }: OpenAction, call: RecordedCall, place: WorkPlace): ActionAnswer {
    if (type !== 'recovery') return actionAnswerOf(call);
    const chance = chanceOf(this.#options.seed, `${nameOf(place)}/${id}`);
    if (chance < 0.5) return { type: 'approve' };
    return chance < 0.75 ? { type: 'deny' } : { type: 'result', output: call.result };
  }

  async #steer(place: WorkPlace, { steered }: RecordedStep, held: boolean): Promise<void> {
    const { session, name, signal } = this.#options;
    const key = `${name}-steer-${place.turn}-${place.step}`;
    if (signal.aborted || steered === undefined || this.#known.has(key)) return;
    this.#known.add(key);
    const { turn, step } = place;
    try {
      const { messageId = '' } = await whileStoreRefuses(() => session.steer(steered, { idempotencyKey: key }));
      this.steers.push({ turn, step, messageId, held });
    } catch (error) {
      const code = error instanceof HoldfastError ? `${error.code}: ` : '';
      this.findings.push({ count: 'mismatches', where: `turn ${turn}, step ${step}`, problem: 'the message could not be steered', found: `${code}${error instanceof Error ? error.message : String(error)}` });
    }
  }

  /** Work whose end somebody waits for. */
  #work(list: Set<Promise<void>>, doing: Promise<void>): void {
    for (const each of new Set([list, this.#working])) each.add(doing);
    void doing.finally(() => {
      list.delete(doing);
      this.#working.delete(doing);
      this.#wake();
    });
  }
}

function asks({ calls }: RecordedStep): boolean {
  return calls.some(({ answer }) => answer !== undefined);
}

function nameOf({ conversation, turn, step }: WorkPlace): string {
  return `${conversation}/${turn}/${step}`;
}
