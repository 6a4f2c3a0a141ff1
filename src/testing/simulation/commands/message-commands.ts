import type { Session } from '../../../core/session.ts';
import type { SimulatedCommand } from '../command.ts';
import { aboutSession, agentOf, entriesOf, guardedCall, mostly, ownersCall } from './about-session.ts';
import { messageFields } from './message-fields.ts';


/** Messages: sent, sent again under their own ids, and what can be done with those that wait. */
export const messageCommands: readonly SimulatedCommand[] = [
  sending('send', 20, ['queue', 'queue', 'steer', 'steer', 'reject']),
  sending('send-interrupting', 7, ['interrupt', 'replace']),
  // Where some wait already, until no more may.
  sending('send-more', 3, ['queue', 'steer'], hasQueue),
  // Without a key the message's id is one.
  aboutSession('send-unkeyed', 3, (scope) => guardedCall(scope, 'POST', '/messages', { ...messageFields(scope, agentOf(scope)), messageId: `m_${scope.id}` }, { keyed: false })),
  aboutSession('send-same-id', 2, (scope) => {
    const { chance, session, answered } = scope;
    const earlier = chance.pick(answered.filter(({ request }) => request.kind === 'send' && request.path === `/v1/sessions/${session.id}/messages`));
    return earlier === undefined ? null : { ...earlier.request, keyed: false };
  }),
  aboutSession('send-taken-id', 2, (scope) => {
    const { id, chance, log } = scope;
    const messageId = chance.pick(entriesOf(log(), 'user-message'))?.messageId;
    return messageId === undefined ? null : ownersCall(scope, 'POST', '/messages', { text: `another message, of ${id}`, messageId }, { keyed: chance.happens(0.5) });
  }),
  aboutSession('queue-edit', 4, (scope) => onQueued(scope, 'PATCH', '', messageFields(scope, agentOf(scope))), hasQueue),
  aboutSession('queue-delete', 4, (scope) => onQueued(scope, 'DELETE', ''), hasQueue),
  aboutSession('queue-promote', 5, (scope) => onQueued(scope, 'POST', '/promote'), hasQueue),
  aboutSession('queue-hold', 1, (scope) => guardedCall(scope, 'POST', '/queue/hold')),
  aboutSession('queue-release', 2, (scope) => guardedCall(scope, 'POST', '/queue/release')),
];

function hasQueue({ queue }: Session): boolean {
  return queue.length > 0;
}

function sending(kind: string, weight: number, whenBusy: readonly string[], fits?: (session: Session) => boolean): SimulatedCommand {
  return aboutSession(kind, weight, (scope) => guardedCall(scope, 'POST', '/messages', { ...messageFields(scope, agentOf(scope)), messageId: `m_${scope.id}`, whenBusy: scope.chance.pick(whenBusy) ?? 'queue' }), fits);
}

/** Of a message that waits; of one that does not any more, now and then. */
function onQueued(scope: Parameters<typeof guardedCall>[0], method: 'PATCH' | 'DELETE' | 'POST', action: string, body?: Parameters<typeof guardedCall>[3]) {
  const { chance, session, log } = scope;
  const gone = chance.pick(entriesOf(log().slice(-120), 'message-queued'))?.messageId ?? 'no-message';
  const messageId = mostly(chance, session.queue.map((waiting) => waiting.messageId), gone);
  return messageId === null ? null : guardedCall(scope, method, `/queue/${messageId}${action}`, body);
}
