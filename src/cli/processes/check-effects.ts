import type { Entry, EntryOf } from '../../core/entry.ts';
import { fieldOf, textOf } from './json-field.ts';
import { verdictOf, type ClientCall, type ClientCommand } from './client-history.ts';
import type { HistoryFinding, LoggedSession } from './history-finding.ts';

const sending: ReadonlySet<ClientCommand> = new Set(['create', 'send', 'edit', 'retry']);

/**
 * Holds the commands of clients on one session against its log: what was acknowledged is there exactly once, what was refused is not there, and what is open is there at most once: each message, edit of one that waits, removal, and state. A message that
 * was accepted has become part of the conversation, unless somebody took it out of the queue. `calls` are also those that made the session.
 */
export function checkEffects(calls: readonly ClientCall[], logged: LoggedSession): readonly HistoryFinding[] {
  return [...calls.flatMap((call) => effectFindings(call, logged)), ...strangerFindings(calls, logged)];
}

function effectFindings(call: ClientCall, { session, entries }: LoggedSession): readonly HistoryFinding[] {
  const { number, request, reply } = call;
  const expect = (what: string, count: number): readonly HistoryFinding[] => {
    const verdict = verdictOf(call);
    const problem = `call ${number} (${request.command}) is ${verdict}, and ${what} is there ${count} times`;
    if (count === 0 && verdict === 'acknowledged') return [{ count: 'lost', where: session.id, problem }];
    return count > (verdict === 'refused' ? 0 : 1) ? [{ count: 'duplicated', where: session.id, problem }] : [];
  };
  const countOf = (fits: (entry: Entry) => boolean): number => entries.filter((entry) => entry.copied !== true && fits(entry)).length;
  switch (request.command) {
    case 'create': case 'send': case 'edit': case 'retry': {
      // A message that is said again has an id of the server's making.
      const messageId = request.command === 'retry' ? fieldOf(reply?.body, 'messageId') : request.target;
      if (typeof messageId !== 'string') return [];
      const text = request.command === 'retry' ? null : textOf(request.command === 'create' ? fieldOf(request.body, 'message') : request.body, 'text');
      return [...expect(`message ${messageId}`, new Set(acceptedOf(entries, messageId)).size), ...messageFindings(messageId, text, { session, entries })];
    }
    case 'edit-queued': return expect('its text', countOf((entry) => entry.kind === 'queued-message-edited' && entry.messageId === request.target && firstText(entry) === textOf(request.body, 'text')));
    case 'set-state': case 'compare-and-set': {
      const value = textOf(request.body, 'value');
      return expect(`the value ${value}`, countOf((entry) => entry.kind === 'state-changed' && entry.value === value));
    }
    default: return [];
  }
}

/** Seqs at which a message was accepted: one for each time. What waited first is accepted once, when it began to wait. */
function acceptedOf(entries: readonly Entry[], messageId: string): readonly number[] {
  const own = entries.filter((entry): entry is EntryOf<'user-message' | 'message-queued'> => entry.copied !== true && (entry.kind === 'user-message' || entry.kind === 'message-queued') && entry.messageId === messageId);
  const queued = own.filter(({ kind }) => kind === 'message-queued');
  return (queued.length > 0 ? queued : own).map(({ seq }) => seq);
}

/** What became of a message that was accepted: it was said once, with the text that it had last, or taken out. */
function messageFindings(messageId: string, sent: string | null, { session, entries }: LoggedSession): readonly HistoryFinding[] {
  const where = `${session.id}, message ${messageId}`;
  if (acceptedOf(entries, messageId).length === 0) return [];
  const own = entries.filter((entry) => entry.copied !== true && 'messageId' in entry && entry.messageId === messageId);
  const said = own.filter((entry): entry is EntryOf<'user-message'> => entry.kind === 'user-message');
  const removed = own.some(({ kind }) => kind === 'message-unqueued');
  const waits = session.queue.some((message) => message.messageId === messageId);
  if (said.length > 1) return [{ count: 'duplicated', where, problem: `it was said ${said.length} times` }];
  if (said.length === 0 && !removed && !waits) return [{ count: 'lost', where, problem: 'it was accepted, and neither said nor taken out of the queue' }];
  const edited = own.findLast((entry): entry is EntryOf<'queued-message-edited'> => entry.kind === 'queued-message-edited');
  const text = edited === undefined ? sent : firstText(edited);
  const [only] = said;
  return only === undefined || text === null || firstText(only) === text ? [] : [{ count: 'lost', where, problem: `it was said as ${firstText(only)}`, found: text }];
}

function firstText({ parts }: Pick<EntryOf<'user-message'>, 'parts'>): string {
  const [part] = parts;
  return part?.type === 'text' ? part.text : '';
}

/** Messages that nobody sent, and messages taken out that nobody took out. */
function strangerFindings(calls: readonly ClientCall[], { session, entries }: LoggedSession): readonly HistoryFinding[] {
  const sent = new Set(calls.filter(({ request }) => sending.has(request.command)).map(({ request, reply }) => (request.command === 'retry' ? fieldOf(reply?.body, 'messageId') : request.target)));
  const openRetries = calls.filter((call) => call.request.command === 'retry' && verdictOf(call) === 'open').length;
  const strangers = new Set(entries.flatMap((entry) => (entry.copied !== true && entry.kind === 'user-message' && !sent.has(entry.messageId) ? [entry.messageId] : [])));
  const removals = new Set(calls.filter((call) => call.request.command === 'delete-queued' && verdictOf(call) !== 'refused').map(({ request }) => request.target));
  const removed = entries.flatMap((entry) => (entry.kind === 'message-unqueued' && !removals.has(entry.messageId) ? [entry.messageId] : []));
  return [
    ...(strangers.size > openRetries ? [{ count: 'duplicated' as const, where: session.id, problem: 'messages that nobody sent', found: [...strangers].join(' ') }] : []),
    ...removed.map((messageId): HistoryFinding => ({ count: 'lost', where: `${session.id}, message ${messageId}`, problem: 'it was taken out of the queue, and nobody asked for that' })),
    ...calls.flatMap((call): HistoryFinding[] => {
      if (call.request.command !== 'delete-queued' || verdictOf(call) !== 'acknowledged') return [];
      const { target } = call.request;
      const count = entries.filter((entry) => entry.kind === 'message-unqueued' && entry.messageId === target).length;
      return count === 1 ? [] : [{ count: count === 0 ? 'lost' : 'duplicated', where: `${session.id}, message ${target}`, problem: `call ${call.number} took it out of the queue, which is there ${count} times` }];
    }),
  ];
}
