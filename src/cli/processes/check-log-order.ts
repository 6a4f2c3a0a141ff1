import { canonicalJson, type JsonValue } from '../../core/json.ts';
import { fieldOf, listOf, textOf } from './json-field.ts';
import { acknowledgedOf, type AcknowledgedCall, type ClientCall, type ClientCommand } from './client-history.ts';
import type { HistoryFinding, LoggedSession } from './history-finding.ts';
import { disorderIn, type Observation } from './real-time.ts';

/** Commands that always move the revision, so that their reply names one that was never there before. */
const writing: ReadonlySet<ClientCommand> = new Set(['send', 'edit', 'retry', 'edit-queued', 'delete-queued', 'set-state', 'increment', 'compare-and-set']);
const fullPage = 100;

/**
 * Holds what clients saw of one session against its log: all that they read is there, and the same; and revisions only grow in real time, so that the log is an order of one at a time that explains all replies. A read that
 * began after somebody's reply shows that reply's effect, whichever process answers it.
 */
export function checkLogOrder(calls: readonly ClientCall[], { session, entries }: LoggedSession): readonly HistoryFinding[] {
  const where = session.id;
  const acknowledged = acknowledgedOf(calls);
  const revisions = acknowledged.flatMap(revisionsOf);
  // A log may be read beyond its revision, and never short of it.
  const ends = acknowledged.flatMap(endsOf);
  const disorders = [...disorderIn(revisions), ...disorderIn([...revisions, ...ends]).filter(({ later }) => ends.includes(later))];
  const latest = Math.max(0, ...revisions.map(({ value }) => value));
  return [
    ...(latest > session.lastSeq ? [{ count: 'lost' as const, where, problem: `a reply named revision ${latest}, and the log ends at ${session.lastSeq}` }] : []),
    ...conditionFindings(acknowledged).map((problem): HistoryFinding => ({ count: 'duplicated', where, problem })),
    ...disorders.map(({ earlier, later }): HistoryFinding => ({ count: 'unordered', where, problem: `${later.what} was asked for after ${earlier.what}` })),
    ...acknowledged.filter(({ request }) => request.command === 'read-entries').flatMap((call) => entryFindings(call, entries).map((problem): HistoryFinding => ({ count: 'lost', where, problem }))),
  ];
}

/** Of those that were to be carried out only on a certain revision, one was. */
function conditionFindings(acknowledged: readonly AcknowledgedCall[]): readonly string[] {
  const on = new Map<number, number>();
  return acknowledged.flatMap(({ number, request: { command, ifMatch } }): string[] => {
    if (command !== 'send' || ifMatch === undefined) return [];
    const other = on.get(ifMatch);
    on.set(ifMatch, number);
    return other === undefined ? [] : [`calls ${other} and ${number} were both carried out on revision ${ifMatch}`];
  });
}

function revisionsOf(call: AcknowledgedCall): readonly Observation[] {
  const { request, reply } = call;
  // A fork's reply is about the copy; the tag of a value is its version.
  if (request.command === 'fork' || request.command === 'read-value') return [];
  const revision = request.command === 'create' ? fieldOf(fieldOf(reply.body, 'session'), 'revision') : reply.tag;
  return observed(call, revision, writing.has(request.command) ? 'made revision' : 'saw revision');
}

/** Where the log ended, as a page shows that is not full. */
function endsOf(call: AcknowledgedCall): readonly Observation[] {
  const items = call.request.command === 'read-entries' ? listOf(call.reply.body) : [];
  return items.length === 0 || items.length >= fullPage ? [] : observed(call, fieldOf(items.at(-1), 'seq'), 'read the log to entry');
}

function observed({ number, request, invokedAt, repliedAt }: AcknowledgedCall, value: JsonValue, how: string): readonly Observation[] {
  return typeof value === 'number' ? [{ invokedAt, repliedAt, value, advances: how.startsWith('made'), what: `call ${number} (${request.command}), which ${how} ${value},` }] : [];
}

/** What was read of the log and is not there, or not the same. */
function entryFindings({ number, reply }: ClientCall, entries: readonly LoggedSession['entries'][number][]): readonly string[] {
  return listOf(reply?.body).flatMap((item, place, items): string[] => {
    const seq = Number(fieldOf(item, 'seq'));
    const kept = entries[seq - 1];
    const before = items[place - 1];
    if (before !== undefined && Number(fieldOf(before, 'seq')) !== seq - 1) return [`call ${number} read entry ${seq} after ${canonicalJson(fieldOf(before, 'seq'))}`];
    if (kept === undefined) return [`call ${number} read entry ${seq}, which is not in the log`];
    return canonicalJson(kept as unknown as JsonValue) === canonicalJson(item) ? [] : [`call ${number} read entry ${seq} as ${canonicalJson(item)}; it is ${canonicalJson(kept as unknown as JsonValue)}`];
  });
}

/**
 * Holds reads of the transcript of a session whose history only grows against its log: the user's messages in each are those of the log, in its order and without a gap, up to one that is no older than any that was acknowledged, or read, before the
 * read began.
 */
export function checkTranscripts(calls: readonly ClientCall[], { session, entries }: LoggedSession): readonly HistoryFinding[] {
  const where = `${session.id}, transcript`;
  const order = entries.flatMap((entry) => (entry.kind === 'user-message' ? [entry.messageId] : []));
  const seqs = new Map(entries.flatMap((entry) => (entry.kind === 'user-message' ? [[entry.messageId, entry.seq] as const] : [])));
  const found: HistoryFinding[] = [];
  const lengths: Observation[] = [];
  for (const { number, request, invokedAt, repliedAt, reply } of acknowledgedOf(calls)) {
    if (request.command !== 'read-messages') continue;
    const read = listOf(reply.body).flatMap((message) => (fieldOf(message, 'role') === 'user' ? [textOf(message, 'id')] : []));
    const last = read.at(-1);
    const end = last === undefined ? 0 : order.indexOf(last) + 1;
    if (canonicalJson(order.slice(Math.max(0, end - read.length), end)) !== canonicalJson(read)) found.push({ count: 'unordered', where, problem: `call ${number} read messages that are not a stretch of the log`, found: read.join(' ') });
    const missed = order.slice(end).filter((messageId) => (seqs.get(messageId) ?? 0) <= (reply.tag ?? 0));
    if (missed.length > 0) found.push({ count: 'unordered', where, problem: `call ${number} read revision ${reply.tag} without messages that are in it`, found: missed.join(' ') });
    lengths.push({ invokedAt, repliedAt, value: end, advances: false, what: `call ${number}, which read ${end} messages,` });
  }
  return [...found, ...disorderIn(lengths).map(({ earlier, later }): HistoryFinding => ({ count: 'unordered', where, problem: `${later.what} was asked for after ${earlier.what}` }))];
}
