import { describe, expect, it } from 'vitest';
import { acceptQueueHold, acceptQueueRelease } from '../../src/core/accept/queue.ts';
import { acceptSettings } from '../../src/core/accept/settings.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { limits } from '../../src/core/limits.ts';
import { callPart, liveText, PureSession, textPart } from '../support/pure-session.ts';

function running(): PureSession {
  const pure = new PureSession({ text: 'first' });
  pure.claim();
  return pure;
}

function failedWithQueue(count: number): PureSession {
  const pure = running();
  for (let place = 1; place <= count; place += 1) pure.send(`queued ${place}`);
  pure.failed({ retryable: false });
  return pure;
}

/** The texts of the turns in the order in which they began. */
function started(pure: PureSession): readonly unknown[] {
  return pure.entries('user-message').map(({ parts }) => (parts[0]?.type === 'text' ? parts[0].text : null));
}

describe('a message sent at rest', () => {
  it('starts a turn at once, with all that came with it', () => {
    const pure = new PureSession();
    const reply = pure.send('hi', 'queue', { actor: { type: 'user', id: 'u1' }, model: 'large', metadata: { from: 'phone' } });
    expect(reply).toEqual({ turnId: pure.session.turn?.id, messageId: pure.session.turn?.messageId, revision: 2, queued: false });
    expect(pure.last('user-message')).toMatchObject({ turnId: pure.session.turn?.id, actor: { type: 'user', id: 'u1' }, model: 'large', metadata: { from: 'phone' } });
    expect([pure.status, pure.session.turn?.model, pure.session.turns]).toEqual(['ready', 'large', 1]);
  });

  it.each(['queue', 'interrupt', 'replace', 'reject'] as const)('starts a turn whatever it says about being busy: %s', (whenBusy) => {
    const pure = new PureSession();
    expect(pure.send('hi', whenBusy)).toMatchObject({ queued: false });
    expect([pure.status, pure.session.branches]).toEqual(['ready', 0]);
  });

  it('after a failed turn starts a new one', () => {
    const pure = failedWithQueue(0);
    expect(pure.status).toBe('failed');
    expect(pure.send('again')).toMatchObject({ queued: false });
    expect(pure.status).toBe('ready');
  });

  it('after a failed turn with a queue goes to its end, and the first of the queue runs', () => {
    const pure = failedWithQueue(2);
    const reply = pure.send('last');
    expect(reply).toMatchObject({ queued: true, started: { messageId: pure.session.turn?.messageId, turnId: pure.session.turn?.id } });
    expect(started(pure)).toEqual(['first', 'queued 1']);
    pure.claim();
    for (let turn = 0; turn < 3; turn += 1) pure.generated([textPart('ok')]);
    expect(started(pure)).toEqual(['first', 'queued 1', 'queued 2', 'last']);
  });

  it('after a failed turn with a full queue is taken too, since the first of the queue makes room', () => {
    const pure = failedWithQueue(limits.queueMessagesMax);
    expect(pure.session.queue.length).toBe(limits.queueMessagesMax);
    expect(pure.send('one more')).toMatchObject({ queued: true, started: { turnId: pure.session.turn?.id } });
    expect([pure.session.queue.length, started(pure).at(-1)]).toEqual([limits.queueMessagesMax, 'queued 1']);
  });

  it('while the queue is held runs before those that wait', () => {
    const pure = running();
    pure.send('held back');
    pure.stop({ holdQueue: true });
    expect(pure.send('now')).toMatchObject({ queued: false });
    pure.claim();
    pure.generated([textPart('ok')]);
    expect([started(pure), pure.status, pure.session.queue.length]).toEqual([['first', 'now'], 'idle', 1]);
    pure.command(acceptQueueRelease());
    expect(started(pure)).toEqual(['first', 'now', 'held back']);
  });

  it('is refused when the session is archived or has ended', () => {
    const archived = new PureSession();
    archived.command(acceptSettings({ archived: true }));
    expect(archived.send('hi')).toMatchObject({ refused: 'session_archived', details: { status: 'idle' } });
    expect(archived.log.length).toBe(2);
  });
});

describe('a message sent while a turn runs', () => {
  it('waits in the queue, by default, and changes nothing of the turn', () => {
    const pure = running();
    const { fence, claim, turn } = pure.session;
    const reply = pure.send('next');
    expect(reply).toMatchObject({ queued: true, revision: pure.session.revision });
    expect(pure.session).toMatchObject({ fence, claim, turn });
    expect(pure.session.queue).toMatchObject([{ turnId: isRefusal(reply) ? '' : reply.turnId, seq: 3 }]);
    expect(pure.generated([textPart('hi')])).toBe(null);
    expect(pure.session.turn?.id).toBe(isRefusal(reply) ? '' : reply.turnId);
  });

  it('is the last of the queue, which has a limit and never gives one up for another', () => {
    const pure = running();
    for (let place = 0; place < limits.queueMessagesMax; place += 1) expect(isRefusal(pure.send(`m${place}`))).toBe(false);
    const { session } = pure;
    expect(pure.send('too many')).toMatchObject({ refused: 'queue_full', details: { max: 20 } });
    expect(pure.session).toBe(session);
  });

  it('is refused when it asked for that', () => {
    const pure = running();
    const { session } = pure;
    expect(pure.send('hi', 'reject')).toMatchObject({ refused: 'session_busy', details: { status: 'running', turnId: session.turn?.id } });
    expect(pure.session).toBe(session);
  });

  it('waits for its turn also when the turn waits for a retry', () => {
    const pure = running();
    pure.failed();
    expect(pure.status).toBe('ready');
    expect(pure.send('next')).toMatchObject({ queued: true });
  });

  it('that interrupts stops the turn and runs at once, before the queue, in one commit', () => {
    const pure = running();
    pure.show(liveText(0, 'half an ans'));
    pure.send('queued');
    const commits = pure.history.length;
    const { fence } = pure.session;
    expect(pure.send('now', 'interrupt')).toMatchObject({ queued: false });
    expect(pure.history.length - commits).toBe(1);
    expect(pure.log.slice(-3)).toMatchObject([{ kind: 'assistant-step', stopped: true, parts: [{ text: 'half an ans' }] }, { kind: 'turn-ended', reason: 'stopped' }, { kind: 'user-message' }]);
    expect([pure.session.fence > fence, pure.session.claim, pure.status, pure.session.queue.length]).toEqual([true, null, 'ready', 1]);
    pure.claim();
    pure.generated([textPart('ok')]);
    expect(started(pure)).toEqual(['first', 'now', 'queued']);
  });

  it('that replaces leaves the turn as a branch: kept, listed, and no longer visible', () => {
    const pure = new PureSession({ text: 'first' });
    pure.claim();
    pure.generated([textPart('hi')]);
    pure.send('wrong');
    pure.claim();
    pure.show(liveText(0, 'half'));
    const { startedSeq, id } = pure.session.turn ?? { startedSeq: -1, id: '' };
    pure.send('right', 'replace');
    expect(pure.last('branch-discarded')).toMatchObject({ fromTurnId: id, turns: 1, intervals: [{ fromSeq: startedSeq, toSeq: startedSeq + 2 }] });
    const message = pure.last('user-message');
    expect(pure.session.visible).toEqual([{ fromSeq: 1, toSeq: startedSeq - 1 }, { fromSeq: message?.seq, toSeq: null }]);
    expect([pure.session.branches, pure.status]).toEqual([1, 'ready']);
    expect(pure.log.filter(({ seq }) => seq >= startedSeq && seq <= startedSeq + 2).map(({ kind }) => kind)).toEqual(['user-message', 'assistant-step', 'turn-ended']);
  });

  it('that replaces again and again leaves one branch for each', () => {
    const pure = running();
    for (const text of ['second', 'third', 'fourth']) pure.send(text, 'replace');
    expect(pure.session.branches).toBe(3);
    expect(pure.session.visible.length).toBe(2);
    expect(pure.entries('branch-discarded').map(({ intervals }) => intervals)).toEqual([[{ fromSeq: 2, toSeq: 4 }], [{ fromSeq: 6, toSeq: 7 }], [{ fromSeq: 9, toSeq: 10 }]]);
  });

  it('that replaces the first turn leaves only what was before it', () => {
    const pure = running();
    pure.send('instead', 'replace');
    expect(pure.session.visible).toEqual([{ fromSeq: 1, toSeq: 1 }, { fromSeq: pure.last('user-message')?.seq, toSeq: null }]);
  });

  it('that replaces is refused at the limit of branches, with the turn untouched', () => {
    const pure = running();
    pure.session = { ...pure.session, branches: limits.branchesMax };
    const { session } = pure;
    expect(pure.send('instead', 'replace')).toMatchObject({ refused: 'branches_full' });
    expect(pure.session).toBe(session);
  });

  it('that interrupts answers the calls that were open', () => {
    const pure = running();
    pure.generated([callPart(0, 'pay')]);
    pure.send('now', 'interrupt');
    expect(pure.last('tool-results')?.results).toMatchObject([{ outcome: 'stopped', mayHaveRun: true }]);
  });
});

describe('a revision that the caller has seen', () => {
  it('refuses a command on a session that has moved on, and not one on the same', () => {
    const pure = running();
    const { revision } = pure.session;
    pure.command(acceptSettings({ title: 'a title moves nothing' }));
    expect(isRefusal(pure.command(acceptQueueHold(), revision))).toBe(false);
    const { session } = pure;
    expect(pure.command(acceptQueueRelease(), revision)).toMatchObject({ refused: 'revision_conflict', details: { expected: revision, actual: revision + 2 } });
    expect(pure.session).toBe(session);
  });
});
