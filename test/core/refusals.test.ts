import { describe, expect, it } from 'vitest';
import { acceptEnd } from '../../src/core/accept/end.ts';
import { acceptQueueDelete, acceptQueueEdit, acceptQueueHold, acceptQueuePromote, acceptQueueRelease } from '../../src/core/accept/queue.ts';
import { acceptResolve } from '../../src/core/accept/resolve.ts';
import { acceptSend } from '../../src/core/accept/send.ts';
import { acceptSettings } from '../../src/core/accept/settings.ts';
import { acceptStop } from '../../src/core/accept/stop.ts';
import type { Accept } from '../../src/core/accept/transition.ts';
import { isRefusal } from '../../src/core/errors.ts';
import type { SessionStatus } from '../../src/core/session.ts';
import { callPart, givenAnswer, PureSession, textPart } from '../support/pure-session.ts';

type Situation = SessionStatus | 'archived';

/** A session in each situation; those that can have one have `m1` in their queue. */
const situations: Readonly<Record<Situation, () => PureSession>> = {
  idle: () => {
    const pure = new PureSession({ text: 'hello' });
    pure.claim();
    pure.send('waits', 'queue', { messageId: 'm1' });
    pure.stop({ holdQueue: true });
    return pure;
  },
  ready: () => {
    const pure = new PureSession({ text: 'hello' });
    pure.send('waits', 'queue', { messageId: 'm1' });
    return pure;
  },
  running: () => {
    const pure = situations.ready();
    pure.claim();
    return pure;
  },
  requires_action: () => {
    const pure = situations.running();
    pure.generated([callPart(0, 'pay', { needs: { type: 'approval' } })]);
    return pure;
  },
  waiting: () => {
    const pure = situations.running();
    pure.generated([callPart(0, 'look', { operation: { mode: 'await' } })]);
    return pure;
  },
  failed: () => {
    const pure = situations.running();
    pure.failed({ retryable: false });
    return pure;
  },
  ended: () => {
    const pure = situations.running();
    pure.command(acceptEnd({ stop: true }));
    return pure;
  },
  archived: () => {
    const pure = situations.idle();
    pure.command(acceptSettings({ archived: true }));
    return pure;
  },
};

const message = (pure: PureSession) => pure.message('hi');

/** What each command comes to: the status it leaves, or the code of its refusal. In the order of the situations above. */
const table: Readonly<Record<string, { readonly accept: (pure: PureSession) => Accept<unknown>; readonly comesTo: readonly string[] }>> = {
  'send (queue)': { accept: (pure) => acceptSend({ message: message(pure), whenBusy: 'queue' }), comesTo: ['ready', 'ready', 'running', 'requires_action', 'waiting', 'ready', 'session_ended', 'session_archived'] },
  'send (interrupt)': { accept: (pure) => acceptSend({ message: message(pure), whenBusy: 'interrupt' }), comesTo: ['ready', 'ready', 'ready', 'ready', 'ready', 'ready', 'session_ended', 'session_archived'] },
  'send (replace)': { accept: (pure) => acceptSend({ message: message(pure), whenBusy: 'replace' }), comesTo: ['ready', 'ready', 'ready', 'ready', 'ready', 'ready', 'session_ended', 'session_archived'] },
  'send (reject)': { accept: (pure) => acceptSend({ message: message(pure), whenBusy: 'reject' }), comesTo: ['ready', 'session_busy', 'session_busy', 'session_busy', 'session_busy', 'ready', 'session_ended', 'session_archived'] },
  'send (steer)': { accept: (pure) => acceptSend({ message: message(pure), whenBusy: 'steer' }), comesTo: ['ready', 'ready', 'running', 'requires_action', 'waiting', 'ready', 'session_ended', 'session_archived'] },
  'resolve an action': {
    accept: (pure) => acceptResolve({ answers: [givenAnswer(pure.session.turn?.actions[0]?.id ?? 'act_3_0', { type: 'approve' })], by: 'ada', roles: [] }),
    comesTo: ['action_not_found', 'action_not_found', 'action_not_found', 'ready', 'action_not_found', 'action_not_found', 'action_not_found', 'action_not_found'],
  },
  stop: { accept: () => acceptStop({}), comesTo: ['idle', 'ready', 'ready', 'ready', 'ready', 'failed', 'ended', 'idle'] },
  'stop (keep operations)': { accept: () => acceptStop({ keepOperations: true }), comesTo: ['idle', 'ready', 'ready', 'ready', 'ready', 'failed', 'ended', 'idle'] },
  'stop (hold the queue)': { accept: () => acceptStop({ holdQueue: true }), comesTo: ['idle', 'idle', 'idle', 'idle', 'idle', 'failed', 'ended', 'idle'] },
  end: { accept: () => acceptEnd({}), comesTo: ['ended', 'session_busy', 'session_busy', 'session_busy', 'session_busy', 'ended', 'ended', 'ended'] },
  'end (stop)': { accept: () => acceptEnd({ stop: true }), comesTo: ['ended', 'ended', 'ended', 'ended', 'ended', 'ended', 'ended', 'ended'] },
  'queue edit': { accept: () => acceptQueueEdit('m1', { parts: [{ type: 'text', text: 'edited' }] }), comesTo: ['idle', 'ready', 'running', 'requires_action', 'waiting', 'failed', 'message_not_found', 'idle'] },
  'queue delete': { accept: () => acceptQueueDelete('m1'), comesTo: ['idle', 'ready', 'running', 'requires_action', 'waiting', 'failed', 'message_not_found', 'idle'] },
  'queue promote': { accept: () => acceptQueuePromote('m1'), comesTo: ['idle', 'ready', 'running', 'requires_action', 'waiting', 'failed', 'message_not_found', 'idle'] },
  'queue hold': { accept: () => acceptQueueHold(), comesTo: ['idle', 'ready', 'running', 'requires_action', 'waiting', 'failed', 'session_ended', 'idle'] },
  'queue release': { accept: () => acceptQueueRelease(), comesTo: ['ready', 'ready', 'running', 'requires_action', 'waiting', 'ready', 'session_ended', 'session_archived'] },
  settings: { accept: () => acceptSettings({ title: 'x', archived: false }), comesTo: ['idle', 'ready', 'running', 'requires_action', 'waiting', 'failed', 'ended', 'idle'] },
};

const names = Object.keys(situations) as Situation[];
const pairs = Object.entries(table).flatMap(([command, { accept, comesTo }]) =>
  names.map((situation, place) => [command, situation, comesTo[place] ?? '', accept] as const));

describe('every command in every status', () => {
  it.each(pairs)('%s in %s comes to %s', (_command, situation, expected, accept) => {
    const pure = situations[situation]();
    const { session, log, history } = pure;
    const [entries, commits] = [log.length, history.length];
    const reply = pure.command(accept(pure));
    if (!isRefusal(reply)) {
      expect(pure.status).toBe(expected);
      return;
    }
    expect(reply.refused).toBe(expected);
    // The refusal names the status, and nothing has happened.
    expect([['session_ended', 'session_archived', 'session_busy', 'message_not_found', 'action_not_found'].includes(reply.refused), typeof reply.details?.['status']]).toEqual([true, 'string']);
    expect([pure.session, log.length, history.length]).toEqual([session, entries, commits]);
  });

  it.each(names)('of work that lost its fence changes nothing in %s', (situation) => {
    const pure = situations[situation]();
    pure.lease = { worker: 'wrk_old', fence: pure.session.fence - 1 };
    const { session } = pure;
    const codes = [pure.generated([textPart('late')]), pure.failed(), pure.results(), pure.handOver(), pure.abandon()].map((refusal) => refusal?.refused);
    expect(codes).toEqual(['fence_lost', 'fence_lost', 'fence_lost', 'fence_lost', 'fence_lost']);
    expect(pure.session).toBe(session);
  });

  it('is in the table', () => {
    expect(pairs.length).toBe(17 * 8);
    for (const { comesTo } of Object.values(table)) expect(comesTo.length).toBe(names.length);
    for (const situation of names) expect(situations[situation]().status).toBe(situation === 'archived' ? 'idle' : situation);
  });
});
