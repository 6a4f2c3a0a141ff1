import { describe, expect, it } from 'vitest';
import { isRefusal } from '../../src/core/errors.ts';
import { limits } from '../../src/core/limits.ts';
import { dispatchCalls } from '../../src/core/settle.ts';
import { callPart, liveText, PureSession, rulesWith, textPart } from '../support/pure-session.ts';

/** A session whose first generation has begun. */
function generating(rules = rulesWith()): PureSession {
  const pure = new PureSession({ text: 'hello' }, rules);
  pure.claim();
  return pure;
}

describe('a generation that is settled', () => {
  it('is a step, and its turn\'s end when it made no calls, in one commit', () => {
    const pure = generating();
    const commits = pure.history.length;
    pure.generated([textPart('hi')]);
    expect(pure.history.length - commits).toBe(1);
    expect(pure.log.map(({ kind }) => kind)).toEqual(['session-created', 'user-message', 'assistant-step', 'turn-ended']);
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'complete' });
    expect([pure.status, pure.session.claim, pure.work]).toEqual(['idle', null, null]);
    expect(pure.session.usage).toMatchObject({ attempts: 1, inputTokens: 3, outputTokens: 2 });
  });

  it('without any part ends its turn too', () => {
    const pure = generating();
    pure.generated([]);
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'complete' });
    expect(pure.last('assistant-step')).toMatchObject({ parts: [] });
  });

  it('with calls names them as begun in the same commit, but those that may run twice', () => {
    const pure = generating();
    pure.generated([callPart(0, 'pay'), callPart(1, 'look'), callPart(2, 'book')]);
    expect(pure.session.turn?.lastStep?.openCalls.map(({ dispatchedFence }) => dispatchedFence)).toEqual([pure.lease.fence, undefined, pure.lease.fence]);
    expect(pure.work).toMatchObject({ kind: 'run-calls', stepSeq: 3, run: [{ index: 0 }, { index: 1 }, { index: 2 }], probe: [] });
  });

  it('begins as many calls as run side by side; each further one is begun by a commit of its own', () => {
    const pure = generating(rulesWith({ parallelCalls: 2 }));
    pure.generated([callPart(0, 'pay'), callPart(1, 'pay'), callPart(2, 'pay')]);
    const dispatched = () => pure.session.turn?.lastStep?.openCalls.map(({ dispatchedFence }) => dispatchedFence !== undefined);
    expect(dispatched()).toEqual([true, true, false]);
    pure.must(dispatchCalls(pure.lease, [2], pure.rules, pure.nowMs));
    expect(dispatched()).toEqual([true, true, true]);
    pure.stop();
    expect(pure.apply(dispatchCalls(pure.lease, [2], pure.rules, pure.nowMs))).toMatchObject({ refused: 'fence_lost' });
  });

  it('answers calls that cannot run and goes on generating, in the same commit', () => {
    const pure = generating();
    pure.generated([callPart(0, 'fly', { problem: 'there is no tool fly' })]);
    expect(pure.log.slice(2).map(({ kind }) => kind)).toEqual(['assistant-step', 'tool-results']);
    expect(pure.work).toMatchObject({ kind: 'generate', attempt: { number: 1 } });
  });

  it('starts the next waiting message in the commit that ends the turn, and goes on with it', () => {
    const pure = generating();
    pure.send('next');
    const commits = pure.history.length;
    pure.generated([textPart('hi')]);
    expect(pure.history.length - commits).toBe(1);
    expect(pure.log.slice(-3).map(({ kind }) => kind)).toEqual(['assistant-step', 'turn-ended', 'user-message']);
    expect(pure.last('user-message')).toMatchObject({ parts: [{ type: 'text', text: 'next' }] });
    expect([pure.status, pure.work?.kind, pure.session.queue]).toEqual(['running', 'generate', []]);
  });

  it('refused by the provider\'s content filter fails the turn', () => {
    const pure = generating();
    pure.generated([textPart('I')], 'content-filter');
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'failed', error: { code: 'content_refused' } });
    expect(pure.status).toBe('failed');
  });

  it('keeps warnings, and takes the live output away', () => {
    const pure = generating();
    pure.show(liveText(0, 'hi'));
    pure.settle({ kind: 'generated', attempt: pure.attempt(), parts: [textPart('hi')], finishReason: 'stop', warnings: ['unsupported: seed'] });
    expect(pure.last('assistant-step')).toMatchObject({ warnings: ['unsupported: seed'] });
    expect(pure.chunks).toEqual([]);
  });
});

describe('a generation that lost its fence', () => {
  it.each<[string, (pure: PureSession) => unknown]>([
    ['by a stop', (pure) => pure.stop()],
    ['by a takeover', (pure) => {
      const { lease } = pure;
      pure.takeOver();
      pure.lease = lease;
    }],
    ['by a message that interrupts', (pure) => pure.send('now', 'interrupt')],
    ['by a message that replaces', (pure) => pure.send('now', 'replace')],
    ['by being handed over', (pure) => pure.handOver()],
  ])('%s changes nothing', (_how, loseIt) => {
    const pure = generating();
    const attempt = pure.attempt();
    loseIt(pure);
    const { session, log } = pure;
    const before = log.length;
    for (const outcome of [
      { kind: 'generated', attempt, parts: [textPart('late')], finishReason: 'stop', warnings: [] },
      { kind: 'failed', attempt, error: { code: 'overloaded', message: 'busy', retryable: true }, retryAfterMs: 0 },
    ] as const) expect(pure.settle(outcome)).toMatchObject({ refused: 'fence_lost' });
    expect(pure.results()).toMatchObject({ refused: 'fence_lost' });
    expect([pure.session, log.length]).toEqual([session, before]);
  });

  it('is so although the same worker has the session again, even at the same step', () => {
    const pure = generating();
    pure.generated([callPart(0, 'look')]);
    const { lease } = pure;
    pure.abandon();
    pure.claim();
    expect(pure.session.claim?.worker).toBe(lease.worker);
    const { session, lease: now } = pure;
    pure.lease = lease;
    for (const refusal of [pure.results(), pure.handOver(), pure.abandon(), pure.apply(dispatchCalls(lease, [0], pure.rules, pure.nowMs))]) expect(refusal).toMatchObject({ refused: 'fence_lost' });
    expect(pure.session).toBe(session);
    pure.lease = now;
    expect(pure.results()).toBe(null);
  });

  it('is also one whose attempt is no longer the one in flight', () => {
    const pure = generating();
    const first = pure.attempt();
    pure.failed();
    pure.untilDue();
    pure.claim();
    expect(pure.settle({ kind: 'generated', attempt: first, parts: [textPart('late')], finishReason: 'stop', warnings: [] })).toMatchObject({ refused: 'fence_lost' });
  });

  it('is not one whose session only had a message queued meanwhile', () => {
    const pure = generating();
    const { revision } = pure.session;
    pure.send('queued meanwhile');
    expect(pure.session.revision).toBeGreaterThan(revision);
    expect(pure.generated([textPart('hi')])).toBe(null);
  });
});

describe('an attempt that failed', () => {
  it('is tried again after its delay, holding no worker meanwhile', () => {
    const pure = generating();
    pure.failed();
    expect(pure.last('attempt-failed')).toMatchObject({ attempt: { number: 1 }, retry: { delayMs: 500, atMs: 1_500 }, error: { code: 'overloaded' } });
    expect([pure.session.claim, pure.work, pure.status, pure.session.turn?.retry]).toMatchObject([null, null, 'ready', { attempt: 2, reason: 'overloaded', atMs: 1_500 }]);
    expect(pure.claim()).toMatchObject({ refused: 'not_claimable' });
    pure.nowMs = 1_500;
    expect(pure.claim()).toBe(null);
    expect(pure.work).toMatchObject({ kind: 'generate', attempt: { number: 2 } });
    expect(pure.session.turn?.retry).toBe(null);
  });

  it('waits as long as the provider asked for, if that is longer', () => {
    const pure = generating();
    pure.failed({}, 30_000);
    expect(pure.session.turn?.retry).toMatchObject({ delayMs: 30_000, atMs: 31_000 });
  });

  it('goes on at once when chance gives no delay', () => {
    const pure = generating();
    pure.random = 0;
    pure.failed();
    expect(pure.work).toMatchObject({ kind: 'generate', attempt: { number: 2 } });
    expect(pure.status).toBe('running');
  });

  it('fails the turn at once when trying again cannot help, and the queue waits', () => {
    const pure = generating();
    pure.send('next');
    pure.failed({ code: 'authentication', retryable: false });
    expect(pure.last('attempt-failed')?.retry).toBe(undefined);
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'failed', error: { code: 'authentication' } });
    expect([pure.status, pure.session.queue.length, pure.session.claim, pure.session.usage.attempts]).toEqual(['failed', 1, null, 1]);
  });

  it('fails the turn as the eighth of its step, with its own error', () => {
    const pure = generating();
    for (let attempt = 1; attempt <= limits.attemptsPerStepMax; attempt += 1) {
      expect(pure.attempt().number).toBe(attempt);
      pure.failed({ message: `failure ${attempt}` });
      pure.untilDue();
      if (pure.status === 'ready') pure.claim();
    }
    expect(pure.entries('attempt-failed').length).toBe(8);
    expect(pure.entries('attempt-failed').at(-1)?.retry).toBe(undefined);
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'failed', error: { code: 'overloaded', message: 'failure 8' } });
  });

  it('fails the turn as the twentieth of it, however many steps came between', () => {
    const pure = generating();
    let failures = 0;
    const goesOn = (): boolean => pure.session.turn !== null;
    while (goesOn()) {
      for (let attempt = 0; attempt < 7 && goesOn(); attempt += 1) {
        pure.failed();
        failures += 1;
        pure.untilDue();
        if (goesOn()) pure.claim();
      }
      if (!goesOn()) break;
      pure.generated([callPart(0, 'look')]);
      expect(pure.session.turn?.stepAttempts).toBe(0);
      pure.results();
    }
    expect(failures).toBe(limits.failedAttemptsPerTurnMax);
    expect(pure.entries('assistant-step').length).toBe(2);
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'failed' });
  });

  it('counts lost attempts too, so that a turn whose worker always dies in its first generation ends', () => {
    const pure = generating();
    for (let crash = 0; crash < 3; crash += 1) {
      pure.takeOver();
      expect(pure.last('attempt-lost')).toMatchObject({ attempt: { number: 2 * crash + 1, usage: null } });
      pure.failed(); // a commit, so that it is not parked as poisoned
      pure.untilDue();
      pure.claim();
    }
    expect([pure.session.turn?.stepAttempts, pure.session.turn?.failedAttempts, pure.attempt().number]).toEqual([6, 6, 7]);
    pure.failed();
    pure.untilDue();
    pure.claim();
    pure.takeOver();
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'failed', error: { code: 'attempts_spent' } });
    expect([pure.status, pure.work, pure.session.claim]).toEqual(['failed', null, null]);
  });

  it('takes its live output away', () => {
    const pure = generating();
    pure.show(liveText(0, 'half an ans'));
    pure.failed();
    expect(pure.chunks).toEqual([]);
  });
});

describe('results that are settled', () => {
  it('are one entry in call order, and the next generation begins in the same commit', () => {
    const pure = generating();
    pure.generated([callPart(0, 'pay'), callPart(1, 'look')]);
    const commits = pure.history.length;
    pure.results();
    expect(pure.history.length - commits).toBe(1);
    expect(pure.last('tool-results')).toMatchObject({ stepSeq: 3, results: [{ index: 0, outcome: 'done' }, { index: 1, outcome: 'done' }] });
    expect(pure.work).toMatchObject({ kind: 'generate' });
  });

  it('of a tool that stops the turn end it, if it succeeded', () => {
    const stopping = generating();
    stopping.generated([callPart(0, 'finish')]);
    stopping.results({ 0: { stopsTurn: true } });
    expect(stopping.last('turn-ended')).toMatchObject({ reason: 'stop_after_tool' });
    const failing = generating();
    failing.generated([callPart(0, 'finish')]);
    failing.results({ 0: { outcome: 'failed', errorText: 'no' } });
    expect(failing.work).toMatchObject({ kind: 'generate' });
  });

  it('at the agent\'s number of steps end the turn', () => {
    const pure = generating(rulesWith({ maxSteps: 2 }));
    pure.generated([callPart(0, 'look')]);
    pure.results();
    pure.generated([callPart(0, 'look')]);
    pure.results();
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'max_steps' });
  });

  it('of another step, or settled twice, change nothing', () => {
    const pure = generating();
    pure.generated([callPart(0, 'look')]);
    pure.results();
    expect(pure.results()).toMatchObject({ refused: 'fence_lost' });
  });

  it('of some of the calls are kept, and are no step before the last call has its own', () => {
    const pure = generating();
    pure.generated([callPart(0, 'pay'), callPart(1, 'pay')]);
    pure.settleResults([{ index: 1, toolCallId: 'call_1', toolName: 'pay', outcome: 'done', output: 'paid' }]);
    expect([pure.entries('tool-results'), pure.session.turn?.lastStep?.openCalls.map(({ ended }) => ended)]).toEqual([[], [undefined, true]]);
    expect(pure.work).toMatchObject({ kind: 'run-calls', run: [{ index: 0 }] });
    pure.results();
    expect(pure.last('tool-results')?.results).toMatchObject([{ index: 0, output: 'result 0' }, { index: 1, output: 'paid' }]);
  });

  it('count less than an outcome that is stored already: what has been kept stays as it is', () => {
    const pure = generating();
    pure.generated([callPart(0, 'pay'), callPart(1, 'pay')]);
    pure.storeEarly({ index: 0, toolCallId: 'call_0', toolName: 'pay', outcome: 'done', output: 'the first' });
    pure.results();
    expect(pure.last('tool-results')?.results).toMatchObject([{ output: 'the first' }, { output: 'result 1' }]);
  });

  it('of calls that are none of the step\'s are passed over', () => {
    const pure = generating();
    pure.generated([callPart(0, 'pay')]);
    pure.settleResults([{ index: 7, toolCallId: 'call_7', toolName: 'pay', outcome: 'done' }, { index: 0, toolCallId: 'call_0', toolName: 'pay', outcome: 'done' }]);
    expect(pure.last('tool-results')?.results.map(({ index }) => index)).toEqual([0]);
  });
});

describe('handing over', () => {
  it('before a generation began leaves no trace of it', () => {
    const pure = generating();
    expect(pure.handOver()).toBe(null);
    expect([pure.status, pure.session.turn?.attempt, pure.entries('attempt-lost'), pure.session.crashes]).toEqual(['ready', null, [], 0]);
    pure.claim('wrk_b');
    expect(pure.work).toMatchObject({ kind: 'generate', attempt: { number: 1 } });
  });

  it('in a generation records the attempt as lost, and retracts what it showed', () => {
    const pure = generating();
    pure.show(liveText(0, 'half'));
    pure.handOver({ lostAttempt: pure.attempt() });
    expect(pure.last('attempt-lost')).toMatchObject({ attempt: { number: 1 } });
    expect([pure.status, pure.chunks, pure.session.turn?.stepAttempts]).toEqual(['ready', [], 1]);
  });

  it('takes back the calls that did not begin; those that did are the next claimant\'s to judge', () => {
    const pure = generating();
    pure.generated([callPart(0, 'pay'), callPart(1, 'pay')]);
    pure.handOver({ notBegun: [1] });
    pure.claim('wrk_b');
    expect(pure.work).toMatchObject({ kind: 'run-calls', run: [{ index: 1 }] });
    pure.results();
    expect(pure.last('tool-results')?.results).toMatchObject([{ index: 0, outcome: 'unknown' }, { index: 1, outcome: 'done' }]);
  });

  it('is no crash, and abandoning is one', () => {
    const pure = generating();
    pure.takeOver();
    expect(pure.session.crashes).toBe(1);
    pure.handOver();
    expect(pure.session.crashes).toBe(0);
    pure.claim();
    pure.abandon();
    expect([pure.session.crashes, pure.status]).toEqual([1, 'ready']);
  });

  it('by who does not have it changes nothing', () => {
    const pure = generating();
    pure.stop();
    expect([isRefusal(pure.handOver()), isRefusal(pure.abandon())]).toEqual([true, true]);
  });
});
