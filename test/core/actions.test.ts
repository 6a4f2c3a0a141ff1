import { describe, expect, it } from 'vitest';
import { decide, type AgentRules } from '../../src/core/decide.ts';
import type { CallResult, StepPart } from '../../src/core/entry.ts';
import { InvariantError } from '../../src/core/errors.ts';
import { settleOperation } from '../../src/core/operation-transitions.ts';
import { dueAtMs, openActions, type SessionStatus } from '../../src/core/session.ts';
import { joinCalls } from '../../src/core/settle.ts';
import { callPart, givenAnswer, PureSession, rulesWith, textPart } from '../support/pure-session.ts';

/** A session whose step, the entry 3, has made these calls. */
function called(parts: readonly StepPart[], rules?: AgentRules): PureSession {
  const pure = new PureSession({ text: 'hello' }, rules);
  pure.claim();
  pure.generated(parts);
  return pure;
}

const approval = (index: number, toolName = 'pay', rest = {}) => callPart(index, toolName, { needs: { type: 'approval', ...rest } });
const clientTool = (index: number, rest = {}) => callPart(index, 'where', { needs: { type: 'client-tool', ...rest } });

function outcomes(pure: PureSession): readonly unknown[] | undefined {
  return pure.last('tool-results')?.results.map(({ outcome, code }) => (code === undefined ? outcome : `${outcome} ${code}`));
}

function endOperation(pure: PureSession, id: string): void {
  const claimed = pure.claimOperation(id);
  if ('refused' in claimed) throw new Error(claimed.message);
  const { index, toolCallId, toolName } = claimed.operation;
  pure.changeOperation(id, settleOperation(claimed.lease, { index, toolCallId, toolName, outcome: 'done', output: `operation ${index}` }, pure.circumstances));
}

function operationOf(pure: PureSession, index: number): string {
  return [...pure.operations.values()].find((operation) => operation.index === index)?.id ?? '';
}

describe('what a step waits for', () => {
  it('is asked in the step\'s own commit, and no worker is held', () => {
    const pure = new PureSession({ text: 'hello' });
    pure.claim();
    const commits = pure.history.length;
    pure.generated([textPart('May I?'), approval(0, 'pay', { reason: 'over 100' }), clientTool(1, { expiresAfterMs: 500 })]);
    expect(pure.history.length - commits).toBe(1);
    expect(pure.log.slice(2).map(({ kind }) => kind)).toEqual(['assistant-step', 'action-opened', 'action-opened']);
    expect(pure.entries('action-opened')).toMatchObject([
      { actionId: 'act_3_0', type: 'approval', stepSeq: 3, index: 0, toolName: 'pay', expiresAtMs: null, reason: 'over 100' },
      { actionId: 'act_3_1', type: 'client-tool', stepSeq: 3, index: 1, toolCallId: 'call_1', toolName: 'where', expiresAtMs: 1_500 },
    ]);
    expect([pure.status, pure.session.claim, pure.work]).toEqual(['requires_action', null, null]);
  });

  it('does not keep its siblings from running, nor its operations from starting', () => {
    const pure = called([approval(0), callPart(1, 'look'), callPart(2, 'look', { operation: { mode: 'await' } })]);
    expect([pure.status, pure.work]).toMatchObject(['running', { kind: 'run-calls', run: [{ index: 1 }] }]);
    expect([...pure.operations.values()]).toMatchObject([{ index: 2, status: 'queued' }]);
  });

  it('is not claimed again and again: what its siblings have come to is kept until it comes', () => {
    const pure = called([callPart(0, 'fly', { problem: 'there is no tool fly' }), approval(1), callPart(2, 'pay', { denied: { code: 'headless', reason: 'nobody to ask' } })]);
    expect([pure.status, dueAtMs(pure.session)]).toEqual(['requires_action', null]);
    expect(pure.claim()).toMatchObject({ refused: 'not_claimable' });
    pure.answer(1, { type: 'approve' });
    pure.claim();
    expect(pure.work).toMatchObject({ run: [{ index: 1 }] });
    pure.results();
    expect(outcomes(pure)).toEqual(['failed unknown_tool', 'done', 'denied headless']);
  });

  it.each<[string, readonly StepPart[], SessionStatus]>([
    ['one approval', [approval(0)], 'requires_action'],
    ['an operation', [callPart(0, 'look', { operation: { mode: 'await' } })], 'waiting'],
    ['an approval and an operation', [approval(0), callPart(1, 'look', { operation: { mode: 'await' } })], 'requires_action'],
    ['a detached operation is nothing to wait for', [callPart(0, 'look', { operation: { mode: 'detach' } })], 'running'],
    ['a question and a call that runs', [callPart(0, 'which', { needs: { type: 'question' } }), callPart(1, 'look')], 'running'],
  ])('%s: %s', (_what, parts, status) => {
    expect(called(parts).status).toBe(status);
  });
});

describe('a step of every kind of call', () => {
  type Event = 'server' | 'approve' | 'client' | 'awaited' | 'detached';
  const events: readonly Event[] = ['server', 'approve', 'client', 'awaited', 'detached'];
  const orders = permutations(events);

  function mixed(): PureSession {
    return called([
      callPart(0, 'look'), approval(1, 'pay', { expiresAfterMs: 9_000 }), clientTool(2, { expiresAfterMs: 4_000 }), callPart(3, 'book', { operation: { mode: 'await' } }),
      callPart(4, 'look', { operation: { mode: 'detach' } }),
    ]);
  }

  /** The approved call runs beside the one that runs still, or by a claim of its own. */
  function approve(pure: PureSession, running: CallResult[]): void {
    pure.answer(1, { type: 'approve' });
    const result: CallResult = { index: 1, toolCallId: 'call_1', toolName: 'pay', outcome: 'done', output: 'approved' };
    if (pure.session.claim === null) {
      pure.claim();
      expect(pure.work).toMatchObject({ kind: 'run-calls', run: [{ index: 1 }] });
      expect(pure.session.turn?.lastStep?.openCalls[1]).toMatchObject({ dispatchedFence: pure.lease.fence });
      pure.settleResults([result]);
    } else {
      expect(pure.must(joinCalls(pure.lease, 3, { indexes: [0], places: 1 }, pure.rules, pure.circumstances))).toMatchObject([{ index: 1 }]);
      running.push(result);
    }
  }

  function happen(pure: PureSession, event: Event, running: CallResult[]): void {
    switch (event) {
      case 'server':
        pure.settleResults([{ index: 0, toolCallId: 'call_0', toolName: 'look', outcome: 'done', output: 'seen' }, ...running]);
        return;
      case 'approve':
        return approve(pure, running);
      case 'client':
        pure.answer(2, { type: 'result', output: 'home' });
        return;
      case 'awaited':
        return endOperation(pure, operationOf(pure, 3));
      case 'detached':
        return endOperation(pure, operationOf(pure, 4));
    }
  }

  /** The status and the due time that follow from what is still awaited. */
  function expected(pending: ReadonlySet<Event>): readonly [SessionStatus, number | null] {
    if (pending.has('server')) return ['running', null];
    if (pending.has('client')) return ['requires_action', 5_000];
    if (pending.has('approve')) return ['requires_action', 10_000];
    if (pending.has('awaited')) return ['waiting', null];
    return ['ready', 0];
  }

  it.each(orders.map((order) => [order.join(', '), order] as const))('goes on when all is in, in the order %s', (_name, order) => {
    const pure = mixed();
    const pending = new Set<Event>(events);
    const running: CallResult[] = [];
    for (const event of order) {
      happen(pure, event, running);
      pending.delete(event);
      const isAnswered = pending.size === 0 || (pending.size === 1 && pending.has('detached'));
      if (!isAnswered) {
        expect([pure.status, dueAtMs(pure.session), pure.entries('tool-results').length]).toEqual([...expected(pending), 0]);
        continue;
      }
      // What ended last was in a worker's hands, which goes straight on; else the next claim does.
      if (pure.session.claim === null) {
        expect([pure.status, dueAtMs(pure.session)]).toEqual(['ready', 0]);
        pure.claim();
      }
      expect(pure.work).toMatchObject({ kind: 'generate' });
    }
    expect(pure.entries('tool-results').map(({ results }) => results)).toMatchObject([[
      { index: 0, output: 'seen' }, { index: 1, output: 'approved' }, { index: 2, output: 'home' }, { index: 3, outcome: 'done', output: 'operation 3' },
      { index: 4, outcome: 'done', output: { operationId: operationOf(pure, 4), status: 'started' } },
    ]]);
    // The detached one's own result comes after the results, whenever it ended.
    const results = pure.last('tool-results')?.seq ?? 0;
    if (order.at(-1) === 'detached') pure.generated([textPart('so far')]);
    expect(pure.entries('operation-result')).toMatchObject([{ index: 4, result: { outcome: 'done', output: 'operation 4' } }]);
    expect(pure.last('operation-result')?.seq).toBeGreaterThan(results);
    expect(pure.work).toMatchObject({ kind: 'generate' });
  });

  it('has been tried in all orders', () => {
    expect(orders.length).toBe(120);
  });
});

function permutations<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, place) => permutations(items.toSpliced(place, 1)).map((rest) => [item, ...rest]));
}

describe('an action nobody answers', () => {
  it('expires by a claim at its time, and the turn goes on with what is left', () => {
    const pure = called([clientTool(0, { expiresAfterMs: 500 }), clientTool(1, { expiresAfterMs: 800 })]);
    expect(dueAtMs(pure.session)).toBe(1_500);
    pure.nowMs = 1_499;
    expect(pure.claim()).toMatchObject({ refused: 'not_claimable' });
    pure.nowMs = 1_500;
    expect(pure.claim()).toBe(null);
    expect([pure.status, dueAtMs(pure.session), openActions(pure.session.turn).map(({ id }) => id)]).toEqual(['requires_action', 1_800, ['act_3_1']]);
    pure.nowMs = 5_000;
    pure.claim();
    expect(outcomes(pure)).toEqual(['expired expired', 'expired expired']);
    expect(pure.work).toMatchObject({ kind: 'generate' });
  });

  it('expires while its sibling runs: when that has ended, if not before', () => {
    const pure = called([callPart(0, 'look'), clientTool(1, { expiresAfterMs: 500 })]);
    expect(dueAtMs(pure.session)).toBe(null);
    pure.nowMs = 1_500;
    pure.results();
    expect(outcomes(pure)).toEqual(['done', 'expired expired']);
  });

  it('waits a moment longer than the clock allows nothing: one millisecond before, it is waited for', () => {
    const pure = called([callPart(0, 'look'), clientTool(1, { expiresAfterMs: 500 })]);
    pure.nowMs = 1_499;
    pure.results();
    expect([pure.status, pure.entries('tool-results')]).toEqual(['requires_action', []]);
  });
});

describe('a sibling\'s outcome', () => {
  const paid: CallResult = { index: 0, toolCallId: 'call_0', toolName: 'pay', outcome: 'done', output: 'paid' };

  it('is kept while others are waited for, and is the same in the results', () => {
    const pure = called([callPart(0, 'pay'), approval(1)]);
    pure.settleResults([paid]);
    expect([pure.status, pure.storedOutcomes()]).toEqual(['requires_action', [paid]]);
    pure.answer(1, { type: 'approve' });
    pure.claim('wrk_b');
    expect(pure.work).toMatchObject({ run: [{ index: 1 }] });
    pure.results();
    expect(pure.last('tool-results')?.results[0]).toEqual(paid);
    expect(pure.outcomes).toEqual([]);
  });

  it('stored early survives the death of the batch, and the approval of another is not lost with it', () => {
    const pure = called([callPart(0, 'pay'), callPart(1, 'pay'), approval(2)]);
    pure.storeEarly(paid);
    pure.answer(2, { type: 'approve' });
    pure.takeOver();
    expect(pure.work).toMatchObject({ run: [{ index: 2 }] });
    pure.results();
    expect(pure.last('tool-results')?.results).toMatchObject([paid, { index: 1, outcome: 'unknown' }, { index: 2, outcome: 'done' }]);
  });

  it('of a call that may have run is decided once its worker is dead: the session then waits without being due', () => {
    const pure = called([callPart(0, 'pay'), callPart(1, 'pay'), approval(2)]);
    pure.storeEarly(paid);
    pure.takeOver();
    expect([pure.status, dueAtMs(pure.session), pure.session.claim]).toEqual(['requires_action', null, null]);
    expect(pure.storedOutcomes().map(({ index, outcome }) => [index, outcome])).toEqual([[0, 'done'], [1, 'unknown']]);
    pure.answer(2, { type: 'deny' });
    pure.claim();
    expect(outcomes(pure)).toEqual(['done', 'unknown interrupted', 'denied denied']);
  });

  it('that was not read with its session breaks an invariant, rather than to run the call again', () => {
    const pure = called([callPart(0, 'look'), approval(1)]);
    pure.results();
    expect(() => decide(pure.session, pure.rules, [], pure.nowMs)).toThrow(InvariantError);
  });
});

describe('a call of a tool that lets a person decide, when its worker has died', () => {
  const crashed = () => {
    const pure = called([callPart(0, 'wire', { inputHash: 'hash' }), callPart(1, 'look')]);
    pure.takeOver();
    return pure;
  };

  it('is asked about while its siblings run', () => {
    const pure = crashed();
    expect(openActions(pure.session.turn)).toMatchObject([{ id: 'act_3_0', type: 'recovery', inputHash: 'hash', expiresAtMs: null, reason: expect.stringContaining('may have run') }]);
    expect(pure.work).toMatchObject({ run: [{ index: 1 }] });
    pure.results();
    expect([pure.status, dueAtMs(pure.session)]).toEqual(['requires_action', null]);
  });

  it('is asked of those whose role the tool names, though its call needed no approval', () => {
    const pure = called([callPart(0, 'wire', { inputHash: 'hash' })]);
    pure.rules = rulesWith({ tools: new Map([['wire', { recovery: 'ask', exclusive: false, stopAfter: false, actionRoles: ['treasurer'] }]]) });
    pure.takeOver();
    expect(openActions(pure.session.turn)).toMatchObject([{ type: 'recovery', roles: ['treasurer'] }]);
  });

  it('is asked about once, however often its session is claimed', () => {
    const pure = crashed();
    pure.takeOver();
    pure.handOver();
    pure.claim();
    expect(pure.entries('action-opened').length).toBe(1);
  });

  it('runs again when that is approved, and is asked about anew when it dies again', () => {
    const pure = crashed();
    pure.results();
    pure.answer(0, { type: 'approve' });
    pure.claim();
    expect(pure.work).toMatchObject({ run: [{ index: 0 }], probe: [] });
    expect(pure.session.turn?.lastStep?.openCalls[0]).toMatchObject({ dispatchedFence: pure.lease.fence });
    pure.takeOver();
    const ids = pure.entries('action-opened').map(({ actionId }) => actionId);
    expect([new Set(ids).size, pure.status]).toEqual([2, 'requires_action']);
    // The first one's answer decides nothing about the second.
    expect(pure.resolve([givenAnswer(ids[0] ?? '', { type: 'approve' })])).toMatchObject({ actions: [{ resolution: 'approved' }] });
    expect(pure.status).toBe('requires_action');
    pure.answer(0, { type: 'deny' });
    pure.claim();
    expect(outcomes(pure)).toEqual(['unknown interrupted', 'done']);
  });

  it('may have run whatever becomes of it after the approval: stopped before it began again, or its tool gone', () => {
    const stopped = crashed();
    stopped.results();
    stopped.answer(0, { type: 'approve' });
    stopped.stop();
    expect(stopped.last('tool-results')?.results[0]).toMatchObject({ outcome: 'stopped', mayHaveRun: true });
    const gone = crashed();
    gone.results();
    gone.answer(0, { type: 'approve' });
    gone.rules = rulesWith({ tools: new Map() });
    gone.claim();
    expect(outcomes(gone)).toEqual(['unknown interrupted', 'done']);
  });

  it('approved and handed over before it began runs without being asked about again', () => {
    const pure = crashed();
    pure.results();
    pure.answer(0, { type: 'approve' });
    pure.claim();
    pure.handOver({ notBegun: [0] });
    pure.claim('wrk_c');
    expect([pure.work, pure.entries('action-opened').length]).toMatchObject([{ run: [{ index: 0 }] }, 1]);
  });

  it('is stopped as one that may have run while somebody is asked', () => {
    const pure = crashed();
    pure.stop();
    expect(pure.entries('action-resolved')).toMatchObject([{ resolution: 'withdrawn' }]);
    expect(pure.last('tool-results')?.results).toMatchObject([{ outcome: 'stopped', mayHaveRun: true }, { outcome: 'stopped' }]);
  });
});

describe('a call of a tool that finds out itself, when its worker has died', () => {
  const crashed = (parallelCalls = 8) => {
    const pure = called([callPart(0, 'trace'), callPart(1, 'trace')], rulesWith({ parallelCalls }));
    pure.takeOver();
    return pure;
  };

  it('is probed before it runs', () => {
    const pure = crashed();
    expect(pure.work).toMatchObject({ kind: 'run-calls', run: [{ index: 0 }, { index: 1 }], probe: [0, 1] });
    pure.results();
    expect(outcomes(pure)).toEqual(['done', 'done']);
  });

  it('is not probed if it had not been dispatched', () => {
    const pure = called([callPart(0, 'trace'), callPart(1, 'trace')], rulesWith({ parallelCalls: 1 }));
    pure.takeOver();
    expect(pure.work).toMatchObject({ run: [{ index: 0 }, { index: 1 }], probe: [0] });
  });

  it.each([1, 8])('is probed by the next worker too when it was handed over before its probe began (%i side by side)', (parallelCalls) => {
    const pure = called([callPart(0, 'trace'), callPart(1, 'trace')]);
    pure.rules = rulesWith({ parallelCalls });
    pure.takeOver();
    pure.handOver({ notBegun: [0, 1] });
    pure.claim('wrk_c');
    expect(pure.work).toMatchObject({ run: [{ index: 0 }, { index: 1 }], probe: [0, 1] });
    pure.stop();
    expect(pure.last('tool-results')?.results).toMatchObject([{ mayHaveRun: true }, { mayHaveRun: true }]);
  });

  it('is probed again when that worker dies too', () => {
    const pure = crashed();
    pure.takeOver();
    expect(pure.work).toMatchObject({ probe: [0, 1] });
  });
});

describe('a tool that changes while a call waits', () => {
  it('is gone: the approved call ends as tool_changed and never runs', () => {
    const pure = called([approval(0), approval(1, 'look')]);
    pure.rules = rulesWith({ tools: new Map([...rulesWith().tools].filter(([name]) => name !== 'pay')) });
    pure.resolve([givenAnswer('act_3_0', { type: 'approve' }), givenAnswer('act_3_1', { type: 'approve' })]);
    pure.claim();
    expect(pure.work).toMatchObject({ run: [{ index: 1 }] });
    pure.results();
    expect(outcomes(pure)).toEqual(['failed tool_changed', 'done']);
  });

  it('is gone before its operation is started', () => {
    const pure = called([callPart(0, 'pay', { needs: { type: 'approval' }, operation: { mode: 'await' } })]);
    pure.rules = rulesWith({ tools: new Map() });
    pure.answer(0, { type: 'approve' });
    pure.claim();
    expect([outcomes(pure), pure.operations.size]).toEqual([['failed tool_changed'], 0]);
  });

  it('that a client runs is the client\'s own', () => {
    const pure = called([clientTool(0)]);
    pure.rules = rulesWith({ tools: new Map() });
    pure.answer(0, { type: 'result', output: 1 });
    pure.claim();
    expect(outcomes(pure)).toEqual(['done']);
  });
});

describe('an exclusive tool', () => {
  it('among others: nothing is asked, started or run', () => {
    const pure = called([approval(0), clientTool(1), callPart(2, 'alone'), callPart(3, 'look', { operation: { mode: 'detach' } }), callPart(4, 'fly', { problem: 'no' })]);
    expect([pure.entries('action-opened'), pure.operations.size]).toEqual([[], 0]);
    expect(outcomes(pure)).toEqual(Array.from({ length: 5 }, () => 'failed exclusive_tool'));
    expect(pure.work).toMatchObject({ kind: 'generate' });
  });

  it('on its own is asked about like any other', () => {
    const pure = called([approval(0, 'alone')]);
    expect(pure.status).toBe('requires_action');
    pure.answer(0, { type: 'approve' });
    pure.claim();
    expect(pure.work).toMatchObject({ run: [{ index: 0 }] });
  });

  it('that has become so while its siblings wait runs all the same: they were asked already', () => {
    const pure = called([approval(0), approval(1, 'look')]);
    pure.rules = rulesWith({ tools: new Map([...rulesWith().tools, ['pay', { recovery: 'report', exclusive: true, stopAfter: false }]]) });
    pure.resolve([givenAnswer('act_3_0', { type: 'approve' }), givenAnswer('act_3_1', { type: 'deny' })]);
    pure.claim();
    expect(pure.work).toMatchObject({ run: [{ index: 0 }] });
  });
});

describe('a call that the agent\'s own rules deny', () => {
  it('asks nobody, runs nothing, and the model is told why', () => {
    const pure = called([callPart(0, 'pay', { denied: { code: 'headless', reason: 'nobody is there to ask' } }), callPart(1, 'look')]);
    expect(pure.work).toMatchObject({ run: [{ index: 1 }] });
    pure.results();
    expect(pure.last('tool-results')?.results).toMatchObject([{ outcome: 'denied', code: 'headless', errorText: expect.stringContaining('nobody is there to ask') }, { outcome: 'done' }]);
    expect(pure.entries('action-opened')).toEqual([]);
  });
});

describe('a result from outside', () => {
  it('of a tool that ends the turn ends it, wherever it came from', () => {
    const answered = called([callPart(0, 'finish', { needs: { type: 'client-tool' } })]);
    answered.answer(0, { type: 'result', output: 1 });
    answered.claim();
    expect(answered.last('turn-ended')).toMatchObject({ reason: 'stop_after_tool' });
    const waited = called([callPart(0, 'finish', { operation: { mode: 'await' } })]);
    endOperation(waited, operationOf(waited, 0));
    waited.claim();
    expect(waited.last('turn-ended')).toMatchObject({ reason: 'stop_after_tool' });
    const denied = called([callPart(0, 'finish', { needs: { type: 'approval' } })]);
    denied.answer(0, { type: 'deny' });
    denied.claim();
    expect(denied.work).toMatchObject({ kind: 'generate' });
  });
});

describe('a stop while calls wait', () => {
  it('withdraws what is asked, cancels what is awaited, keeps what has come, and lets detached operations go on', () => {
    const pure = called([approval(0), callPart(1, 'look', { operation: { mode: 'await' } }), callPart(2, 'look', { operation: { mode: 'detach' } }), clientTool(3)]);
    pure.answer(3, { type: 'result', output: 'home' });
    const commits = pure.history.length;
    pure.stop();
    expect(pure.history.length - commits).toBe(1);
    expect(outcomes(pure)).toEqual(['stopped', 'stopped', 'done', 'done']);
    expect(pure.last('tool-results')?.results.map(({ mayHaveRun }) => mayHaveRun)).toEqual([undefined, true, undefined, undefined]);
    expect([pure.operation(operationOf(pure, 1)), pure.operation(operationOf(pure, 2))]).toMatchObject([{ status: 'cancelled', worker: null }, { status: 'queued' }]);
    expect([pure.session.operations.map(({ index }) => index), pure.status]).toEqual([[2], 'idle']);
    expect(pure.last('operation-ended')).toMatchObject({ status: 'cancelled', operationId: operationOf(pure, 1) });
  });

  it('that keeps operations lets an awaited one go on: its result is kept, and nobody waits for it', () => {
    const pure = called([callPart(0, 'look', { operation: { mode: 'await' } })]);
    pure.stop({ keepOperations: true });
    const id = operationOf(pure, 0);
    expect([pure.status, pure.operation(id).status, pure.session.operations.length]).toEqual(['idle', 'queued', 1]);
    endOperation(pure, id);
    expect([pure.status, pure.session.operations, pure.session.deliveries]).toEqual(['idle', [], []]);
    expect(pure.last('operation-ended')).toMatchObject({ status: 'succeeded', result: { outcome: 'done', output: 'operation 0' } });
    expect(pure.operation(id)).toMatchObject({ status: 'succeeded', result: { output: 'operation 0' } });
  });
});

describe('a turn that is parked while calls wait', () => {
  it('leaves each call with an outcome, each action resolved, and no operation that is awaited', () => {
    const pure = called([approval(0), callPart(1, 'look', { operation: { mode: 'await' } }), callPart(2, 'look'), callPart(3, 'wire')]);
    for (let crash = 1; crash <= 5; crash += 1) pure.takeOver();
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'failed', error: { code: 'poisoned' } });
    expect(outcomes(pure)).toEqual(['stopped', 'unknown interrupted', 'unknown interrupted', 'unknown interrupted']);
    expect(pure.entries('action-resolved').map(({ actionId, resolution }) => [actionId, resolution])).toEqual([['act_3_0', 'withdrawn'], ['act_3_3', 'withdrawn']]);
    expect(pure.operation(operationOf(pure, 1)).status).toBe('cancelled');
  });
});
