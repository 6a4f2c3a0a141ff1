import { describe, expect, it } from 'vitest';
import { acceptQueueDelete, acceptQueueEdit, acceptQueueHold, acceptQueuePromote, acceptQueueRelease } from '../../src/core/accept/queue.ts';
import { acceptSettings } from '../../src/core/accept/settings.ts';
import { PureSession, textPart } from '../support/pure-session.ts';

/** A running session with three messages, `m1` to `m3`, in its queue. */
function withQueue(): PureSession {
  const pure = new PureSession({ text: 'first' });
  pure.claim();
  for (const messageId of ['m1', 'm2', 'm3']) pure.send(`text of ${messageId}`, 'queue', { messageId });
  return pure;
}

function queued(pure: PureSession): readonly string[] {
  return pure.session.queue.map(({ messageId }) => messageId);
}

describe('the queue', () => {
  it('is first in, first out', () => {
    const pure = withQueue();
    for (const messageId of ['m1', 'm2', 'm3']) {
      pure.generated([textPart('ok')]);
      expect(pure.session.turn?.messageId).toBe(messageId);
    }
  });

  it('gives each message its turn\'s id from the start', () => {
    const pure = withQueue();
    const turnIds = pure.session.queue.map(({ turnId }) => turnId);
    expect(new Set(turnIds).size).toBe(3);
    pure.generated([textPart('ok')]);
    expect([pure.session.turn?.id, pure.last('user-message')?.turnId]).toEqual([turnIds[0], turnIds[0]]);
  });

  it('lets a message be edited: it keeps its place and its turn, and starts with its last content', () => {
    const pure = withQueue();
    const before = pure.session.queue;
    const reply = pure.command(acceptQueueEdit('m2', { parts: [{ type: 'text', text: 'edited' }], actor: { type: 'user', id: 'u2' } }));
    expect(reply).toEqual({ revision: pure.session.revision, held: false, messageIds: ['m1', 'm2', 'm3'] });
    expect(pure.session.queue.map(({ turnId }) => turnId)).toEqual(before.map(({ turnId }) => turnId));
    pure.generated([textPart('ok')]);
    pure.generated([textPart('ok')]);
    expect(pure.last('user-message')).toMatchObject({ messageId: 'm2', parts: [{ text: 'edited' }], actor: { type: 'user', id: 'u2' } });
  });

  it('lets a message be taken out', () => {
    const pure = withQueue();
    expect(pure.command(acceptQueueDelete('m2'))).toMatchObject({ messageIds: ['m1', 'm3'] });
    expect(pure.command(acceptQueueDelete('m2'))).toMatchObject({ refused: 'message_not_found', details: { messageId: 'm2', status: 'running' } });
  });

  it('lets a message be moved to the front; the front one stays where it is without an entry', () => {
    const pure = withQueue();
    expect(pure.command(acceptQueuePromote('m3'))).toMatchObject({ messageIds: ['m3', 'm1', 'm2'] });
    const { length } = pure.log;
    expect(pure.command(acceptQueuePromote('m3'))).toMatchObject({ messageIds: ['m3', 'm1', 'm2'] });
    expect(pure.log.length).toBe(length);
  });

  it('refuses what is not in it: unknown, started or deleted messages', () => {
    const pure = withQueue();
    pure.generated([textPart('ok')]);
    pure.command(acceptQueueDelete('m2'));
    for (const messageId of ['m0', 'm1', 'm2']) {
      for (const accept of [acceptQueueEdit(messageId, { parts: [] }), acceptQueueDelete(messageId), acceptQueuePromote(messageId)]) {
        expect(pure.command(accept)).toMatchObject({ refused: 'message_not_found' });
      }
    }
    expect(queued(pure)).toEqual(['m3']);
  });

  it('that is held waits at rest, and goes on when it is released', () => {
    const pure = withQueue();
    pure.command(acceptQueueHold());
    pure.generated([textPart('ok')]);
    expect([pure.status, queued(pure)]).toEqual(['idle', ['m1', 'm2', 'm3']]);
    expect(pure.command(acceptQueueRelease())).toMatchObject({ held: false, messageIds: ['m2', 'm3'] });
    expect([pure.status, pure.session.turn?.messageId]).toEqual(['ready', 'm1']);
  });

  it('is held and released once, however often that is said', () => {
    const pure = withQueue();
    pure.command(acceptQueueHold());
    const { length } = pure.log;
    pure.command(acceptQueueHold());
    expect(pure.log.length).toBe(length);
    pure.command(acceptQueueRelease());
    pure.command(acceptQueueRelease());
    expect(pure.log.length).toBe(length + 1);
  });

  it('after a failed turn goes on when it is released', () => {
    const pure = withQueue();
    pure.failed({ retryable: false });
    expect([pure.status, queued(pure).length]).toEqual(['failed', 3]);
    pure.command(acceptQueueRelease());
    expect([pure.status, pure.session.turn?.messageId]).toEqual(['ready', 'm1']);
  });

  it('of an archived session is not released, so that it does not wait for nobody afterwards', () => {
    const pure = withQueue();
    pure.stop({ holdQueue: true });
    pure.command(acceptSettings({ archived: true }));
    expect(pure.command(acceptQueueRelease())).toMatchObject({ refused: 'session_archived', details: { status: 'idle' } });
    expect([pure.status, queued(pure).length, pure.session.queueHeld]).toEqual(['idle', 3, true]);
    pure.command(acceptSettings({ archived: false }));
    pure.command(acceptQueueRelease());
    expect([pure.status, queued(pure).length]).toEqual(['ready', 2]);
  });

  it('moves the revision with each change of it', () => {
    const pure = withQueue();
    const seen = new Set<number>();
    for (const accept of [acceptQueueHold(), acceptQueueRelease(), acceptQueuePromote('m3'), acceptQueueDelete('m1'), acceptQueueEdit('m2', { parts: [] })]) {
      pure.command(accept);
      seen.add(pure.session.revision);
    }
    expect(seen.size).toBe(5);
  });
});

describe('settings', () => {
  it('are kept beside the history: the revision stays, and so do fence and visible history', () => {
    const pure = withQueue();
    const { revision, fence, visible } = pure.session;
    expect(pure.command(acceptSettings({ title: 'Refund', metadata: { plan: 'pro' }, archived: true }))).toEqual({ revision });
    expect(pure.session).toMatchObject({ title: 'Refund', titleBy: 'person', metadata: { plan: 'pro' }, archived: true, revision, fence, visible });
  });

  it('that are so already leave no entry', () => {
    const pure = new PureSession({ title: 'Refund', metadata: { a: 1, b: { c: [1] } } });
    const { length } = pure.log;
    pure.command(acceptSettings({ title: 'Refund', metadata: { b: { c: [1] }, a: 1 }, archived: false }));
    expect(pure.log.length).toBe(length);
    pure.command(acceptSettings({ title: null, metadata: { a: 2 }, archived: true }));
    expect(pure.log.slice(length).map(({ kind }) => kind)).toEqual(['title-set', 'metadata-set', 'archived-set']);
  });

  it('can be changed of a session that has ended', () => {
    const pure = new PureSession();
    pure.session = { ...pure.session, ended: true };
    pure.command(acceptSettings({ title: 'Old', archived: true }));
    expect(pure.session).toMatchObject({ title: 'Old', archived: true });
  });

  it('say whose the title is: a person\'s from when a person sets it or takes it away', () => {
    const pure = new PureSession();
    pure.command((draft) => { draft.append({ kind: 'title-set', title: 'Made up', by: 'generated', turnId: 'turn_1' }); return null; });
    expect(pure.session).toMatchObject({ title: 'Made up', titleBy: 'generated', titleFrom: { turnId: 'turn_1' } });
    pure.command(acceptSettings({ title: 'Made up' }));
    expect(pure.session).toMatchObject({ title: 'Made up', titleBy: 'person', titleFrom: null });
    pure.command(acceptSettings({ title: null }));
    expect(pure.session).toMatchObject({ title: null, titleBy: 'person' });
  });
});
