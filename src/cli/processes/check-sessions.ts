import { fieldOf, textOf } from './json-field.ts';
import { acknowledgedOf, verdictOf, type ClientCall } from './client-history.ts';
import type { HistoryFinding, LoggedSession } from './history-finding.ts';

/** Each session that was made, or copied, is there once unless it was deleted; and there are no others but those of requests of which nobody knows. */
export function checkSessions(calls: readonly ClientCall[], sessions: readonly LoggedSession[]): readonly HistoryFinding[] {
  const ofCommand = (...commands: readonly string[]): readonly ClientCall[] => calls.filter(({ request }) => commands.includes(request.command));
  const there = new Map(sessions.map((logged) => [logged.session.id, logged]));
  const deleting = ofCommand('delete').filter((call) => verdictOf(call) !== 'refused');
  const mayBeGone = new Set(deleting.map(({ request }) => request.sessionId));
  const gone = acknowledgedOf(deleting);
  const found: HistoryFinding[] = [];
  const made = new Set<string>();
  for (const call of acknowledgedOf(ofCommand('create', 'fork'))) {
    const id = madeBy(call);
    const where = `session ${id}`;
    if (made.has(id)) found.push({ count: 'duplicated', where, problem: `call ${call.number} was given a session that another call made` });
    made.add(id);
    const logged = there.get(id);
    if (logged === undefined && !mayBeGone.has(id)) found.push({ count: 'lost', where, problem: `call ${call.number} (${call.request.command}) made it, and it is not in the store` });
    if (call.request.command === 'fork' && logged !== undefined && logged.session.forkedFrom?.sessionId !== call.request.sessionId) found.push({ count: 'lost', where, problem: `it does not say that it is a copy of ${call.request.sessionId}` });
  }
  for (const { number, request } of gone) if (request.sessionId !== undefined && there.has(request.sessionId)) found.push({ count: 'lost', where: `session ${request.sessionId}`, problem: `call ${number} deleted it, and it is there` });
  for (const { number, request, invokedAt, reply } of calls) {
    const deleted = gone.find((each) => each.request.sessionId === request.sessionId && each.repliedAt < invokedAt);
    if (deleted !== undefined && reply !== null && reply.status !== 404) found.push({ count: 'unordered', where: `session ${request.sessionId}`, problem: `call ${number} (${request.command}) was answered with ${reply.status} after call ${deleted.number} had deleted it` });
  }
  const strangers = [...there.keys()].filter((id) => !made.has(id));
  const open = ofCommand('create', 'fork').filter((call) => verdictOf(call) === 'open').length;
  if (strangers.length > open) found.push({ count: 'duplicated', where: '', problem: `${strangers.length} sessions that nobody was told of, and ${open} requests of which nobody knows`, found: strangers.join(' ') });
  return found;
}

/** The id of the session that a request made. */
export function madeBy({ request, reply }: Pick<ClientCall, 'request' | 'reply'>): string {
  return request.command === 'fork' ? textOf(reply?.body, 'sessionId') : textOf(fieldOf(reply?.body, 'session'), 'id');
}
