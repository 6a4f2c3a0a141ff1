import { expect, it } from 'vitest';
import { acceptRedo, acceptRewind } from '../../src/core/accept/rewind.ts';
import { PureSession } from '../support/pure-session.ts';

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
