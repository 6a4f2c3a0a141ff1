import fc from 'fast-check';
import { planCompaction } from '../../src/agent/compaction-plan.ts';
import { PromptHistory } from '../../src/agent/prompt.ts';
import { acceptCompact } from '../../src/core/accept/compact.ts';
import { acceptEnd } from '../../src/core/accept/end.ts';
import { acceptQueueDelete, acceptQueueEdit, acceptQueueHold, acceptQueuePromote, acceptQueueRelease } from '../../src/core/accept/queue.ts';
import { acceptEnterNode } from '../../src/core/accept/node.ts';
import { acceptEdit } from '../../src/core/accept/edit.ts';
import { acceptRedact } from '../../src/core/accept/redact.ts';
import { acceptRestore } from '../../src/core/accept/restore.ts';
import { acceptRedo, acceptRewind } from '../../src/core/accept/rewind.ts';
import { acceptSimulated, acceptSimulatedOutcome } from '../../src/core/accept/simulate.ts';
import { acceptState } from '../../src/core/accept/state.ts';
import { acceptTransfer } from '../../src/core/accept/transfer.ts';
import { acceptSettings } from '../../src/core/accept/settings.ts';
import type { ActionAnswer } from '../../src/core/action.ts';
import type { AttemptRecord, CallResult, Entry, StepPart } from '../../src/core/entry.ts';
import { isRefusal, type Refusal } from '../../src/core/errors.ts';
import type { NodeRules } from '../../src/core/node.ts';
import { labelMarks, markOf, summariesOf } from '../../src/core/history.ts';
import { beginLabels, extendLabels, finishLabels, purposes, type LabelOutcome } from '../../src/core/labels.ts';
import type { Operation } from '../../src/core/operation.ts';
import {
  allowCompletion, cancelOperation, completeOperation, delegateOperation, releaseOperation, reportProgress, settleOperation, type OperationLease, type OperationTransition,
} from '../../src/core/operation-transitions.ts';
import { isSummarised, labelledTurnOf } from '../../src/core/redact.ts';
import { recordLateResult, recordLateUsage } from '../../src/core/settle.ts';
import { streamedPartsOf, type StreamSegment } from '../../src/core/stream-parts.ts';
import { callPart, givenAnswer, PureSession, rulesWith, textPart } from './pure-session.ts';

/** One thing that happens to a session; what exactly is decided by `pick`, and by what the session is at that time. */
export interface Happening {
  readonly kind: keyof typeof happenings;
  readonly pick: number;
}

/** What the model may come to say, streamed piece by piece before. */
const answers: readonly (readonly StepPart[])[] = [
  [textPart('Hello 😀, wörld')],
  [{ type: 'reasoning', text: 'hm … 🤔' }, textPart('So: "quoted"\n')],
  [],
  [textPart('')],
  [callPart(0, 'pay')],
  [textPart('first '), { type: 'source', sourceType: 'url', id: 's', url: 'https://example.com' }, textPart('second'), callPart(0, 'look'), callPart(1, 'pay')],
  [callPart(0, 'look', { inputText: '{ "spaced": "😀" }', input: { spaced: '😀' } }), callPart(1, 'book'), callPart(2, 'look')],
  [callPart(0, 'fly', { problem: 'there is no tool fly' }), callPart(1, 'pay')],
  [callPart(0, 'alone'), callPart(1, 'look')],
  [callPart(0, 'finish')],
  [callPart(0, 'pay', { needs: { type: 'approval', expiresAfterMs: 900 }, inputHash: 'h0' }), callPart(1, 'look')],
  [callPart(0, 'where', { needs: { type: 'client-tool', expiresAfterMs: 400 } }), callPart(1, 'which', { needs: { type: 'question', roles: ['boss'] } }), callPart(2, 'book')],
  [callPart(0, 'look', { operation: { mode: 'await' } }), callPart(1, 'pay', { operation: { mode: 'detach', key: 'one' } })],
  [callPart(0, 'look', { operation: { mode: 'detach' } })],
  [callPart(0, 'wire'), callPart(1, 'trace'), callPart(2, 'pay', { denied: { code: 'headless', reason: 'nobody to ask' } })],
  [callPart(0, 'finish', { needs: { type: 'approval' }, operation: { mode: 'await' } }), callPart(1, 'fly', { problem: 'there is no tool fly' })],
  [callPart(0, 'web', { providerExecuted: true }), { type: 'tool-result', toolCallId: 'call_0', toolName: 'web', output: 1 }, textPart('found')],
  [callPart(0, 'go_to_b', { transition: { from: 'a', to: 'b' } })],
  [callPart(0, 'look'), callPart(1, 'go_to_a', { transition: { from: 'b', to: 'a' } }), callPart(2, 'go_to_c', { transition: { from: 'b', to: 'c' } })],
];

/** Of sessions whose agent has nodes. */
const nodes: NodeRules = {
  first: 'a',
  nodes: new Map([
    ['a', { transitions: new Set(['b']), greeting: null, ends: false }], ['b', { transitions: new Set(['a', 'c', 'd']), greeting: { kind: 'text', text: 'This is b.' }, ends: false }],
    ['c', { transitions: new Set(['a']), greeting: { kind: 'model' }, ends: false }], ['d', { transitions: new Set<string>(), greeting: { kind: 'text', text: 'Bye.' }, ends: true }],
  ]),
};

interface Plan {
  readonly parts: readonly StepPart[];
  readonly segments: readonly StreamSegment[];
  shown: number;
}

const plans = new WeakMap<PureSession, Map<string, Plan>>();

/** What the attempt in flight is going to say. */
function planOf(pure: PureSession, pick: number): Plan {
  const id = pure.session.turn?.attempt?.id ?? '';
  const known = plans.get(pure) ?? new Map<string, Plan>();
  plans.set(pure, known);
  const plan = known.get(id) ?? newPlan(answers[pick % answers.length] ?? []);
  known.set(id, plan);
  return plan;
}

function newPlan(parts: readonly StepPart[]): Plan {
  const segments = streamedPartsOf({ parts }).flatMap((whole, part): StreamSegment[] => {
    const pieces: StreamSegment[] = [{ ...whole, part, offset: 0, text: '' }];
    let offset = 0;
    for (const character of whole.text) {
      pieces.push({ part, type: whole.type, offset, text: character });
      offset += character.length;
    }
    return pieces;
  });
  return { parts, segments, shown: 0 };
}

function holds(pure: PureSession): boolean {
  return pure.session.claim?.worker === pure.lease.worker && pure.session.fence === pure.lease.fence;
}

function queuedId(pure: PureSession, pick: number): string {
  const { queue } = pure.session;
  return queue[pick % Math.max(1, queue.length)]?.messageId ?? 'msg_none';
}

const answerKinds: readonly ActionAnswer[] = [
  { type: 'approve' }, { type: 'approve', input: { changed: true } }, { type: 'deny' }, { type: 'deny', reason: 'too dear' }, { type: 'result', output: 'found' },
  { type: 'error', errorText: 'gone' }, { type: 'answer', value: 42 },
];

/** Answers an action that waits, or one that does not, with what may fit or may not. */
function act(pure: PureSession, pick: number): Refusal | null {
  const actions = pure.session.turn?.actions ?? [];
  const action = actions[pick % Math.max(1, actions.length)];
  const rest = pick % 13 === 0 ? { inputHash: 'another' } : {};
  const given = givenAnswer(pick % 17 === 0 ? 'act_1_0' : (action?.id ?? 'act_3_0'), answerKinds[pick % answerKinds.length] ?? { type: 'approve' }, rest);
  const resolved = pure.resolve([given], 'ada', pick % 3 === 0 ? [] : ['boss']);
  return isRefusal(resolved) ? resolved : null;
}

const operationOutcomes: readonly CallResult['outcome'][] = ['done', 'done', 'failed', 'unknown'];

/** Lets one thing happen to an operation: by the worker that has it, by another, or from outside. */
function operate(pure: PureSession, pick: number): unknown {
  const operations = [...pure.operations.values()].toReversed();
  const operation = operations[pick % Math.max(1, operations.length)];
  if (operation === undefined) return null;
  return pure.changeOperation(operation.id, operationTransition(pure, operation, pick));
}

function operationTransition(pure: PureSession, { id, index, toolCallId, toolName, worker, fence }: Operation, pick: number): OperationTransition<unknown> {
  const { circumstances, nowMs } = pure;
  const lease: OperationLease = { worker: worker ?? 'wrk_o', fence: pick % 9 === 0 ? fence - 1 : fence };
  const outcome = operationOutcomes[pick % operationOutcomes.length] ?? 'done';
  const result: CallResult = { index, toolCallId, toolName, outcome, ...(outcome === 'done' ? { output: id } : { errorText: 'no' }) };
  const all = [
    settleOperation(lease, result, circumstances), settleOperation(lease, result, circumstances), cancelOperation(circumstances), completeOperation(`token of ${id}`, result, circumstances),
    allowCompletion(lease, `token of ${id}`, nowMs), delegateOperation(lease, nowMs), releaseOperation(lease, pick % 2 === 0, nowMs),
    reportProgress(lease, { fraction: (pick % 100) / 100, text: `${pick}`, atMs: nowMs }),
  ] as const;
  return all[pick % all.length] ?? all[0];
}

const outcomeKinds: readonly CallResult['outcome'][] = ['done', 'failed', 'denied', 'expired', 'unknown'];

/** An entry, the summaries that stand for it, and the title and the summary that were made of its turn: what a redaction names. */
export function allOf(pure: PureSession, entry: Entry): readonly Entry[] {
  const seqs = isSummarised(entry) ? summariesOf(pure.marks(), entry.seq) : [];
  const turnId = labelledTurnOf(entry);
  const labels = turnId === null ? [] : labelMarks(turnId);
  return [entry, ...pure.log.filter((other) => other.seq !== entry.seq && (seqs.includes(other.seq) || labels.includes(markOf(other) ?? '')))];
}

/** Asks for a compaction at rest; where a generation is due, makes one of whatever a worker may cover. */
function compact(pure: PureSession, pick: number): Refusal | null {
  const { turn, visible, redactions } = pure.session;
  if (turn === null) {
    const asked = pure.command(acceptCompact(pick % 2 === 0 ? {} : { instructions: `keep ${pick}` }));
    return isRefusal(asked) ? asked : null;
  }
  if (turn.attempt === null) return null;
  const history = new PromptHistory(visible, redactions);
  history.append(pure.log);
  const trigger = turn.compaction?.trigger ?? 'threshold';
  const plan = planCompaction(history.items, history.unanswered, pick % 60);
  const attempt = { ...pure.attempt({ inputTokens: pick }), purpose: 'compaction' as const };
  if (plan === null) return turn.compaction === null ? null : pure.settle({ kind: 'failed', attempt, error: { code: 'nothing_to_compact', message: 'nothing', retryable: false }, retryAfterMs: 0 });
  const { throughSeq, keeps } = plan;
  return pure.settle({ kind: 'compacted', attempt, redactions: pick % 11 === 0 ? redactions + 1 : redactions, compaction: { summary: `summary ${pick}`, throughSeq, keeps, trigger, tokensBefore: 900, tokensAfter: 90, windowTokens: 1_000 } });
}

const happenings = {
  send: (pure: PureSession, pick: number) => (pick % 23 === 0 ? pure.send(`note ${pick}`, 'queue', { visibility: 'user' }) : pure.send(`message ${pick}`, (['queue', 'queue', 'steer', 'steer', 'interrupt', 'replace', 'reject'] as const)[pick % 7] ?? 'queue', pick % 10 === 0 ? { clientTools: [{ name: 'where', inputSchema: {} }] } : pick % 19 === 0 ? { visibility: 'model' } : pick % 9 === 0 ? { parts: [{ type: 'file', mediaType: 'image/png', url: `https://example.com/${pick}.png` }] } : {})),
  compact,
  stop: (pure: PureSession, pick: number) => {
    const queued = pure.session.queue.at(-1)?.turnId;
    return pure.stop(pick % 5 === 0 ? { holdQueue: true } : pick % 5 === 1 && queued !== undefined ? { turnId: queued } : { keepOperations: pick % 5 === 2 });
  },
  queue: (pure: PureSession, pick: number) => pure.command([
    acceptQueueEdit(queuedId(pure, pick), { parts: [{ type: 'text', text: `edited ${pick}` }] }), acceptQueueDelete(queuedId(pure, pick)), acceptQueuePromote(queuedId(pure, pick)),
    acceptQueueHold(), acceptQueueRelease(),
  ][pick % 5] ?? acceptQueueHold()),
  move: (pure: PureSession, pick: number) => {
    const turns = pure.log.flatMap((entry) => ((entry.kind === 'user-message' && entry.steered !== true) || entry.kind === 'turn-started' ? [entry.turnId] : []));
    const turnId = turns[turns.length - 1 - (Math.floor(pick / 7) % Math.max(1, Math.min(turns.length, 4)))] ?? 'turn_none';
    const options = { stop: pick % 2 === 0, keepOperations: pick % 3 === 0 };
    const branchId = [...pure.branches.keys()][Math.floor(pick / 3) % Math.max(1, pure.branches.size)] ?? 'br_none';
    if (pure.session.rewound !== null && pick % 3 === 0) return pure.command(acceptRedo());
    switch (pick % 7) {
      case 0:
      case 1:
        return pure.command(acceptRewind({ turnId: pick % 11 === 0 ? null : turnId, ...options }));
      case 2:
      case 3:
        return pure.command(acceptRedo());
      case 4:
        return pure.command(acceptEdit({ turnId, message: pure.message(`instead ${pick}`), ...options }));
      default:
        return pure.command(acceptRestore({ branchId, ...options }), undefined, branchId);
    }
  },
  redact: (pure: PureSession, pick: number) => {
    const entry = pure.log[pick % pure.log.length];
    return entry === undefined ? null : pure.command(acceptRedact({ entries: allOf(pure, entry), by: 'ada' }));
  },
  settings: (pure: PureSession, pick: number) => (pick % 9 === 0 ? pure.command(acceptTransfer(pick % 2 === 0 ? 'ada' : 'bob')) : pure.command(acceptSettings([{ title: `title ${pick}` }, { title: null }, { metadata: { pick } }, { archived: pick % 8 < 4 }][pick % 4] ?? {}))),
  state: (pure: PureSession, pick: number) => pure.command(acceptState([pick % 3 === 0 ? { op: 'delete', scopeText: '', key: `key ${pick % 5}` } : { op: 'set', scopeText: '', key: `key ${pick % 5}`, value: pick }], { by: 'api' })),
  node: (pure: PureSession, pick: number) => pure.command(acceptEnterNode({ node: pick % 19 === 0 ? 'd' : (['a', 'b', 'c'] as const)[pick % 3] ?? 'a', ...(pick % 2 === 0 ? { reason: `reason ${pick}`, force: true } : {}) }, pure.rules.nodes)),
  end: (pure: PureSession, pick: number) => (pick % 20 === 0 ? pure.command(acceptEnd({ stop: pick % 40 === 0 })) : null),
  claim: (pure: PureSession, pick: number) => {
    if (pick % 3 > 0) pure.untilDue();
    return pure.claim(`wrk_${pick % 4}`, { solo: pick % 5 > 0 });
  },
  die: (pure: PureSession, pick: number) => pure.takeOver(`wrk_${pick % 4}`, { solo: pick % 5 > 0 }),
  leave: (pure: PureSession, pick: number) => {
    if (pick % 3 === 0) return pure.abandon();
    const attempt = pure.session.turn?.attempt;
    // An attempt of which something was shown had begun.
    const begun = pure.chunks.length > 0 || pick % 2 === 0;
    return pure.handOver(attempt && begun ? { lostAttempt: { ...attempt, usage: null } } : { notBegun: pick % 2 === 0 ? [0] : [] });
  },
  show: (pure: PureSession, pick: number) => {
    if (!holds(pure) || !pure.session.turn?.attempt) return;
    const plan = planOf(pure, pick);
    const count = 1 + (pick % 7);
    const pieces = plan.segments.slice(plan.shown, plan.shown + count);
    plan.shown += pieces.length;
    if (pieces.length > 0) pure.show(...pieces);
  },
  generate: (pure: PureSession, pick: number) => {
    if (pure.session.turn?.compaction) return compact(pure, pick);
    const { parts } = planOf(pure, pick);
    const finishReason = pick % 29 === 0 ? 'content-filter' : parts.some(({ type }) => type === 'tool-call') ? 'tool-calls' : 'stop';
    const injected = pick % 4 === 0 ? [{ provider: 'profile', version: `v${pick}`, text: pick % 8 === 0 ? null : `profile ${pick}` }] : [];
    const attempt = { ...pure.attempt(pick % 7 === 0 ? null : { inputTokens: pick, cachedInputTokens: 1 }), context: { tokens: pick, windowTokens: 1_000 } };
    return pure.settle({ kind: 'generated', attempt, parts, finishReason, warnings: [], injected });
  },
  fail: (pure: PureSession, pick: number) => (pick % 6 > 0 || pure.session.turn?.compaction ? pure.failed({ retryable: pick % 9 > 0 }, (pick % 3) * 700) : pure.settle({ kind: 'failed', attempt: pure.attempt(), error: { code: 'context_overflow', message: 'too long', retryable: false }, retryAfterMs: 0, compacts: true, injected: [{ provider: 'files', version: `${pick}`, text: 'file' }] })),
  label: (pure: PureSession, pick: number) => {
    const { labelling } = pure.session;
    const wish = pure.entries('labels-wanted').at(-1 - (pick % 5 === 0 ? 1 : 0));
    if (wish === undefined) return null;
    if (labelling === null || pick % 6 === 0) {
      const makes = () => new Map([['title', pick % 4 === 0 ? 'rule' : 'model'], ['summary', 'model']] as const);
      return pure.apply(beginLabels({ turnId: wish.turnId, labels: wish.labels, makes, leaseMs: 300 }, pure.circumstances));
    }
    if (pick % 6 < 2) return pure.apply(pick % 2 === 0 ? finishLabels(labelling, 0, [], pure.nowMs) : extendLabels(labelling, 300, pure.nowMs));
    const outcomes = (['title', 'summary'] as const).map((label): LabelOutcome => {
      const attempt = labelling.attempts.find((each) => each.label === label);
      return { label, text: pick % 7 === 0 ? null : `${label} ${pick}`, ...(attempt && { attempt: { id: attempt.id, number: 1, startedAtMs: attempt.startedAtMs, purpose: purposes[label], usage: { inputTokens: pick } } }) };
    });
    return pure.apply(finishLabels(labelling, wish.seq - 1, labelling.attempts.length === 0 ? outcomes.slice(0, 1) : outcomes, pure.nowMs));
  },
  simulate: (pure: PureSession, pick: number) => {
    const { simulator } = pure.session;
    if (simulator === null || pick % 5 === 0) return pure.command(acceptSettings({ simulator: pick % 3 === 0 && simulator !== null ? null : { enabled: pick % 4 > 0, persona: `persona ${pick % 2}`, maxTurns: 10 } }));
    const attempt: AttemptRecord = { id: pure.mint('att'), number: 1, startedAtMs: pure.nowMs, purpose: 'simulated-user', usage: { inputTokens: pick } };
    const number = simulator.turns + 1 + (pick % 7 === 0 ? 1 : 0);
    if (pick % 5 < 3) return pure.command(acceptSimulated({ simulatorId: simulator.id, number, attempt, text: `simulated ${pick}` }));
    return pure.command(acceptSimulatedOutcome(simulator.id, { number, attempt, ...(pick % 11 === 0 ? { ended: { reason: 'enough' } } : { error: { code: 'overloaded', message: 'no', retryable: true } }) }));
  },
  early: (pure: PureSession, pick: number) => {
    const step = pure.session.turn?.lastStep;
    const call = step?.openCalls[pick % Math.max(1, step.openCalls.length)];
    const runs = pure.work?.kind === 'run-calls' && pure.work.stepSeq === step?.seq && pure.work.run.some(({ index }) => index === call?.index);
    if (!holds(pure) || !call || !runs) return;
    pure.storeEarly({ index: call.index, toolCallId: call.toolCallId, toolName: call.toolName, outcome: 'done', output: 'early' });
  },
  act,
  operate,
  beginOperation: (pure: PureSession, pick: number) => {
    const operations = [...pure.operations.values()].toReversed();
    const operation = operations[pick % Math.max(1, operations.length)];
    return operation === undefined ? null : pure.claimOperation(operation.id, `wrk_${pick % 4}`, pick % 3 === 0 ? ['wrk_0', 'wrk_1', 'wrk_2', 'wrk_3'] : []);
  },
  late: (pure: PureSession, pick: number) => {
    const step = pure.entries('assistant-step').at(-1 - (pick % 2));
    const call = step?.parts.find((part) => part.type === 'tool-call');
    if (step === undefined || call?.type !== 'tool-call') return null;
    const { index, toolCallId, toolName } = call;
    return pure.apply(recordLateResult(step.turnId, step.seq, { index, toolCallId, toolName, outcome: 'done', output: 'late' }, pure.nowMs));
  },
  /** A budget is used up, or is not any more: its next period has begun, or it was raised. */
  budget: (pure: PureSession, pick: number) => {
    pure.exhausted = pick % 3 > 0 ? null : {
      per: 'owner', unit: 'tokens', period: 'day', limit: 10, used: 10 + (pick % 7), resetAtMs: pure.nowMs + 400 + pick, whenExhausted: pick % 2 === 0 ? 'wait' : 'fail',
    };
  },
  lateUsage: (pure: PureSession, pick: number) => {
    const known = new Set(pure.entries('late-usage').map(({ late }) => late.id));
    const given = pure.log.flatMap((entry) => (entry.kind === 'attempt-lost' || entry.kind === 'attempt-stopped' ? [entry] : [])).findLast(({ attempt }) => !known.has(attempt.id));
    return given === undefined ? null : pure.apply(recordLateUsage(given.turnId, { ...given.attempt, usage: { inputTokens: pick }, ...(pick % 2 === 0 ? { costMicros: pick } : {}) }, pure.nowMs));
  },
  results: (pure: PureSession, pick: number) => {
    const calls = pure.session.turn?.lastStep?.openCalls ?? [];
    return pure.results(Object.fromEntries(calls.map(({ index, toolName }) => {
      const outcome = outcomeKinds[(pick + index) % outcomeKinds.length] ?? 'done';
      return [index, { outcome, ...(outcome === 'done' && toolName === 'finish' ? { stopsTurn: true as const } : {}) }];
    })));
  },
  wait: (pure: PureSession, pick: number) => {
    // The clock may step back.
    pure.nowMs = Math.max(0, pure.nowMs + (pick % 11) * 97 - 200);
  },
};

const weights: Readonly<Record<Happening['kind'], number>> = {
  send: 6, compact: 3, move: 3, state: 2, node: 1, redact: 1, stop: 2, queue: 3, settings: 2, end: 1, claim: 7, die: 2, leave: 2, show: 7, generate: 6, fail: 3, label: 3, simulate: 2, early: 1, results: 4, wait: 2, act: 5, operate: 6, beginOperation: 4, late: 1, lateUsage: 1, budget: 1,
};

/** Histories of up to `maxLength` happenings, most of which are possible where they come. */
export function happeningsOf(maxLength: number, minLength = 5): fc.Arbitrary<readonly Happening[]> {
  const kinds = (Object.keys(weights) as Happening['kind'][]).map((kind) => ({ weight: weights[kind], arbitrary: fc.constant(kind) }));
  return fc.array(fc.record({ kind: fc.oneof(...kinds), pick: fc.nat(999) }), { minLength, maxLength, size: 'max' });
}

/** A new session to which nothing has happened; what kind of session follows from `pick`. */
export function newborn(pick: number): PureSession {
  const rules = rulesWith({
    ...(pick % 2 === 0 ? { labels: ['title', 'summary'] as const } : {}), maxSteps: 3 + (pick % 3), parallelCalls: 1 + (pick % 2), endAfterInactivityMs: pick % 4 === 0 ? 5_000 : null, ...(pick % 5 === 1 ? { nodes } : {}),
  });
  return new PureSession(pick % 3 === 0 ? {} : pick % 3 === 1 ? { greets: true } : { text: 'hello 😀' }, rules);
}

/** Lets one thing happen. Returns whether it changed the session; one that is refused must not. */
export function happen(pure: PureSession, { kind, pick }: Happening): boolean {
  const { session } = pure;
  const { length } = pure.log;
  const result = happenings[kind](pure, pick);
  if (isRefusal(result) && (pure.session !== session || pure.log.length !== length)) throw new Error(`${kind} was refused (${result.refused}) and changed something`);
  return pure.session !== session;
}
