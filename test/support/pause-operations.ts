import type { CallResult } from '../../src/core/entry.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { isLive, type Operation } from '../../src/core/operation.ts';
import {
  allowCompletion, cancelOperation, claimOperation, completeOperation, delegateOperation, releaseOperation, reportProgress, settleOperation, type OperationLease, type OperationTransition,
} from '../../src/core/operation-transitions.ts';
import type { PauseChecks } from './pause-checks.ts';
import type { Draw } from './pause-world.ts';
import type { PureSession } from './pure-session.ts';

/** A worker with an operation in hand, or one that had it. */
interface OperationHand {
  readonly id: string;
  readonly lease: OperationLease;
  readonly probes: boolean;
  begun: boolean;
}

/** The workers of a session's operations, and those outside who complete them. */
export class OperationWorld {
  readonly hands: OperationHand[] = [];
  readonly #pure: PureSession;
  readonly #checks: PauseChecks;
  readonly #dead: Set<string>;

  constructor(pure: PureSession, checks: PauseChecks, dead: Set<string>) {
    this.#pure = pure;
    this.#checks = checks;
    this.#dead = dead;
  }

  happen(draw: Draw, worker: string): void {
    const operations = [...this.#pure.operations.values()];
    const live = operations.filter(isLive);
    const operation = draw(6) > 0 && live.length > 0 ? live[draw(live.length)] : operations[draw(Math.max(1, operations.length))];
    if (operation === undefined) return;
    if (operation.worker !== null && draw(8) === 0) this.#dead.add(operation.worker);
    if (draw(3) === 0) this.claim(operation.id, worker);
    else if (draw(4) > 0) this.#work(draw);
    else this.#fromOutside(operation, draw);
  }

  claim(id: string, worker: string): boolean {
    const pure = this.#pure;
    const claimed = pure.changeOperation(id, claimOperation(worker, (other) => this.#dead.has(other), pure.rules, pure.circumstances));
    if (isRefusal(claimed)) return false;
    const { operation: { fence }, work } = claimed;
    if (work !== 'none') this.hands.push({ id, lease: { worker, fence }, probes: work === 'probe', begun: false });
    return true;
  }

  /** One of the workers does something with what it has, or believes to have. */
  #work(draw: Draw): void {
    const hand = this.hands[draw(Math.max(1, this.hands.length))];
    if (hand === undefined) return;
    const operation = this.#pure.operations.get(hand.id);
    if (operation === undefined) return this.#drop(hand);
    const isHeld = this.#holds(hand);
    if (!hand.begun && isHeld && draw(3) > 0) return this.begin(hand);
    const transition = this.#transition(hand, operation, draw);
    const done = this.#pure.changeOperation(hand.id, transition);
    if (isRefusal(done) === isHeld) throw new Error(`work on an operation that is ${isHeld ? 'held' : 'lost'} was ${isHeld ? 'refused' : 'taken'}`);
    if (!this.#holds(hand)) this.#drop(hand);
  }

  #holds({ id, lease }: OperationHand): boolean {
    const operation = this.#pure.operations.get(id);
    return operation !== undefined && isLive(operation) && operation.worker === lease.worker && operation.fence === lease.fence;
  }

  #drop(hand: OperationHand): void {
    this.hands.splice(this.hands.indexOf(hand), 1);
  }

  /** The tool runs, unless it finds out that it has run. */
  begin(hand: OperationHand): void {
    const { stepSeq, index, toolName } = this.#pure.operation(hand.id);
    hand.begun = true;
    if (hand.probes && this.#checks.hasRun(stepSeq, index)) return;
    this.#checks.began(stepSeq, index, toolName);
  }

  #transition({ id, lease, begun }: OperationHand, operation: Operation, draw: Draw): OperationTransition<null> {
    const { circumstances, nowMs } = this.#pure;
    if (!begun) return releaseOperation(lease, false, nowMs);
    switch (draw(6)) {
      case 0:
        return reportProgress(lease, { fraction: draw(100) / 100, text: 'on', atMs: nowMs });
      case 1:
        return allowCompletion(lease, `token of ${id}`, nowMs);
      case 2:
        // A tool is left to somebody outside only after it has given a token away.
        return operation.tokenHashes.length === 0 ? allowCompletion(lease, `token of ${id}`, nowMs) : delegateOperation(lease, nowMs);
      case 3:
        return releaseOperation(lease, true, nowMs);
      default:
        return settleOperation(lease, resultOf(operation, draw), circumstances);
    }
  }

  /** Somebody completes it, with the right token or another, once or again; or cancels it. */
  #fromOutside(operation: Operation, draw: Draw): void {
    const pure = this.#pure;
    const before = pure.session;
    const wasLive = isLive(operation);
    const token = draw(4) === 0 ? 'another' : `token of ${operation.id}`;
    const done = pure.changeOperation(operation.id, draw(3) === 0 ? cancelOperation(pure.circumstances) : completeOperation(token, resultOf(operation, draw), pure.circumstances));
    if (!isRefusal(done) && !wasLive && (pure.session !== before || done.status !== operation.status)) throw new Error('what comes after an operation\'s end changes nothing');
    if (isRefusal(done) && operation.tokenHashes.includes(token)) throw new Error('a completion with its token is taken');
  }

  /** Ends one that lives, however it stands; the worker that has it is dead if `takesOver`. */
  finish(id: string, worker: string): void {
    const pure = this.#pure;
    const operation = pure.operation(id);
    if (operation.worker !== null) this.#dead.add(operation.worker);
    if (operation.external) pure.changeOperation(id, completeOperation(operation.tokenHashes[0] ?? '', resultOf(operation, () => 1), pure.circumstances));
    else if (this.claim(id, worker)) {
      const hand = this.hands.find(({ id: other, lease }) => other === id && lease.worker === worker);
      if (hand === undefined) return;
      this.begin(hand);
      pure.changeOperation(id, settleOperation(hand.lease, resultOf(operation, () => 1), pure.circumstances));
      this.#drop(hand);
    }
  }
}

function resultOf({ id, index, toolCallId, toolName }: Operation, draw: Draw): CallResult {
  const outcome = (['failed', 'done', 'done', 'unknown'] as const)[draw(4)] ?? 'done';
  return { index, toolCallId, toolName, outcome, ...(outcome === 'done' ? { output: `output of ${id}` } : { errorText: 'no' }) };
}
