import { describe, expect, it } from 'vitest';
import { acceptEnd } from '../../src/core/accept/end.ts';
import { acceptQueueDelete, acceptQueueEdit, acceptQueueHold, acceptQueuePromote } from '../../src/core/accept/queue.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { limits } from '../../src/core/limits.ts';
import { settleOperation } from '../../src/core/operation-transitions.ts';
import { callPart, PureSession, rulesWith, textPart } from '../support/pure-session.ts';

function running(rules = rulesWith()): PureSession {
  const pure = new PureSession({ text: 'first' }, rules);
  pure.claim();
  return pure;
}

/** The texts of the messages as the log has them, `+` before those that joined a turn. */
function said(pure: PureSession): readonly string[] {
  return pure.entries('user-message').map(({ parts, steered }) => `${steered === true ? '+' : ''}${parts[0]?.type === 'text' ? parts[0].text : ''}`);
}

function steer(pure: PureSession, text: string, messageId?: string): void {
  const reply = pure.send(text, 'steer', messageId === undefined ? {} : { messageId });
  if (isRefusal(reply)) throw new Error(reply.message);
}

describe('a message that steers', () => {
  it('joins the running turn before its next generation, after the results of its calls', () => {
    const pure = running();
    pure.generated([callPart(0, 'look')]);
    const turnId = pure.session.turn?.id ?? '';
    const reply = pure.send('rather the other one', 'steer', { messageId: 'm1', metadata: { from: 'phone' } });
    expect(reply).toMatchObject({ messageId: 'm1', queued: true, steers: { turnId } });
    expect(isRefusal(reply) ? '' : reply.turnId).not.toBe(turnId);
    expect([pure.session.queue, said(pure)]).toMatchObject([[{ messageId: 'm1', steer: true }], ['first']]);
    pure.results();
    expect(pure.log.slice(-2)).toMatchObject([{ kind: 'tool-results' }, { kind: 'user-message', messageId: 'm1', turnId, steered: true, metadata: { from: 'phone' }, parts: [{ text: 'rather the other one' }] }]);
    expect([pure.session.queue, pure.session.turns, pure.session.turn?.id, pure.work?.kind]).toEqual([[], 1, turnId, 'generate']);
  });

  it('that comes while the last answer is written makes the turn go on', () => {
    const pure = running();
    steer(pure, 'wait');
    pure.generated([textPart('done')]);
    expect([said(pure), pure.status, pure.work?.kind, pure.session.turns]).toEqual([['first', '+wait'], 'running', 'generate', 1]);
    pure.generated([textPart('all right')]);
    expect([pure.status, pure.last('turn-ended')?.reason]).toEqual(['idle', 'complete']);
  });

  it('never comes between a call and its result', () => {
    const pure = running();
    pure.generated([callPart(0, 'look'), callPart(1, 'pay')]);
    steer(pure, 'wait');
    pure.settleResults([{ index: 0, toolCallId: 'call_0', toolName: 'look', outcome: 'done', output: 1 }]);
    expect(said(pure)).toEqual(['first']);
    pure.takeOver();
    expect(said(pure)).toEqual(['first', '+wait']);
    expect(pure.log.slice(-2).map(({ kind }) => kind)).toEqual(['tool-results', 'user-message']);
  });

  it('does not change the tries of the turn: what failed is tried again with it', () => {
    const pure = running();
    pure.failed();
    steer(pure, 'hurry');
    expect(pure.claim()).toMatchObject({ refused: 'not_claimable' });
    pure.untilDue();
    pure.claim();
    expect([said(pure), pure.work]).toMatchObject([['first', '+hurry'], { kind: 'generate', attempt: { number: 2 } }]);
  });

  it('joins in order with others, before what waits for the turn\'s end', () => {
    const pure = running();
    pure.send('queued');
    steer(pure, 'a');
    steer(pure, 'b');
    expect(pure.session.queue.map(({ steer: joins }) => joins ?? false)).toEqual([true, true, false]);
    pure.generated([textPart('so')]);
    expect([said(pure), pure.session.queue.length]).toEqual([['first', '+a', '+b'], 1]);
    pure.generated([textPart('there')]);
    expect(said(pure)).toEqual(['first', '+a', '+b', 'queued']);
  });

  it('at rest starts a turn like any other', () => {
    const pure = new PureSession();
    const reply = pure.send('hi', 'steer');
    expect(reply).toMatchObject({ queued: false });
    expect([isRefusal(reply) ? null : reply.steers, said(pure), pure.status]).toEqual([undefined, ['hi'], 'ready']);
  });

  it('to a turn that nobody works on yet joins its first generation', () => {
    const pure = new PureSession({ text: 'first' });
    steer(pure, 'and');
    pure.claim();
    expect([said(pure), pure.work?.kind]).toEqual([['first', '+and'], 'generate']);
  });

  it('joins although the queue is held: it does not wait for the turn\'s end', () => {
    const pure = running();
    pure.command(acceptQueueHold());
    steer(pure, 'now');
    pure.generated([textPart('ok')]);
    expect(said(pure)).toEqual(['first', '+now']);
  });

  it('that asks for a model gives the rest of the turn to it', () => {
    const pure = running();
    pure.generated([callPart(0, 'look')]);
    pure.send('with the large one', 'steer', { model: 'large' });
    pure.results();
    expect([pure.session.turn?.model, pure.work?.kind]).toEqual(['large', 'generate']);
    pure.generated([callPart(0, 'look')]);
    steer(pure, 'and go on');
    pure.results();
    expect(pure.session.turn?.model).toBe('large');
  });

  it('gives the turn the tools that its client brought', () => {
    const pure = running();
    pure.send('use this', 'steer', { clientTools: [{ name: 'where', inputSchema: {} }] });
    pure.generated([textPart('ok')]);
    expect(pure.last('user-message')).toMatchObject({ steered: true, clientTools: [{ name: 'where' }] });
    expect(pure.session.turn?.clientToolsSeq).toBe(pure.last('user-message')?.seq);
  });
});

describe('a message that steers a turn which waits', () => {
  it('joins when it resumes, and not before', () => {
    const pure = running();
    pure.generated([callPart(0, 'pay', { needs: { type: 'approval' } })]);
    steer(pure, 'never mind');
    expect([pure.status, said(pure)]).toEqual(['requires_action', ['first']]);
    pure.answer(0, { type: 'deny' });
    pure.claim();
    expect([pure.log.slice(-2).map(({ kind }) => kind), pure.work?.kind]).toEqual([['tool-results', 'user-message'], 'generate']);
  });

  it('for an operation, too', () => {
    const pure = running();
    pure.generated([callPart(0, 'look', { operation: { mode: 'await' } })]);
    steer(pure, 'how far?');
    const id = pure.last('operation-started')?.operationId ?? '';
    const claimed = pure.claimOperation(id);
    if (isRefusal(claimed)) throw new Error(claimed.message);
    pure.changeOperation(id, settleOperation(claimed.lease, { index: 0, toolCallId: 'call_0', toolName: 'look', outcome: 'done' }, pure.circumstances));
    expect(said(pure)).toEqual(['first']);
    pure.claim();
    expect(said(pure)).toEqual(['first', '+how far?']);
  });

  it('joins together with the result of a detached operation', () => {
    const pure = running();
    pure.generated([callPart(0, 'look', { operation: { mode: 'detach' } }), callPart(1, 'pay', { needs: { type: 'approval' } })]);
    const id = pure.last('operation-started')?.operationId ?? '';
    const claimed = pure.claimOperation(id);
    if (isRefusal(claimed)) throw new Error(claimed.message);
    pure.changeOperation(id, settleOperation(claimed.lease, { index: 0, toolCallId: 'call_0', toolName: 'look', outcome: 'done' }, pure.circumstances));
    steer(pure, 'and?');
    expect([pure.entries('operation-result'), said(pure)]).toEqual([[], ['first']]);
    pure.answer(1, { type: 'approve' });
    pure.claim();
    pure.results();
    expect(pure.log.slice(-3).map(({ kind }) => kind)).toEqual(['tool-results', 'user-message', 'operation-result']);
  });
});

describe('a message that steers a turn which ends first', () => {
  const queuedAfter = (end: (pure: PureSession) => unknown, rules?: ReturnType<typeof rulesWith>): PureSession => {
    const pure = running(rules);
    pure.send('queued');
    steer(pure, 'late', 'm1');
    end(pure);
    return pure;
  };

  it('by its number of steps is the first of the queue, and opens the turn it was promised', () => {
    const pure = running(rulesWith({ maxSteps: 1 }));
    pure.send('queued');
    const reply = pure.send('late', 'steer');
    pure.generated([textPart('done')]);
    expect([said(pure), pure.session.turn?.id, pure.session.queue.length]).toEqual([['first', 'late'], isRefusal(reply) ? '' : reply.turnId, 1]);
    pure.generated([textPart('done')]);
    expect(said(pure)).toEqual(['first', 'late', 'queued']);
    const calling = queuedAfter((session) => {
      session.generated([callPart(0, 'look')]);
      session.results();
    }, rulesWith({ maxSteps: 1 }));
    expect([said(calling), calling.entries('turn-ended').map(({ reason }) => reason)]).toEqual([['first', 'late'], ['max_steps']]);
  });

  it('by a tool that ends it, is the first of the queue', () => {
    const pure = queuedAfter((session) => {
      session.generated([callPart(0, 'finish')]);
      session.results();
    });
    expect([said(pure), pure.entries('turn-ended').map(({ reason }) => reason), pure.session.queue.length]).toEqual([['first', 'late'], ['stop_after_tool'], 1]);
  });

  it('by a stop, is the first of the queue; held, it waits there as any other', () => {
    expect(said(queuedAfter((pure) => pure.stop()))).toEqual(['first', 'late']);
    const held = queuedAfter((pure) => pure.stop({ holdQueue: true }));
    expect([held.status, held.session.queue]).toMatchObject(['idle', [{ messageId: 'm1' }, {}]]);
    expect(held.session.queue.some((queued) => 'steer' in queued)).toBe(false);
  });

  it('by a failure, waits as the first of the queue', () => {
    const pure = queuedAfter((session) => session.failed({ retryable: false }));
    expect([pure.status, pure.session.queue]).toMatchObject(['failed', [{ messageId: 'm1' }, {}]]);
    pure.send('go on');
    expect(said(pure)).toEqual(['first', 'late']);
  });

  it('by a refusal of the provider, waits as well', () => {
    const pure = queuedAfter((session) => session.generated([], 'content-filter'));
    expect([pure.status, pure.session.queue[0]?.messageId]).toEqual(['failed', 'm1']);
  });

  it('by a message that interrupts or replaces it, goes after that one', () => {
    for (const whenBusy of ['interrupt', 'replace'] as const) {
      const pure = queuedAfter((session) => session.send('now', whenBusy));
      pure.claim();
      expect(said(pure)).toEqual(['first', 'now']);
      pure.generated([textPart('ok')]);
      expect(said(pure)).toEqual(['first', 'now', 'late']);
    }
  });

  it('by the session\'s end leaves the queue', () => {
    const pure = queuedAfter((session) => session.command(acceptEnd({ stop: true })));
    expect([pure.session.queue, pure.entries('message-unqueued').map(({ reason }) => reason)]).toEqual([[], ['session-ended', 'session-ended']]);
  });
});

describe('a steering message that has not joined yet', () => {
  it('is in the queue: it can be edited, and joins with its new text', () => {
    const pure = running();
    steer(pure, 'old', 'm1');
    pure.command(acceptQueueEdit('m1', { parts: [{ type: 'text', text: 'new' }] }));
    pure.generated([textPart('so')]);
    expect(said(pure)).toEqual(['first', '+new']);
  });

  it('can be deleted, also by a stop of its own turn, and the running turn ends as if it had never come', () => {
    const deleted = running();
    steer(deleted, 'old', 'm1');
    deleted.command(acceptQueueDelete('m1'));
    deleted.generated([textPart('so')]);
    expect([said(deleted), deleted.status]).toEqual([['first'], 'idle']);
    const stopped = running();
    const reply = stopped.send('old', 'steer');
    expect(stopped.stop({ turnId: isRefusal(reply) ? '' : reply.turnId })).toMatchObject({ stopped: true });
    expect([stopped.session.queue, stopped.status]).toEqual([[], 'running']);
  });

  it('can be moved to the front, and still joins', () => {
    const pure = running();
    steer(pure, 'a', 'm1');
    steer(pure, 'b', 'm2');
    pure.command(acceptQueuePromote('m2'));
    pure.generated([textPart('so')]);
    expect(said(pure)).toEqual(['first', '+b', '+a']);
  });

  it('keeps its place when one that waits for the turn\'s end is moved before it', () => {
    const pure = running();
    pure.send('queued', 'queue', { messageId: 'm0' });
    steer(pure, 'a');
    pure.command(acceptQueuePromote('m0'));
    pure.generated([textPart('so')]);
    pure.generated([textPart('there')]);
    expect(said(pure)).toEqual(['first', '+a', 'queued']);
  });

  it('counts among those that wait: the queue takes no more than it may, and evicts none', () => {
    const pure = running();
    for (let place = 1; place <= limits.queueMessagesMax; place += 1) pure.send(`${place}`, place % 2 === 0 ? 'steer' : 'queue');
    const { session } = pure;
    expect(pure.send('one more', 'steer')).toMatchObject({ refused: 'queue_full' });
    expect(pure.session).toBe(session);
    pure.generated([textPart('so')]);
    expect([pure.session.queue.length, pure.entries('user-message').length]).toEqual([limits.queueMessagesMax / 2, 1 + limits.queueMessagesMax / 2]);
  });
});
