import { expect, it } from 'vitest';
import { acceptEdit } from '../../src/core/accept/edit.ts';
import { acceptRedo, acceptRewind } from '../../src/core/accept/rewind.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { PureSession, rulesWith, textPart } from '../support/pure-session.ts';

it('a session that was moved past a turn that failed does not say any more that it failed', () => {
  const pure = new PureSession({ text: 'first' });
  pure.claim();
  pure.failed({ retryable: false });
  expect(pure.status).toBe('failed');
  pure.command(acceptRewind({ turnId: null }));
  expect([pure.status, pure.session.lastTurn]).toEqual(['idle', null]);
  pure.command(acceptRedo());
  expect(pure.status).toBe('idle');
});

/** At rest after a turn that failed, with a message that waits; ended and deleted by themselves in a while. */
function failedWithQueue(): PureSession {
  const pure = new PureSession({ text: 'first' }, rulesWith({ endAfterInactivityMs: 1_000, deleteAfterRestMs: 2_000 }));
  pure.claim();
  pure.send('second', 'queue', { messageId: 'm2' });
  pure.failed({ retryable: false });
  pure.nowMs += 500;
  return pure;
}

it('a rewind that cuts nothing changes nothing: not the queue, and not when the session ends and goes', () => {
  const pure = failedWithQueue();
  const { session, log: { length } } = pure;
  const turnId = pure.last('turn-ended')?.turnId ?? '';
  expect(pure.command(acceptRewind({ turnId, stop: true }))).toEqual({ revision: session.revision, turns: 0, left: [] });
  expect([pure.session, pure.log.length]).toEqual([session, length]);
  expect(pure.command(acceptRewind({ turnId: null }))).toMatchObject({ turns: 1 });
  expect([pure.session.queueHeld, pure.session.endsAtMs, pure.session.deletesAtMs]).toEqual([true, pure.nowMs + 1_000, pure.nowMs + 2_000]);
});

it('a rewind that cuts nothing and stops a turn holds what waited for its end', () => {
  const pure = new PureSession({ text: 'first' });
  pure.claim();
  pure.send('second', 'queue', { messageId: 'm2' });
  expect(pure.command(acceptRewind({ turnId: pure.session.turn?.id ?? '', stop: true }))).toMatchObject({ turns: 0, left: [] });
  expect([pure.status, pure.session.queueHeld, pure.session.queue.length]).toEqual(['idle', true, 1]);
});

it('a message said in place of a failed one goes on, and what waited follows it', () => {
  const pure = failedWithQueue();
  const reply = pure.command(acceptEdit({ turnId: pure.last('turn-ended')?.turnId ?? '', message: pure.message('first, again') }));
  expect(isRefusal(reply)).toBe(false);
  expect([pure.session.queueHeld, pure.claim()]).toEqual([false, null]);
  pure.generated([textPart('ok')]);
  expect(pure.session.turn?.messageId).toBe('m2');
});
