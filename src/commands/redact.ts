import { acceptRedact, type RedactReply } from '../core/accept/redact.ts';
import type { Entry } from '../core/entry.ts';
import { refuse, type Refusal } from '../core/errors.ts';
import { historyMarks, labelMarks, queuedMark, resultMarks, summariesOf, turnBeginMark } from '../core/history.ts';
import { limits } from '../core/limits.ts';
import { isRedactable, isSummarised, labelledTurnOf } from '../core/redact.ts';
import type { SessionRef, Store } from '../store/store.ts';
import { ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { asJson, parseInput, redactInput, type RedactInput } from './input.ts';
import { runCommand } from './run-command.ts';

const pageEntries = 500;

/**
 * Removes the content of an entry for good, and of those that hold the same: a message that waited, and what it became; an operation's result, wherever it is; summaries that stand for it. What is left says that something was there, and who removed it. Refusals: `invalid_request` (no such
 * entry, or one without content), `session_not_found`, `session_busy` (it belongs to a turn that runs or waits), `revision_conflict`, `idempotency_mismatch`. Repeating it is harmless.
 */
export async function redact(host: CommandHost, sessionId: string, body: RedactInput, options: CommandOptions): Promise<CommandReply<RedactReply> | Refusal> {
  const parsed = parseInput(redactInput, body);
  if ('refused' in parsed) return parsed;
  const { seq } = parsed.input;
  const session = await host.store.readSession({ tenant: options.principal.tenant, id: sessionId, owner: ownerScope(options.principal) });
  if (session === null) return refuse('session_not_found', `there is no session ${sessionId}`);
  const [entry] = await host.store.readEntries(session, { afterSeq: seq - 1, limit: 1 });
  if (entry?.seq !== seq || seq > session.lastSeq) return refuse('invalid_request', `seq: the session has no entry ${seq}; its last one is ${session.lastSeq}`, { seq });
  const same = await sameContent(host.store, session, entry);
  const entries = [...same, ...(await summariesSince(host.store, session, same)), ...(await labelsOf(host.store, session, same))];
  const operationIds = entry.kind === 'tool-results' ? await operationsOfStep(host.store, session, entry.stepSeq) : [];
  // What had left the queue when the session was read is in the log in all its forms.
  const waits = 'messageId' in entry && session.queue.some(({ messageId }) => messageId === entry.messageId);
  const undelivered = 'operationId' in entry && session.deliveries.some(({ operationId }) => operationId === entry.operationId) ? entry.operationId : null;
  return runCommand(host, { name: 'redact', sessionId, body: asJson(body), httpStatus: 200, reads: { entries: entries.map((each) => each.seq), marks: true }, accept: acceptRedact({ entries, by: options.principal.owner, operationIds, waits, undelivered }) }, options);
}

/** Summaries that may say what the model was given of the entries. Without them it sees what is there again, and that is compacted anew. */
async function summariesSince(store: Store, ref: SessionRef, entries: readonly Entry[]): Promise<readonly Entry[]> {
  if (!entries.some(isSummarised)) return [];
  const seqs = summariesOf(await store.state.readMarks(ref, historyMarks), Math.min(...entries.map(({ seq }) => seq)));
  return store.state.readEntriesAt(ref, seqs.filter((seq) => entries.every((entry) => entry.seq !== seq)));
}

/** What was made of the turns that the entries are of: titles, summaries. They may say what the entries say. A message that joined a turn was queued for another. */
async function labelsOf(store: Store, ref: SessionRef, entries: readonly Entry[]): Promise<readonly Entry[]> {
  const turnIds = new Set(entries.flatMap((entry) => labelledTurnOf(entry) ?? []));
  const found = await Promise.all([...turnIds].flatMap(labelMarks).map((mark) => store.readMarked(ref, mark)));
  return found.filter((label) => label !== null);
}

/** Calls that waited for their operations have the results of these; the step names no operation. */
async function operationsOfStep(store: Store, ref: SessionRef, stepSeq: number): Promise<readonly string[]> {
  const found: string[] = [];
  for (let before: string | null | undefined; before !== null;) {
    const page = await store.listOperations(ref, { limit: limits.pageItemsMax, before });
    found.push(...page.items.flatMap((operation) => (operation.stepSeq === stepSeq ? [operation.id] : [])));
    before = page.nextCursor;
  }
  return found;
}

/** What holds the same content: what was asked of a summary is in the summary's entry and in that which began its turn; a message that waited is in the log as it was queued, as it was edited, and as it started; the result of a detached operation as it ended, and as the model was given it. */
async function sameContent(store: Store, ref: SessionRef, entry: Entry): Promise<readonly Entry[]> {
  if (entry.kind === 'operation-ended' || entry.kind === 'operation-result') {
    const found = await Promise.all(resultMarks(entry).map((mark) => store.readMarked(ref, mark)));
    return [entry, ...found.filter((other) => other !== null && other.seq !== entry.seq)] as readonly Entry[];
  }
  if (entry.kind === 'history-compacted' && entry.instructions !== undefined) {
    const begin = await store.readMarked(ref, turnBeginMark(entry.turnId));
    return [...(begin?.kind === 'turn-started' && isRedactable(begin) ? [begin] : []), entry];
  }
  if (!('messageId' in entry)) return [entry];
  const { messageId } = entry;
  const queued = await store.readMarked(ref, queuedMark(messageId));
  if (queued === null) return [entry];
  // It was queued before it was edited, and edited before it started.
  const found: Entry[] = [];
  for (let after = Math.min(queued.seq, entry.seq) - 1, searches = true; searches;) {
    const page = await store.readEntries(ref, { afterSeq: after, limit: pageEntries });
    found.push(...page.filter((other) => 'messageId' in other && other.messageId === messageId && (other.kind === 'message-queued' || other.kind === 'queued-message-edited' || other.kind === 'user-message')));
    after = page.at(-1)?.seq ?? after;
    const isOver = page.some((other) => (other.kind === 'user-message' || other.kind === 'message-unqueued') && other.messageId === messageId);
    searches = page.length === pageEntries && !isOver;
  }
  return found.some(({ seq }) => seq === entry.seq) ? found : [entry, ...found];
}
