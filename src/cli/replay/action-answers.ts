import type { ActionAnswer } from '../../core/action.ts';
import { HoldfastError } from '../../core/errors.ts';
import type { SessionHandle } from '../../library/handles.ts';
import type { Finding } from './evidence.ts';
import { passTime, type Pace } from './pace.ts';
import { chanceOf, SeededRandom } from './seeded-random.ts';
import { whileStoreRefuses } from './while-store-refuses.ts';

/** An action, and what is answered to it. */
export interface AnswerToGive {
  readonly actionId: string;
  readonly answer: ActionAnswer;
  /** Names the call in findings and in draws. */
  readonly where: string;
}

export interface ActionAnswersOptions {
  readonly session: SessionHandle;
  readonly pace: Pace;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly report: (finding: Finding) => void;
}

const shares = { batch: 0.4, twiceAtOnce: 0.15, again: 0.3, opposite: 0.3, oppositeBatch: 0.3 } as const;
/** Repetitions come up to so many times as late as answers. */
const lateFactor = 4;

/**
 * Answers actions as people do: after a while, in any order, together or one by one, some twice the same way, some a second time another way, which must be refused and
 * change nothing. What is drawn of it depends on the seed and the action alone.
 */
export class ActionAnswers {
  /** Answers that were acknowledged, by action. */
  readonly acknowledged = new Map<string, ActionAnswer>();
  readonly #options: ActionAnswersOptions;

  constructor(options: ActionAnswersOptions) {
    this.#options = options;
  }

  /** Resolves when all are acknowledged; `repeats` goes on for a while, perhaps longer than the turn. */
  async give(answers: readonly AnswerToGive[]): Promise<{ readonly repeats: Promise<void> }> {
    const [first] = answers;
    if (first === undefined) return { repeats: Promise.resolve() };
    const random = this.#randomOf(first, 'step');
    const shuffled = answers.map((each) => ({ each, place: random.next() })).sort((left, right) => left.place - right.place).map(({ each }) => each);
    if (shuffled.length > 1 && random.happens(shares.batch)) {
      await this.#wait(random.next());
      await this.#acknowledge(shuffled, () => this.#options.session.respondAll(shuffled.map(({ actionId, answer }) => ({ actionId, ...answer }))));
    } else {
      const oppositeBatch = shuffled.length > 1 && random.happens(shares.oppositeBatch);
      await Promise.all(shuffled.map(async (each) => {
        await this.#giveOne(each);
        // All or none: together with an answer that is refused, none of the others counts.
        const other = shuffled.find((another) => another !== each);
        if (oppositeBatch && each === first && other !== undefined) await this.#oppose(each, [each, other]);
      }));
    }
    return { repeats: Promise.all(shuffled.map((each) => this.#repeat(each))).then(() => undefined) };
  }

  async #giveOne(given: AnswerToGive): Promise<void> {
    const random = this.#randomOf(given, 'first');
    await this.#wait(random.next());
    const once = (): Promise<void> => this.#acknowledge([given], () => this.#options.session.respond(given.actionId, given.answer));
    await Promise.all(random.happens(shares.twiceAtOnce) ? [once(), once()] : [once()]);
  }

  async #acknowledge(given: readonly AnswerToGive[], answer: () => Promise<unknown>): Promise<void> {
    if (this.#options.signal.aborted) return;
    try {
      await whileStoreRefuses(answer);
      for (const each of given) this.acknowledged.set(each.actionId, each.answer);
    } catch (error) {
      this.#options.report({ count: 'mismatches', where: given.map(({ where }) => where).join('; '), problem: 'the recorded answer was refused', found: messageOf(error) });
    }
  }

  /** The same answer again, and another one. */
  async #repeat(given: AnswerToGive): Promise<void> {
    const random = this.#randomOf(given, 'repeats');
    const again = async (): Promise<void> => {
      await this.#wait(random.next() * lateFactor);
      await this.#acknowledge([given], () => this.#options.session.respond(given.actionId, given.answer));
    };
    const oppose = async (): Promise<void> => {
      await this.#wait(random.next() * lateFactor);
      await this.#oppose(given, [given]);
    };
    await Promise.all([...(random.happens(shares.again) ? [again()] : []), ...(random.happens(shares.opposite) ? [oppose()] : [])]);
  }

  /** Answers actions otherwise, of which `decided` has been decided. */
  async #oppose(decided: AnswerToGive, all: readonly AnswerToGive[]): Promise<void> {
    const { session, signal, report } = this.#options;
    if (signal.aborted || !this.acknowledged.has(decided.actionId)) return;
    const opposites = all.map((each) => ({ actionId: each.actionId, ...opposite(each.answer, this.#randomOf(each, 'opposite')) }));
    const { where } = decided;
    try {
      await whileStoreRefuses(() => session.respondAll(opposites));
      report({ count: 'duplicated', where, problem: 'another answer was taken after the first', recorded: JSON.stringify(decided.answer), found: JSON.stringify(opposites) });
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'action_decided') return;
      report({ count: 'mismatches', where, problem: 'another answer after the first was not refused as action_decided', recorded: 'action_decided', found: messageOf(error) });
    }
  }

  async #wait(share: number): Promise<void> {
    const { pace, signal } = this.#options;
    await passTime(Math.round(share * pace.answerMsMax), signal);
  }

  #randomOf({ where, actionId }: AnswerToGive, what: string): SeededRandom {
    return new SeededRandom(Math.floor(chanceOf(this.#options.seed, `${where}/${actionId}/${what}`) * 2 ** 32));
  }
}

function opposite(answer: ActionAnswer, random: SeededRandom): ActionAnswer {
  const deny: ActionAnswer = { type: 'deny', reason: 'on second thoughts' };
  const otherwise = { otherwise: true };
  switch (answer.type) {
    case 'approve':
      return random.pick<ActionAnswer>([deny, answer.input === undefined ? { type: 'approve', input: otherwise } : { type: 'approve' }]);
    case 'deny':
      return random.pick<ActionAnswer>([{ type: 'approve' }, { type: 'result', output: otherwise }, { ...deny, reason: `${answer.reason ?? ''}, on second thoughts` }]);
    case 'result':
      return random.pick<ActionAnswer>([deny, { type: 'result', output: otherwise }, { type: 'error', errorText: 'on second thoughts' }]);
    case 'error':
      return random.pick<ActionAnswer>([deny, { type: 'result', output: otherwise }]);
    case 'answer':
      return random.pick<ActionAnswer>([deny, { type: 'answer', value: otherwise }]);
  }
}

function messageOf(error: unknown): string {
  const code = error instanceof HoldfastError ? `${error.code}: ` : '';
  return `${code}${error instanceof Error ? error.message : String(error)}`;
}
