import { describe, expect, it } from 'vitest';
import { createSession, type CreateCommand } from '../../src/core/accept/create.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { limits } from '../../src/core/limits.ts';
import { statusOf } from '../../src/core/session.ts';
import { PureSession, rulesWith, textPart } from '../support/pure-session.ts';

function created(command: Partial<CreateCommand>, withWorker = false) {
  const pure = new PureSession();
  const slot = withWorker ? { worker: 'wrk_a', rulesOf: () => rulesWith() } : undefined;
  const change = createSession({ tenant: 'acme', id: 'ses_new' }, { agent: 'pure', owner: 'ada', greets: false, endAfterInactivityMs: null, ...command }, pure.circumstances, { slot });
  if (isRefusal(change)) throw new Error(change.message);
  return change;
}

const message = { messageId: 'm1', parts: [{ type: 'text' as const, text: 'hello' }] };

describe('a new session', () => {
  it('is at rest, and holds all that it was created with', () => {
    const given = {
      externalId: 'crm-1', title: 'Refund', metadata: { plan: 'pro' }, subject: { type: 'order', id: '7' }, binding: { id: 'b1', workspaceId: 'w1' }, threadId: 't1',
    };
    const { session, entries, reply } = created(given);
    expect(session).toMatchObject({ ...given, agent: 'pure', owner: 'ada', titleBy: 'person', createdAtMs: 1_000, activeAtMs: 1_000, lastSeq: 1, revision: 1, fence: 0, turn: null });
    expect(statusOf(session)).toBe('idle');
    expect(entries).toEqual([{ kind: 'session-created', agent: 'pure', owner: 'ada', ...given, seq: 1, v: 1, atMs: 1_000 }]);
    expect(reply).toEqual({ reply: { sessionId: 'ses_new', revision: 1, turn: null }, claimed: null });
  });

  it('with a message begins its turn in the same commit', () => {
    const { session, entries, reply } = created({ message });
    expect(entries.map(({ kind }) => kind)).toEqual(['session-created', 'user-message']);
    expect(reply.reply).toEqual({ sessionId: 'ses_new', revision: 2, turn: { turnId: session.turn?.id, messageId: 'm1', revision: 2, queued: false } });
    expect(statusOf(session)).toBe('ready');
  });

  it('of an agent that greets opens with a turn without a message, unless one came', () => {
    const greeting = created({ greets: true });
    expect(greeting.entries.map(({ kind }) => kind)).toEqual(['session-created', 'turn-started']);
    expect(greeting.session.turn).toMatchObject({ origin: 'greeting', messageId: null });
    expect(greeting.reply.reply.turn).toEqual({ turnId: greeting.session.turn?.id, messageId: null });
    expect(created({ greets: true, message }).entries.map(({ kind }) => kind)).toEqual(['session-created', 'user-message']);
  });

  it('is claimed in the same commit where a worker offers its place and there is work', () => {
    expect(created({ message }, true).reply.claimed).toMatchObject({ fence: 1, work: { kind: 'generate' } });
    expect(created({ greets: true }, true).session.claim).toMatchObject({ worker: 'wrk_a', solo: false });
    expect(created({}, true).reply.claimed).toBe(null);
  });

  it('waits for its end by inactivity from the start, if it is at rest', () => {
    expect(created({ endAfterInactivityMs: 5_000 }).session.endsAtMs).toBe(6_000);
    expect(created({ endAfterInactivityMs: 5_000, message }).session.endsAtMs).toBe(null);
  });
});

describe('the preview of a session', () => {
  it('is the beginning of its first message with a text, for good', () => {
    const pure = new PureSession();
    expect(pure.session.preview).toBe(null);
    pure.send('', 'queue', { parts: [{ type: 'file', mediaType: 'image/png', data: 'aGk=' }] });
    pure.stop();
    expect(pure.session.preview).toBe(null);
    pure.send(`${'x'.repeat(limits.previewCharsMax - 1)}😀 and on`);
    expect(pure.session.preview).toBe(`${'x'.repeat(limits.previewCharsMax - 1)}\ufffd`);
    pure.stop();
    pure.send('another');
    expect(pure.session.preview?.startsWith('xxx')).toBe(true);
  });

  it('is that of the message that started first, though it waited, was edited or moved before', () => {
    const pure = new PureSession({ greets: true });
    pure.claim();
    pure.send('deleted before it started', 'queue', { messageId: 'm1' });
    pure.send('as it was sent', 'queue', { messageId: 'm2' });
    pure.stop({ turnId: pure.session.queue[0]?.turnId ?? '' });
    expect(pure.session.preview).toBe(null);
    pure.generated([textPart('Hi, what can I do?')]);
    expect([pure.session.turn?.messageId, pure.session.preview]).toEqual(['m2', 'as it was sent']);
  });
});
