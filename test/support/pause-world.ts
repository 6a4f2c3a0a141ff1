import { acceptEnd, deleteTransition } from '../../src/core/accept/end.ts';
import { acceptQueueDelete, acceptQueueEdit, acceptQueueHold, acceptQueuePromote, acceptQueueRelease } from '../../src/core/accept/queue.ts';
import { acceptEdit } from '../../src/core/accept/edit.ts';
import { acceptRestore } from '../../src/core/accept/restore.ts';
import { acceptRedo, acceptRewind } from '../../src/core/accept/rewind.ts';
import { acceptResolve, type GivenAnswer } from '../../src/core/accept/resolve.ts';
import { acceptSend } from '../../src/core/accept/send.ts';
import { acceptSettings } from '../../src/core/accept/settings.ts';
import { acceptStop } from '../../src/core/accept/stop.ts';
import { acceptTransition, type Accept } from '../../src/core/accept/transition.ts';
import { answersOf, type ActionAnswer, type OpenAction } from '../../src/core/action.ts';
import type { Work } from '../../src/core/advance.ts';
import { claim } from '../../src/core/claim.ts';
import type { AgentRules, ToolRules } from '../../src/core/decide.ts';
import type { CallResult, StepPart } from '../../src/core/entry.ts';
import { isRefusal, type Refusal } from '../../src/core/errors.ts';
import { isLive } from '../../src/core/operation.ts';
import { awaitedOperations } from '../../src/core/session.ts';
import { abandon, dispatchCalls, handOver, joinCalls, recordLateResult, settleCalls, settleGeneration, type Lease } from '../../src/core/settle.ts';
import { PauseChecks } from './pause-checks.ts';
import { OperationWorld } from './pause-operations.ts';
import { callPart, givenAnswer, PureSession, rulesWith, textPart, toolDefaults } from './pure-session.ts';

/** One thing that happens; what exactly follows from `pick` and from what there is at that time. */
export interface PauseHappening {
  readonly kind: keyof typeof pauseHappenings;
  readonly pick: number;
}

/** A worker with a session in hand, or one that had it and does not know yet that it has lost it. */
interface Hand {
  readonly worker: string;
  readonly lease: Lease;
  work: Work | null;
  /** Calls in hand, in order, that have not begun. */
  waiting: { readonly index: number; isDispatched: boolean }[];
  running: number[];
  ended: CallResult[];
}

/** Draws numbers below a bound, the same ones for the same pick. */
export type Draw = (below: number) => number;

export function drawFrom(pick: number): Draw {
  let state = pick * 2_654_435_761 + 1;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) | 0;
    const mixed = Math.imul(state ^ (state >>> 12), 0x297a2d39);
    return ((mixed ^ (mixed >>> 15)) >>> 0) % below;
  };
}

const tools = new Map<string, ToolRules>([
  ['look', { ...toolDefaults, recovery: 'rerun', operationTimeoutMs: 3_000 }], ['book', { ...toolDefaults, recovery: 'rerun-keyed' }], ['pay', { ...toolDefaults, operationTimeoutMs: 9_000 }],
  ['wire', { ...toolDefaults, recovery: 'ask' }], ['trace', { ...toolDefaults, recovery: 'probe' }], ['alone', { ...toolDefaults, exclusive: true }],
  ['finish', { ...toolDefaults, recovery: 'rerun', stopAfter: true }],
]);

/** Every kind of call that a step may make. */
const callKinds: readonly ((index: number, draw: Draw) => StepPart)[] = [
  ...['look', 'book', 'pay', 'wire', 'wire', 'trace', 'trace', 'finish', 'retired'].map((name) => (index: number) => callPart(index, name)),
  (index, draw) => callPart(index, ['pay', 'wire', 'trace', 'look'][draw(4)] ?? 'pay', { needs: { type: 'approval', ...expiry(draw), ...(draw(4) === 0 ? { roles: ['boss'] } : {}) }, inputHash: `hash ${index}` }),
  (index, draw) => callPart(index, 'where', { needs: { type: 'client-tool', ...expiry(draw) }, inputHash: `hash ${index}` }),
  (index, draw) => callPart(index, 'which', { needs: { type: 'question', ...expiry(draw) }, inputHash: `hash ${index}` }),
  (index, draw) => callPart(index, operationTool(draw), { operation: { mode: 'await', ...key(draw) } }),
  (index, draw) => callPart(index, operationTool(draw), { operation: { mode: 'detach', ...key(draw) } }),
  (index, draw) => callPart(index, operationTool(draw), { needs: { type: 'approval' }, operation: { mode: draw(2) === 0 ? 'await' : 'detach' } }),
  (index) => callPart(index, 'fly', { problem: 'there is no tool fly' }),
  (index) => callPart(index, 'pay', { problem: 'the input does not fit' }),
  (index) => callPart(index, 'pay', { denied: { code: 'headless', reason: 'nobody to ask' } }),
  (index, draw) => callPart(index, draw(3) === 0 ? 'alone' : 'look'),
];

const operationTool = (draw: Draw): string => ['look', 'pay', 'trace', 'book', 'wire'][draw(5)] ?? 'look';
const expiry = (draw: Draw): { readonly expiresAfterMs?: number } => (draw(3) === 0 ? {} : { expiresAfterMs: 200 + draw(1_500) });
const key = (draw: Draw): { readonly key?: string } => (draw(4) === 0 ? { key: 'one' } : {});

/** What a model may say. */
function stepParts(draw: Draw): readonly StepPart[] {
  if (draw(4) === 0) return [textPart('done')];
  const count = 1 + draw(5);
  return [textPart('well'), ...Array.from({ length: count }, (_, index) => (callKinds[draw(callKinds.length)] ?? callKinds[0])?.(index, draw) ?? callPart(index, 'look'))];
}

/** A session, everybody who works on it, and what each of them has really done. */
export class PauseWorld {
  readonly pure: PureSession;
  readonly checks: PauseChecks;
  readonly operations: OperationWorld;
  readonly dead = new Set<string>();
  readonly hands: Hand[] = [];
  readonly #allRules: AgentRules;
  #workers = 0;
  #lastAnswers: readonly GivenAnswer[] = [];

  constructor(pick: number) {
    const draw = drawFrom(pick);
    this.#allRules = rulesWith({ maxSteps: 3 + draw(4), parallelCalls: 1 + draw(3), endAfterInactivityMs: draw(6) === 0 ? 20_000 : null, tools });
    this.pure = new PureSession({ text: 'hello' }, this.#allRules);
    this.checks = new PauseChecks(this.pure, tools);
    this.operations = new OperationWorld(this.pure, this.checks, this.dead);
    this.checks.committed();
    this.pure.onCommit = () => this.checks.committed();
  }

  /** Whoever holds the session now. */
  get holder(): Hand | undefined {
    const { claim: held, fence } = this.pure.session;
    return this.hands.find(({ worker, lease }) => held?.worker === worker && lease.fence === fence);
  }

  worker(draw: Draw): string {
    const living = [...new Set(this.hands.map(({ worker }) => worker))].filter((worker) => !this.dead.has(worker));
    if (living.length > 1 && draw(3) > 0) return living[draw(living.length)] ?? '';
    this.#workers += 1;
    return `wrk_${this.#workers}`;
  }

  /** Claims the session, if it can be had. */
  claim(worker: string, solo = true): Refusal | null {
    const { pure } = this;
    const claimed = pure.apply(claim({ worker, solo, isDead: (other) => this.dead.has(other) }, pure.rules, pure.circumstances));
    if (isRefusal(claimed)) return claimed;
    if (claimed.work === null) this.checks.idleClaim();
    this.#take(worker, { worker, fence: claimed.fence }, claimed.work);
    return null;
  }

  #take(worker: string, lease: Lease, work: Work | null): void {
    const hand: Hand = { worker, lease, work: null, waiting: [], running: [], ended: [] };
    this.hands.push(hand);
    this.goOn(hand, work);
  }

  /** A worker goes on with what its last commit left to it. */
  goOn(hand: Hand, work: Work | null): void {
    hand.work = work;
    hand.running = [];
    hand.ended = [];
    if (work === null) this.hands.splice(this.hands.indexOf(hand), 1);
    if (work?.kind !== 'run-calls') return;
    hand.waiting = work.run.map(({ index }, place) => ({ index, isDispatched: place < this.pure.rules.parallelCalls }));
    this.checks.handedOut(work, hand.lease.fence);
  }

  /** A command, now and then in a process whose worker has a free place. */
  command<Reply>(accept: Accept<Reply>, draw: Draw, readsOutcomes = draw(2) === 0, branchId?: string): Reply | Refusal {
    const { pure } = this;
    const worker = draw(3) === 0 ? this.worker(draw) : null;
    const slot = worker === null ? undefined : { worker, rulesOf: () => pure.rules };
    const accepted = pure.apply(acceptTransition(accept, pure.circumstances, { slot, readsOutcomes }), readsOutcomes, branchId);
    if (isRefusal(accepted)) return accepted;
    const { claimed, reply } = accepted;
    if (claimed !== null && worker !== null) this.#take(worker, { worker, fence: claimed.fence }, claimed.work);
    return reply;
  }

  /** Some worker with such work: mostly the one that holds the session. */
  someHand(kind: Work['kind'], draw: Draw): Hand | undefined {
    const able = this.hands.filter(({ work }) => work?.kind === kind);
    const { holder } = this;
    return holder?.work?.kind === kind && draw(5) > 0 ? holder : able[draw(Math.max(1, able.length))];
  }

  /** A worker's commit of its work: refused to everybody but the one who holds the session, and then nothing of it counts. */
  settle(hand: Hand, settled: Work | null | Refusal, wasHolder: boolean): void {
    if (isRefusal(settled) === wasHolder) throw new Error(`the commit of a worker that ${wasHolder ? 'holds' : 'has lost'} the session was ${wasHolder ? 'refused' : 'taken'}`);
    if (isRefusal(settled)) this.hands.splice(this.hands.indexOf(hand), 1);
    else this.goOn(hand, settled);
  }

  generate(hand: Hand, draw: Draw, parts = stepParts(draw)): void {
    const { pure } = this;
    if (hand.work?.kind !== 'generate') return;
    const attempt = { ...hand.work.attempt, usage: null };
    const outcome = draw(8) === 0
      ? { kind: 'failed', attempt, error: { code: 'overloaded', message: 'busy', retryable: draw(6) > 0 }, retryAfterMs: 0 } as const
      : { kind: 'generated', attempt, parts, finishReason: parts.some(({ type }) => type === 'tool-call') ? 'tool-calls' : 'stop', warnings: [] } as const;
    const wasHolder = hand === this.holder;
    this.settle(hand, pure.apply(settleGeneration(hand.lease, outcome, pure.rules, pure.circumstances), false), wasHolder);
  }

  /** One call begins: after a commit that names it, unless one has. A tool that may have run is asked first, and tells the truth. */
  beginCall(hand: Hand): void {
    const { pure, checks } = this;
    const next = hand.waiting.shift();
    if (next === undefined || hand.work?.kind !== 'run-calls') return;
    const { index, isDispatched } = next;
    const { stepSeq, probe } = hand.work;
    const toolName = pure.session.turn?.lastStep?.openCalls.find((call) => call.index === index)?.toolName ?? '';
    if (!isDispatched && tools.get(toolName)?.recovery !== 'rerun') {
      const dispatched = pure.apply(dispatchCalls(hand.lease, [index], pure.rules, pure.nowMs));
      if (isRefusal(dispatched)) throw new Error('a call of the holder is dispatched');
    }
    if (probe.includes(index) && checks.hasRun(stepSeq, index)) hand.ended.push(this.result(hand, index, 'done', 'found out'));
    else {
      checks.began(stepSeq, index, toolName);
      hand.running.push(index);
    }
  }

  result({ work, lease }: Hand, index: number, outcome: CallResult['outcome'], what: string): CallResult {
    const call = work?.kind === 'run-calls' ? (this.#partOf(work.stepSeq, index) ?? { toolCallId: '', toolName: '' }) : { toolCallId: '', toolName: '' };
    const { toolCallId, toolName } = call;
    return { index, toolCallId, toolName, outcome, ...(outcome === 'done' ? { output: `${what} under ${lease.fence}` } : { errorText: what }) };
  }

  #partOf(stepSeq: number, index: number): { readonly toolCallId: string; readonly toolName: string } | undefined {
    const step = this.pure.log[stepSeq - 1];
    return step?.kind === 'assistant-step' ? step.parts.find((part) => part.type === 'tool-call' && part.index === index) as { readonly toolCallId: string; readonly toolName: string } : undefined;
  }

  /** One running call ends. Its outcome may be stored before its siblings'; of a worker that has lost the session it is a late one. */
  endCall(hand: Hand, draw: Draw): void {
    const { pure } = this;
    const index = hand.running.splice(draw(hand.running.length), 1)[0];
    if (index === undefined || hand.work?.kind !== 'run-calls') return;
    const result = this.result(hand, index, draw(4) === 0 ? 'failed' : 'done', 'ran');
    hand.ended.push(result);
    const isHolder = hand === this.holder;
    if (!isHolder) pure.apply(recordLateResult(hand.work.turnId, hand.work.stepSeq, result, pure.nowMs));
    if (draw(2) === 0 && (pure.storeEarly(result, hand.lease) === 'stored') !== isHolder) throw new Error('only the holder stores outcomes');
  }

  settleResults(hand: Hand): void {
    const { pure } = this;
    if (hand.work?.kind !== 'run-calls') return;
    const wasHolder = hand === this.holder;
    this.settle(hand, pure.apply(settleCalls(hand.lease, hand.work.stepSeq, hand.ended, pure.rules, pure.circumstances)), wasHolder);
  }

  /** Takes in what may run since, approved meanwhile. One that has lost the session takes in nothing. */
  join(hand: Hand): void {
    const { pure } = this;
    if (hand.work?.kind !== 'run-calls') return;
    const { stepSeq } = hand.work;
    const indexes = [...hand.waiting.map(({ index }) => index), ...hand.running, ...hand.ended.map(({ index }) => index)];
    const places = Math.max(0, pure.rules.parallelCalls - hand.running.length - hand.waiting.length);
    const joined = pure.apply(joinCalls(hand.lease, stepSeq, { indexes, places }, pure.rules, pure.circumstances));
    if (isRefusal(joined) === (hand === this.holder)) throw new Error('calls join the holder, and nobody else');
    if (isRefusal(joined)) return;
    this.checks.handedOut({ kind: 'run-calls', turnId: hand.work.turnId, stepSeq, run: joined, probe: [] }, hand.lease.fence);
    hand.waiting.push(...joined.map(({ index }, place) => ({ index, isDispatched: place < places })));
  }

  /** Gives the session back in order, its calls run to their end or not begun; or gives it up. */
  leave(hand: Hand, draw: Draw): void {
    const { pure } = this;
    const isHolder = hand === this.holder;
    const notBegun = hand.waiting.map(({ index }) => index);
    const lostAttempt = hand.work?.kind === 'generate' && draw(2) === 0 ? { ...hand.work.attempt, usage: null } : null;
    const left = pure.apply(draw(4) === 0 ? abandon(hand.lease, pure.nowMs) : handOver(hand.lease, { notBegun, lostAttempt }, pure.nowMs));
    if (isRefusal(left) === isHolder) throw new Error('the holder gives a session back, and nobody else');
    this.hands.splice(this.hands.indexOf(hand), 1);
    if (isHolder && hand.work?.kind === 'run-calls' && pure.session.crashes === 0) this.checks.takenBack(hand.work.stepSeq, notBegun, hand.lease.fence);
  }

  /** Answers actions: those that wait, others, with what fits or does not, alone or together, again and again. */
  resolve(draw: Draw): void {
    const { pure } = this;
    const actions = pure.session.turn?.actions ?? [];
    const expiring = actions.find(({ expiresAtMs, resolved }) => expiresAtMs !== null && resolved === undefined)?.expiresAtMs ?? null;
    // To the millisecond: the last at which it may be answered, the first at which it may not.
    if (expiring !== null && draw(6) === 0) pure.nowMs = Math.max(pure.nowMs, expiring - draw(2));
    const again = draw(5) === 0 && this.#lastAnswers.length > 0;
    const answers = again ? this.#lastAnswers : Array.from({ length: 1 + draw(2) }, () => this.#answer(actions[draw(Math.max(1, actions.length))], draw));
    const before = pure.session;
    const resolved = this.command(acceptResolve({ answers, by: 'ada', roles: draw(3) === 0 ? [] : ['boss'] }), draw, true);
    if (isRefusal(resolved) && pure.session !== before) throw new Error(`answers were refused (${resolved.refused}) and changed something`);
    if (!isRefusal(resolved)) this.#lastAnswers = answers;
  }

  #answer(action: OpenAction | undefined, draw: Draw): GivenAnswer {
    const fitting = answersOf[action?.type ?? 'approval'];
    const all = ['approve', 'deny', 'result', 'error', 'answer'] as const;
    const type = draw(5) > 0 ? fitting[draw(fitting.length)] : all[draw(5)];
    const stale = this.pure.entries('action-opened').at(-1 - draw(3))?.actionId;
    const id = draw(8) === 0 ? (stale ?? 'act_1_0') : (action?.id ?? 'act_9_9');
    return givenAnswer(id, answerOf(type ?? 'approve', draw), draw(10) === 0 ? { inputHash: 'another' } : draw(2) === 0 && action ? { inputHash: action.inputHash } : {});
  }

  /** Moves through the history: back, forth again, on from another place, to a branch. */
  move(draw: Draw): void {
    const { pure } = this;
    const turns = pure.log.flatMap((entry) => ((entry.kind === 'user-message' && entry.steered !== true) || entry.kind === 'turn-started' ? [entry.turnId] : []));
    const turnId = turns.at(-1 - draw(4)) ?? 'turn_none';
    const branchId = [...pure.branches.keys()].at(-1 - draw(3)) ?? 'br_none';
    const options = { stop: draw(3) > 0, keepOperations: draw(2) === 0 };
    switch (draw(8)) {
      case 0:
      case 1:
      case 2:
        return void this.command(acceptRewind({ turnId: draw(12) === 0 ? null : turnId, ...options }), draw, true);
      case 3:
      case 4:
        return void this.command(acceptRedo(), draw, true);
      case 5:
        return void this.command(acceptEdit({ turnId, message: pure.message(`instead ${draw(9)}`), ...options }), draw, true);
      default:
        return void this.command(acceptRestore({ branchId, ...options }), draw, true, branchId);
    }
  }

  /** A deploy takes a tool away, or brings it back. */
  deploy(draw: Draw): void {
    const gone = ['pay', 'wire', 'look', 'nothing'][draw(4)];
    this.pure.rules = { ...this.#allRules, tools: new Map([...tools].filter(([name]) => name !== gone)) };
  }

  /** The deploys are over. */
  settleDown(): void {
    this.pure.rules = this.#allRules;
  }
}

function answerOf(type: ActionAnswer['type'], draw: Draw): ActionAnswer {
  switch (type) {
    case 'approve':
      return draw(3) === 0 ? { type, input: { changed: draw(3) } } : { type };
    case 'deny':
      return draw(2) === 0 ? { type, reason: 'no' } : { type };
    case 'result':
      return { type, output: `result ${draw(3)}` };
    case 'error':
      return { type, errorText: 'gone' };
    case 'answer':
      return { type, value: draw(3) };
  }
}

/** What can happen. */
export const pauseHappenings = {
  claim: (world: PauseWorld, draw: Draw) => {
    if (draw(3) > 0) world.pure.untilDue();
    return world.claim(world.worker(draw), draw(5) > 0);
  },
  die: (world: PauseWorld, draw: Draw) => {
    // Now and then everybody who takes it dies of it.
    for (let deaths = draw(12) === 0 ? 6 : 1; deaths > 0; deaths -= 1) {
      const worker = world.pure.session.claim?.worker;
      if (worker !== undefined) world.dead.add(worker);
      if (deaths > 1 || draw(2) === 0) world.claim(world.worker(draw));
    }
  },
  generate: (world: PauseWorld, draw: Draw) => {
    const hand = world.someHand('generate', draw);
    if (hand !== undefined) world.generate(hand, draw);
  },
  work: (world: PauseWorld, draw: Draw) => {
    const hand = world.someHand('run-calls', draw);
    if (hand === undefined) return;
    // A worker that has lost the session begins nothing more.
    if (hand === world.holder && hand.waiting.length > 0 && hand.running.length < world.pure.rules.parallelCalls && draw(3) > 0) world.beginCall(hand);
    else if (hand.running.length > 0) world.endCall(hand, draw);
    else if (hand.waiting.length === 0 || hand !== world.holder) world.settleResults(hand);
  },
  join: (world: PauseWorld, draw: Draw) => {
    const hand = world.someHand('run-calls', draw);
    if (hand !== undefined) world.join(hand);
  },
  leave: (world: PauseWorld, draw: Draw) => {
    const hand = world.hands[draw(Math.max(1, world.hands.length))];
    if (hand !== undefined) world.leave(hand, draw);
  },
  resolve: (world: PauseWorld, draw: Draw) => world.resolve(draw),
  operate: (world: PauseWorld, draw: Draw) => world.operations.happen(draw, world.worker(draw)),
  send: (world: PauseWorld, draw: Draw) => {
    const whenBusy = (['queue', 'steer', 'steer', 'interrupt', 'replace', 'reject'] as const)[draw(6)] ?? 'queue';
    return world.command(acceptSend({ message: world.pure.message(`message ${draw(9)}`), whenBusy }), draw, whenBusy === 'interrupt' || whenBusy === 'replace' || draw(2) === 0);
  },
  stop: (world: PauseWorld, draw: Draw) => {
    const keepOperations = draw(3) === 0;
    const awaited = awaitedOperations(world.pure.session);
    world.command(acceptStop({ holdQueue: draw(4) === 0, keepOperations }), draw, true);
    const going = awaited.filter(({ id }) => world.pure.operations.has(id) && isLive(world.pure.operation(id)));
    if (going.length !== (keepOperations ? awaited.length : 0) && !world.pure.deleted) throw new Error('a stop cancels what its turn waits for, unless it is to be kept');
  },
  move: (world: PauseWorld, draw: Draw) => world.move(draw),
  queue: (world: PauseWorld, draw: Draw) => {
    const { queue } = world.pure.session;
    const id = queue[draw(Math.max(1, queue.length))]?.messageId ?? 'msg_none';
    const accept = [acceptQueueEdit(id, { parts: [{ type: 'text', text: 'edited' }] }), acceptQueueDelete(id), acceptQueuePromote(id), acceptQueueHold(), acceptQueueRelease()][draw(5)];
    return accept === undefined ? null : world.command(accept, draw);
  },
  archive: (world: PauseWorld, draw: Draw) => world.command(acceptSettings({ archived: draw(3) === 0 }), draw),
  end: (world: PauseWorld, draw: Draw) => {
    const once = draw(40);
    if (once === 0) world.command(acceptEnd({ stop: true }), draw, true);
    else if (once === 1) world.pure.apply(deleteTransition(world.pure.nowMs));
  },
  deploy: (world: PauseWorld, draw: Draw) => world.deploy(draw),
  wait: (world: PauseWorld, draw: Draw) => {
    world.pure.nowMs = Math.max(0, world.pure.nowMs + draw(1_200) - 200);
  },
};
