import { describe, expect, it } from 'vitest';
import { acceptTransition } from '../../src/core/accept/transition.ts';
import { acceptSend } from '../../src/core/accept/send.ts';
import { claim, needsSolo } from '../../src/core/claim.ts';
import type { CallResult } from '../../src/core/entry.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { beginLabels } from '../../src/core/labels.ts';
import { callPart, liveText, PureSession, rulesWith, textPart } from '../support/pure-session.ts';

const paid: CallResult = { index: 0, toolCallId: 'call_0', toolName: 'pay', outcome: 'done', output: 'paid' };

function generating(): PureSession {
  const pure = new PureSession({ text: 'hello' });
  pure.claim();
  return pure;
}

describe('a claim', () => {
  it('raises the fence and begins the next thing to be done', () => {
    const pure = new PureSession({ text: 'hello' });
    const { fence } = pure.session;
    expect(pure.claim()).toBe(null);
    expect([pure.session.fence, pure.lease.fence]).toEqual([fence + 1, fence + 1]);
    expect(pure.session.claim).toEqual({ worker: 'wrk_a', claimedAtMs: 1_000, solo: false });
    expect(pure.work).toMatchObject({ kind: 'generate', attempt: { id: pure.session.turn?.attempt?.id, number: 1, startedAtMs: 1_000 } });
  });

  it('is refused while somebody live has the session, when there is nothing to do, and before a retry is due', () => {
    expect(new PureSession().claim()).toMatchObject({ refused: 'not_claimable' });
    const taken = generating();
    const { session } = taken;
    expect(taken.claim('wrk_b')).toMatchObject({ refused: 'not_claimable' });
    expect(taken.session).toBe(session);
    const waiting = generating();
    waiting.failed();
    expect(waiting.claim('wrk_b')).toMatchObject({ refused: 'not_claimable' });
  });

  it('takes over from a dead worker even while a retry would wait, whatever the clock says', () => {
    const pure = generating();
    pure.nowMs = 0;
    expect(pure.takeOver()).toBe(null);
    expect(pure.session.claim?.worker).toBe('wrk_b');
    expect(pure.session.updatedAtMs).toBe(1_000);
  });

  it('is part of the command\'s own commit where a worker offers its place', () => {
    const pure = new PureSession();
    const slot = { worker: 'wrk_a', rulesOf: () => pure.rules };
    const commits = pure.history.length;
    const accepted = pure.must(acceptTransition(acceptSend({ message: pure.message('hi'), whenBusy: 'queue' }), pure.circumstances, { slot }));
    expect(pure.history.length - commits).toBe(1);
    expect(accepted.claimed).toMatchObject({ fence: pure.session.fence, work: { kind: 'generate' } });
    expect(pure.status).toBe('running');
  });

  it('is not part of the command\'s commit for an agent that the worker does not know, after a crash, and while a retry waits', () => {
    const slot = (pure: PureSession, known = true) => ({ worker: 'wrk_a', rulesOf: () => (known ? pure.rules : undefined) });
    const send = (pure: PureSession, known?: boolean) => pure.must(acceptTransition(acceptSend({ message: pure.message('hi'), whenBusy: 'queue' }), pure.circumstances, { slot: slot(pure, known) }));
    expect(send(new PureSession(), false).claimed).toBe(null);
    const crashed = generating();
    crashed.takeOver();
    crashed.abandon();
    expect(send(crashed).claimed).toBe(null);
    const waiting = generating();
    waiting.failed();
    expect(send(waiting).claimed).toBe(null);
  });
});

describe('what died with a worker', () => {
  it('as a generation is recorded as lost, its usage unknown, its output retracted, and is tried again', () => {
    const pure = generating();
    pure.show(liveText(0, 'half'));
    pure.nowMs = 9_000;
    pure.takeOver();
    expect(pure.last('attempt-lost')).toMatchObject({ attempt: { id: 'att_0003', number: 1, usage: null }, atMs: 9_000 });
    expect(pure.chunks).toEqual([]);
    expect(pure.work).toMatchObject({ kind: 'generate', attempt: { number: 2 } });
    expect(pure.session.usage).toMatchObject({ attempts: 1, inputTokens: 0 });
  });

  it('as calls is judged by each tool\'s recovery', () => {
    const pure = generating();
    pure.generated([callPart(0, 'pay'), callPart(1, 'look'), callPart(2, 'book')]);
    pure.takeOver();
    expect(pure.work).toMatchObject({ kind: 'run-calls', run: [{ index: 1 }, { index: 2 }], probe: [] });
    expect(pure.session.turn?.lastStep?.openCalls.map(({ dispatchedFence }) => dispatchedFence)).toEqual([pure.lease.fence - 1, undefined, pure.lease.fence]);
    pure.results();
    expect(pure.last('tool-results')?.results.map(({ outcome, code }) => [outcome, code])).toEqual([['unknown', 'interrupted'], ['done', undefined], ['done', undefined]]);
  });

  it('is answered in the claim\'s own commit where nothing is left to run', () => {
    const pure = generating();
    pure.generated([callPart(0, 'pay')]);
    pure.takeOver();
    expect(pure.last('tool-results')).toMatchObject({ results: [{ outcome: 'unknown' }] });
    expect(pure.work).toMatchObject({ kind: 'generate' });
  });

  it('is not run again where an outcome was stored before', () => {
    const pure = generating();
    pure.generated([callPart(0, 'pay'), callPart(1, 'book')]);
    pure.outcomes = [{ stepSeq: 3, result: paid }];
    pure.takeOver();
    expect(pure.work).toMatchObject({ kind: 'run-calls', run: [{ index: 1 }] });
    pure.results();
    expect(pure.last('tool-results')?.results).toMatchObject([paid, { index: 1, outcome: 'done' }]);
  });

  it('is run when it never began', () => {
    const pure = new PureSession({ text: 'hello' }, rulesWith({ parallelCalls: 1 }));
    pure.claim();
    pure.generated([callPart(0, 'pay'), callPart(1, 'pay')]);
    pure.takeOver();
    expect(pure.work).toMatchObject({ run: [{ index: 1 }] });
    pure.results();
    expect(pure.last('tool-results')?.results).toMatchObject([{ index: 0, outcome: 'unknown' }, { index: 1, outcome: 'done' }]);
  });
});

describe('a session whose workers die', () => {
  it('is taken alone from the second crash in a row on', () => {
    const pure = generating();
    expect(pure.takeOver('wrk_b', { solo: false })).toBe(null);
    expect([pure.session.crashes, pure.session.claim?.solo]).toEqual([1, false]);
    expect(pure.takeOver('wrk_c', { solo: false })).toMatchObject({ refused: 'not_claimable', details: { solo: true } });
    expect(pure.takeOver('wrk_c')).toBe(null);
    expect([pure.session.crashes, pure.session.claim?.solo]).toEqual([2, true]);
  });

  it('is parked as poisoned after three crashes alone, its open calls answered, and nothing of it runs', () => {
    const pure = generating();
    pure.generated([callPart(0, 'look'), callPart(1, 'pay')]);
    pure.outcomes = [{ stepSeq: 3, result: { ...paid, index: 1 } }];
    for (let crash = 1; crash <= 4; crash += 1) expect(pure.takeOver()).toBe(null);
    expect([pure.session.crashes, pure.status]).toEqual([4, 'running']);
    pure.takeOver();
    expect(pure.last('tool-results')?.results.map(({ index, outcome }) => [index, outcome])).toEqual([[0, 'unknown'], [1, 'done']]);
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'failed', error: { code: 'poisoned', retryable: false } });
    expect([pure.status, pure.work, pure.session.claim, pure.session.crashes]).toEqual(['failed', null, null, 0]);
    pure.send('try again');
    expect(pure.claim('wrk_z', { solo: false })).toBe(null);
  });

  it('is parked in a generation too', () => {
    const pure = generating();
    for (let crash = 1; crash <= 5; crash += 1) pure.takeOver();
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'failed', error: { code: 'poisoned' } });
    expect(pure.entries('attempt-lost').length).toBe(5);
  });

  it('is forgiven by any commit of its work', () => {
    const pure = generating();
    pure.takeOver();
    pure.takeOver();
    expect(needsSolo(pure.session, false)).toBe(true);
    pure.generated([callPart(0, 'look')]);
    expect([pure.session.crashes, needsSolo(pure.session, true)]).toEqual([0, false]);
    pure.takeOver('wrk_x', { solo: false });
    pure.results();
    expect(pure.session.crashes).toBe(0);
  });

  it('is forgiven by a stop', () => {
    const pure = generating();
    pure.takeOver();
    pure.takeOver();
    pure.stop();
    expect(pure.session.crashes).toBe(0);
  });

  it('is counted the same when its worker gave it up', () => {
    const pure = generating();
    for (let time = 1; time <= 5; time += 1) {
      pure.abandon();
      expect(pure.session.crashes).toBe(time);
      expect(pure.claim('wrk_b', { solo: time >= 2 })).toBe(null);
    }
    expect(pure.last('turn-ended')).toMatchObject({ error: { code: 'poisoned' } });
  });
});

describe('the end of retention', () => {
  it('records labels that are being made just then as lost', () => {
    const pure = new PureSession({ text: 'hello' }, rulesWith({ deleteAfterRestMs: 10_000, labels: ['title'] }));
    pure.claim();
    pure.generated([textPart('hi')]);
    const turnId = pure.session.lastTurn?.id ?? '';
    pure.apply(beginLabels({ turnId, labels: ['title'], makes: () => new Map([['title', 'model']]), leaseMs: 60_000 }, pure.circumstances));
    const change = claim({ worker: 'wrk_a', solo: true, isDead: () => false }, pure.rules, { ...pure.circumstances, nowMs: 20_000 })({ session: pure.session, chunks: [], outcomes: [] });
    expect(change).toMatchObject({ deletesSession: true, entries: [{ kind: 'label-failed', turnId, error: { code: 'lost' }, attempt: { id: pure.session.labelling?.attempts[0]?.id, usage: null } }] });
  });
});

describe('the end by inactivity', () => {
  const rules = rulesWith({ endAfterInactivityMs: 10_000 });

  it('comes at its time after the last turn, by a claim', () => {
    const pure = new PureSession({ text: 'hello' }, rules);
    pure.claim();
    pure.nowMs = 5_000;
    pure.generated([textPart('hi')]);
    expect(pure.session.endsAtMs).toBe(15_000);
    pure.nowMs = 14_999;
    expect(pure.claim()).toMatchObject({ refused: 'not_claimable' });
    pure.nowMs = 15_000;
    expect(pure.claim()).toBe(null);
    expect([pure.status, pure.work, pure.last('session-ended')?.reason]).toEqual(['ended', null, 'inactivity']);
    expect(pure.claim()).toMatchObject({ refused: 'not_claimable' });
  });

  it('loses against activity that arrives first, and counts anew from the next rest', () => {
    const pure = new PureSession({}, rules);
    expect(pure.session.endsAtMs).toBe(11_000);
    pure.nowMs = 10_999;
    pure.send('still here');
    expect(pure.session.endsAtMs).toBe(null);
    pure.nowMs = 20_000;
    pure.stop();
    expect(pure.session.endsAtMs).toBe(30_000);
  });

  it('takes waiting messages out of the queue', () => {
    const pure = new PureSession({ text: 'hello' }, rules);
    pure.claim();
    pure.send('waits');
    pure.stop({ holdQueue: true });
    expect([pure.status, pure.session.queue.length]).toEqual(['idle', 1]);
    pure.untilDue();
    pure.claim();
    expect([pure.status, pure.session.queue, pure.last('message-unqueued')?.reason]).toEqual(['ended', [], 'session-ended']);
  });

  it('never comes where the agent has none', () => {
    const pure = new PureSession({ text: 'hello' });
    pure.claim();
    pure.generated([textPart('hi')]);
    expect([pure.session.endsAtMs, isRefusal(pure.claim())]).toEqual([null, true]);
  });
});
