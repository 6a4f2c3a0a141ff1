import { describe, expect, it } from 'vitest';
import { acceptEnd, deleteTransition } from '../../src/core/accept/end.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { callPart, liveText, PureSession, rulesWith, textPart } from '../support/pure-session.ts';

function running(): PureSession {
  const pure = new PureSession({ text: 'first' });
  pure.claim();
  return pure;
}

describe('a stop', () => {
  it('ends the turn in its own commit, and keeps what was shown as a stopped step', () => {
    const pure = running();
    pure.show(liveText(0, 'half '), liveText(5, 'an ans'), { part: 1, type: 'tool-input', offset: 0, text: '{"am', toolName: 'pay', toolCallId: 'c1' });
    const commits = pure.history.length;
    const attemptId = pure.attempt().id;
    pure.nowMs = 1_400;
    expect(pure.stop()).toEqual({ stopped: true, turnId: pure.last('turn-ended')?.turnId, revision: pure.session.revision });
    expect(pure.history.length - commits).toBe(1);
    expect(pure.last('assistant-step')).toMatchObject({
      stopped: true, finishReason: 'interrupted', attempt: { id: attemptId, durationMs: 400, usage: null },
      parts: [{ type: 'text', text: 'half an ans' }, { type: 'partial-call', toolName: 'pay', inputText: '{"am' }],
    });
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'stopped' });
    expect([pure.status, pure.chunks, pure.session.claim]).toEqual(['idle', [], null]);
  });

  it('records an attempt that had shown nothing', () => {
    const pure = running();
    pure.stop();
    expect(pure.log.slice(-2).map(({ kind }) => kind)).toEqual(['attempt-stopped', 'turn-ended']);
    expect(pure.session.usage.attempts).toBe(1);
  });

  it('answers open calls: those that had begun may have run, unless running them twice is harmless', () => {
    const pure = new PureSession({ text: 'first' }, rulesWith({ parallelCalls: 2 }));
    pure.claim();
    pure.generated([callPart(0, 'pay'), callPart(1, 'look'), callPart(2, 'pay')]);
    pure.stop();
    expect(pure.last('tool-results')?.results.map(({ index, outcome, mayHaveRun }) => [index, outcome, mayHaveRun])).toEqual([[0, 'stopped', true], [1, 'stopped', undefined], [2, 'stopped', undefined]]);
    expect(pure.last('turn-ended')).toMatchObject({ reason: 'stopped' });
  });

  it('keeps the outcomes that calls had already, and stops only the others', () => {
    const pure = running();
    pure.generated([callPart(0, 'pay'), callPart(1, 'pay')]);
    pure.outcomes = [{ stepSeq: 3, result: { index: 1, toolCallId: 'call_1', toolName: 'pay', outcome: 'done', output: 'paid' } }];
    pure.stop();
    expect(pure.last('tool-results')?.results).toMatchObject([{ index: 0, outcome: 'stopped', mayHaveRun: true }, { index: 1, outcome: 'done', output: 'paid' }]);
    expect(pure.outcomes).toEqual([]);
  });

  it('starts the next message of the queue, unless the queue is to be held', () => {
    const going = running();
    going.send('next');
    going.stop();
    expect([going.status, going.last('user-message')?.parts]).toEqual(['ready', [{ type: 'text', text: 'next' }]]);
    const held = running();
    held.send('next');
    held.stop({ holdQueue: true });
    expect([held.status, held.session.queueHeld, held.session.queue.length]).toEqual(['idle', true, 1]);
  });

  it('is harmless when there is nothing to stop, and when it is repeated', () => {
    const pure = running();
    pure.stop();
    const { session } = pure;
    expect(pure.stop()).toEqual({ stopped: false, turnId: null, revision: session.revision });
    expect(pure.session).toBe(session);
    expect(new PureSession().stop()).toMatchObject({ stopped: false });
  });

  it('of a turn that is over does not touch the turn that runs now', () => {
    const pure = running();
    const first = pure.session.turn?.id ?? '';
    pure.send('next');
    pure.generated([textPart('ok')]);
    const { session } = pure;
    expect(pure.stop({ turnId: first })).toMatchObject({ stopped: false, turnId: null });
    expect(pure.session).toBe(session);
  });

  it('of a waiting turn takes its message out of the queue, and the running turn goes on', () => {
    const pure = running();
    const queued = pure.send('next');
    const turnId = isRefusal(queued) ? '' : queued.turnId;
    const { fence, turn } = pure.session;
    expect(pure.stop({ turnId })).toMatchObject({ stopped: true, turnId });
    expect([pure.session.queue, pure.session.fence, pure.session.turn, pure.last('message-unqueued')?.reason]).toEqual([[], fence, turn, 'deleted']);
  });

  it('ends a turn that waits for a retry', () => {
    const pure = running();
    pure.failed();
    expect(pure.stop()).toMatchObject({ stopped: true });
    expect([pure.status, pure.last('turn-ended')?.reason]).toEqual(['idle', 'stopped']);
  });

  it('ends a turn whose worker is dead, before anybody noticed', () => {
    const pure = running();
    pure.generated([callPart(0, 'pay')]);
    pure.stop();
    expect(pure.takeOver()).toMatchObject({ refused: 'not_claimable' });
  });

  it('is never overtaken: nothing of the turn lands after it', () => {
    const pure = running();
    const attempt = pure.attempt();
    pure.stop();
    const { length } = pure.log;
    expect(pure.settle({ kind: 'generated', attempt, parts: [textPart('late')], finishReason: 'stop', warnings: [] })).toMatchObject({ refused: 'fence_lost' });
    expect(pure.log.length).toBe(length);
  });
});

describe('the end', () => {
  it('closes a session at rest for good; repeating it is harmless', () => {
    const pure = new PureSession();
    expect(pure.command(acceptEnd({}))).toEqual({ revision: 2, status: 'ended' });
    const { session } = pure;
    expect(pure.command(acceptEnd({}))).toEqual({ revision: 2, status: 'ended' });
    expect([pure.session, pure.status]).toEqual([session, 'ended']);
    expect(pure.send('hello?')).toMatchObject({ refused: 'session_ended', details: { status: 'ended' } });
  });

  it('is refused while a turn runs, unless the turn is to be stopped', () => {
    const pure = running();
    pure.send('next');
    const { session } = pure;
    expect(pure.command(acceptEnd({}))).toMatchObject({ refused: 'session_busy', details: { status: 'running' } });
    expect(pure.session).toBe(session);
    pure.command(acceptEnd({ stop: true }));
    expect(pure.log.slice(-4).map(({ kind }) => kind)).toEqual(['attempt-stopped', 'turn-ended', 'message-unqueued', 'session-ended']);
    expect([pure.status, pure.session.queue, pure.session.claim]).toEqual(['ended', [], null]);
  });

  it('raises the fence, as deleting does', () => {
    const ended = new PureSession();
    const { fence } = ended.session;
    ended.command(acceptEnd({}));
    expect(ended.session.fence).toBeGreaterThan(fence);
    const change = deleteTransition(5_000)({ session: running().session, chunks: [], outcomes: [] });
    expect(isRefusal(change) ? change : [change.deletesSession, change.session.fence, change.session.claim, change.entries.map(({ kind }) => kind)]).toEqual([true, 2, null, ['attempt-stopped']]);
  });
});
