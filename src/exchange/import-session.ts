import { copiedMessageKeys } from '../commands/idempotency.ts';
import { importLog, type ImportLogReply } from '../core/accept/import-log.ts';
import type { Change } from '../core/draft.ts';
import type { Entry } from '../core/entry.ts';
import { isRefusal } from '../core/errors.ts';
import { canonicalJson, type JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import type { Operation } from '../core/operation.ts';
import { wholeIdsOf } from '../core/redact.ts';
import type { SessionRef, Store } from '../store/store.ts';
import { badLine, type ImportHost, type LineOutcome } from './line-outcome.ts';
import { withNewIds, type WholeSession } from './whole-session.ts';

const pageEntries = 500;

/**
 * Imports a whole session in one commit, under its own id or a new one; its whole results follow, and importing again brings those that are still missing. A session that is there already, as it was or gone on since, is left as it
 * is. Never changes one that is there. Rejects only with a `StoreError`.
 */
export async function importWholeSession(line: number, given: WholeSession, { newIds }: { readonly newIds?: boolean | undefined }, host: ImportHost): Promise<LineOutcome> {
  const { store, tenant, system } = host;
  const renamed = newIds === true ? withNewIds(given, (prefix) => system.ids.mint(prefix)) : given;
  const { session, warnings } = newIds === true ? await withFreeExternalId(renamed, host) : { session: renamed, warnings: [] };
  const ref: SessionRef = { tenant, id: session.id };
  const found = await existing(line, given.id, ref, session, store);
  if (found !== null) return found;
  const change = importLog(ref, session, { nowMs: system.clock.nowMs() });
  if (isRefusal(change)) return badLine(line, change.message);
  const problem = rowProblem(change) ?? (await takenOperation(session, ref, store));
  if (problem !== null) return badLine(line, problem);
  const created = await create(ref, change, () => takenOperation(session, ref, store), store);
  if (created === 'there') return (await existing(line, given.id, ref, session, store)) ?? badLine(line, 'somebody else made and deleted a session of this id meanwhile');
  if (created !== null) return badLine(line, created);
  await storeWholes(ref, session.wholes, wholeIdsIn(session.entries, session.operations), store);
  return { line, status: 'imported', id: given.id, sessionId: ref.id, warnings: [...warnings, ...leftBehind(change.reply)] };
}

/** null: created; `there`: by somebody else meanwhile; else why not. `taken`: whether an operation's id has been taken meanwhile. */
async function create(ref: SessionRef, change: Change<ImportLogReply>, taken: () => Promise<string | null>, store: Store): Promise<string | null> {
  const { owner, externalId } = change.session;
  try {
    const result = await store.create({
      ref, owner, ...(externalId === null ? {} : { externalId }), build: () => change, replyToStore: () => null,
      // A client's message id is unique in its session for good.
      sessionReplies: () => copiedMessageKeys(change.entries),
    });
    if (result.kind === 'exists') return result.session.id === ref.id ? 'there' : `the external id ${JSON.stringify(externalId)} of owner ${JSON.stringify(owner)} is that of session ${result.session.id}`;
    return result.kind === 'created' ? null : 'the store refused it';
  } catch (error) {
    // Two imports of one session, or of one operation, at a time: the store lets one of them in.
    if ((await store.readSession(ref)) !== null) return 'there';
    const problem = await taken();
    if (problem !== null) return problem;
    throw error;
  }
}

/** The session that has the id already: null: none has it. It is the same when its log begins with the one that is imported; what was redacted in one of them counts as the same. */
async function existing(line: number, id: string, ref: SessionRef, { entries, operations, wholes }: WholeSession, store: Store): Promise<LineOutcome | null> {
  const session = await store.readSession(ref);
  if (session === null) return null;
  const named = new Set<string>();
  for (let at = 0; at < entries.length; at += pageEntries) {
    const page = await store.readEntries(ref, { afterSeq: at, limit: pageEntries });
    for (const wholeId of wholeIdsIn(page, [])) named.add(wholeId);
    const differs = entries.slice(at, at + pageEntries).find((entry, place) => !isSame(entry, page[place]));
    if (differs === undefined) continue;
    const where = page.some(({ seq }) => seq === differs.seq) ? `it is another from entry ${differs.seq} on` : `it ends before entry ${differs.seq}: an earlier state of this one`;
    return badLine(line, `session ${ref.id} is there already, and ${where}; delete it first, or import with new ids`);
  }
  for (const operation of operations) {
    const here = await store.readOperation({ tenant: ref.tenant, id: operation.id });
    if (here !== null) for (const wholeId of wholeIdsIn([], [here])) named.add(wholeId);
  }
  // Named by what is here: what has been removed from it since does not come back.
  await storeWholes(ref, wholes, named, store);
  return { line, status: 'exists', id, sessionId: ref.id, warnings: [] };
}

function isSame(entry: Entry, other: Entry | undefined): boolean {
  if (other === undefined) return false;
  if (entry.redacted !== undefined || other.redacted !== undefined) return entry.kind === other.kind && entry.seq === other.seq;
  return canonicalJson(entry as unknown as JsonValue) === canonicalJson(other as unknown as JsonValue);
}

/** An id that the row beside the session has is looked for by everybody in the tenant. */
async function takenOperation({ operations }: WholeSession, { tenant }: SessionRef, store: Store): Promise<string | null> {
  for (const { id } of operations) {
    const taken = await store.readOperation({ tenant, id });
    if (taken !== null) return `operation ${id} is there already, in session ${taken.sessionId}; import with new ids`;
  }
  return null;
}

/** What a session's row may not be, whatever its log says. */
function rowProblem({ session: { agent, owner, externalId } }: Change<ImportLogReply>): string | null {
  for (const [name, text] of Object.entries({ agent, owner, externalId: externalId ?? '-' })) {
    if (text === '' || text.length > limits.clientIdCharsMax) return `${name}: it has 1 to ${limits.clientIdCharsMax} characters`;
  }
  return externalId?.startsWith('ses_') === true ? 'externalId: it begins with ses_, as session ids do' : null;
}

/** A copy in the same store cannot have the external id of its origin. */
async function withFreeExternalId(session: WholeSession, { store, tenant }: ImportHost): Promise<{ readonly session: WholeSession; readonly warnings: readonly string[] }> {
  const [first, ...rest] = session.entries;
  if (first?.kind !== 'session-created' || first.externalId === undefined) return { session, warnings: [] };
  const owner = session.entries.findLast((entry) => entry.kind === 'owner-changed')?.to ?? first.owner;
  const taken = await store.readSession({ tenant, id: first.externalId, owner });
  if (taken === null) return { session, warnings: [] };
  const { externalId, ...free } = first;
  return { session: { ...session, entries: [free, ...rest] }, warnings: [`the external id ${JSON.stringify(externalId)} is that of session ${taken.id}; the copy has none`] };
}

/** Ids under which wholes of results are kept that a log or operations name. */
function wholeIdsIn(entries: readonly Entry[], operations: readonly Pick<Operation, 'result'>[]): ReadonlySet<string> {
  return new Set([...entries.flatMap(wholeIdsOf), ...operations.flatMap(({ result }) => result?.wholeId ?? [])]);
}

async function storeWholes(ref: SessionRef, wholes: WholeSession['wholes'], named: ReadonlySet<string>, store: Store): Promise<void> {
  for (const { id, body } of wholes) if (named.has(id)) await store.storeWholeResult({ ref, id, body });
}

function leftBehind({ stoppedTurnId, leftOperations }: ImportLogReply): readonly string[] {
  return [
    ...(stoppedTurnId === null ? [] : [`turn ${stoppedTurnId} was open; it ended here as stopped, and nothing of it is run again`]),
    ...(leftOperations.length === 0 ? [] : [`the operations ${leftOperations.join(', ')} had not ended; they stay where they are from, and are cancelled here`]),
  ];
}
