import { canonicalJson, type JsonObject, type JsonValue } from '../../core/json.ts';
import { fieldOf } from './json-field.ts';
import { isDone, type ClientCall, type ClientReply } from './client-history.ts';
import type { HistoryFinding } from './history-finding.ts';

/** What a repetition shows of a session that it made is as of now. */
const presentFields: ReadonlySet<string> = new Set(['title', 'preview', 'metadata']);

/** The same key with the same body has one reply, however often and however concurrently it is sent, and with another body it is refused (G2); and no server fails within. */
export function checkReplies(calls: readonly ClientCall[]): readonly HistoryFinding[] {
  return calls.flatMap(({ number, request, reply, others, cuts }): HistoryFinding[] => {
    const where = `call ${number} (${request.command})`;
    const failed = cuts.filter((reason) => reason === 'status 500').map((): HistoryFinding => ({ count: 'lost', where, problem: 'the server failed within' }));
    if (request.command === 'misuse-key' && reply !== null && reply.status !== 422) failed.push({ count: 'duplicated', where, problem: `a key that was used with another body was answered with ${reply.status}` });
    if (reply === null || !isDone(reply)) return failed;
    // What was sent beside it may have come first, and been refused then.
    const differing = others.filter((other) => (other.again || isDone(other.reply)) && comparable(other.reply) !== comparable(reply));
    return [...failed, ...differing.map((other): HistoryFinding => ({
      count: 'duplicated', where, problem: 'the same request had two replies', found: `${canonicalJson(reply as unknown as JsonValue)} and ${canonicalJson(other.reply as unknown as JsonValue)}`,
    }))];
  });
}

function comparable({ status, body }: ClientReply): string {
  const session = fieldOf(body, 'session');
  if (session === null) return canonicalJson({ status, body });
  const kept = Object.fromEntries(Object.entries(session as JsonObject).filter(([name]) => !presentFields.has(name)));
  return canonicalJson({ status, body: { ...(body as JsonObject), session: kept } });
}
