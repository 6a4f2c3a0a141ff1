import type { CallResult, Entry, Interval } from '../../core/entry.ts';
import { contentOf, readEntry } from '../../core/entry-format.ts';
import { historyMarks, markOf, type Branch, type Mark, type MarkRange } from '../../core/history.ts';
import type { NewEntry, StoredOutcome } from '../../core/draft.ts';
import { invariant } from '../../core/errors.ts';
import { isVisible } from '../../core/intervals.ts';
import { dueAtMs, statusOf, upgradeSession, type Session } from '../../core/session.ts';
import type { StreamSegment } from '../../core/stream-parts.ts';
import type { BranchFilter, BranchPage, EntryRange, SessionKey, SessionRef } from '../store.ts';
import type { PreparedStatements } from './statements.ts';

/** Sorts after every id. */
const afterAllIds = '\u{10FFFF}';

/** Sessions whose parsed rows are kept. */
const parsedSessionsMax = 512;

/** Reading and writing the rows of one session, inside whatever transaction is open. */
export class SessionRows {
  readonly #statements: PreparedStatements;
  /** Rows as parsed last, by the very text they were parsed from: a row that has changed is parsed again. */
  readonly #parsed = new Map<string, { readonly body: string; readonly session: Session }>();

  constructor(statements: PreparedStatements) {
    this.#statements = statements;
  }

  find(key: SessionKey): Session | null {
    const session = key.id.startsWith('ses_') ? this.#byId(key) : this.#byExternalId(key);
    return session === null || (key.owner !== undefined && key.owner !== session.owner) ? null : session;
  }

  #byId({ tenant, id }: SessionRef): Session | null {
    const row = this.#statements.get('sessionById').get(tenant, id) as { body: string } | undefined;
    if (row === undefined) return null;
    const known = this.#parsed.get(id);
    if (known?.body === row.body) return known.session;
    const session = readSession(row.body);
    this.#remember(session, row.body);
    return session;
  }

  #remember(session: Session, body: string): void {
    this.#parsed.delete(session.id);
    this.#parsed.set(session.id, { body, session });
    if (this.#parsed.size <= parsedSessionsMax) return;
    for (const oldest of this.#parsed.keys()) {
      this.#parsed.delete(oldest);
      break;
    }
  }

  #byExternalId({ tenant, id, owner }: SessionKey): Session | null {
    const rows = (owner === undefined
      ? this.#statements.get('sessionsByExternalId').all(tenant, id)
      : this.#statements.get('sessionByExternalIdAndOwner').all(tenant, id, owner)) as { body: string }[];
    const [only, another] = rows;
    return only === undefined || another !== undefined ? null : readSession(only.body);
  }

  insert(session: Session): void {
    const { tenant, id, owner, agent, externalId } = session;
    this.#statements.get('insertSession').run(tenant, id, owner, agent, externalId, ...changingColumns(session), JSON.stringify(session));
  }

  update(session: Session): void {
    const body = JSON.stringify(session);
    this.#statements.get('updateSession').run(session.owner, ...changingColumns(session), body, session.tenant, session.id);
    this.#remember(session, body);
  }

  /** Everything that is the session's, the session last. */
  delete({ tenant, id }: SessionRef): void {
    for (const name of ['deleteEntries', 'deleteChunks', 'deleteOutcomes', 'deleteOperations', 'deleteWholeResults', 'deleteBranches', 'deleteIdempotency', 'deleteOutbox', 'deleteSession'] as const) {
      this.#statements.get(name).run(tenant, id);
    }
  }

  /** Writes entries, those with `contentFrom` with the content of the entry named there. Returns them as they stand in the log. */
  insertEntries({ tenant, id }: SessionRef, entries: readonly NewEntry[]): readonly Entry[] {
    const statement = this.#statements.get('insertEntry');
    return entries.map((entry) => {
      const whole = entry.contentFrom === undefined ? entry : this.#withContent({ tenant, id }, entry);
      statement.run(tenant, id, whole.seq, markOf(whole), JSON.stringify(whole));
      return whole;
    });
  }

  #withContent({ tenant, id }: SessionRef, { contentFrom, ...entry }: NewEntry): Entry {
    const row = this.#statements.get('entryBySeq').get(tenant, id, contentFrom) as { body: string } | undefined;
    invariant(row !== undefined, `entry ${contentFrom} of ${id} holds the content of another`);
    return { ...entry, ...contentOf(parseEntry(row.body)) } as Entry;
  }

  entries({ tenant, id }: SessionRef, { afterSeq = 0, beforeSeq, limit }: EntryRange): readonly Entry[] {
    const rows = (beforeSeq === undefined
      ? this.#statements.get('entriesAfter').all(tenant, id, afterSeq, limit)
      : this.#statements.get('entriesBefore').all(tenant, id, afterSeq, beforeSeq, limit).reverse()) as { body: string }[];
    return rows.map((row) => parseEntry(row.body));
  }

  /** Live output of an attempt, flattened; `ordinal` is the last one read, or `afterOrdinal`. */
  chunks({ tenant, id }: SessionRef, attemptId: string, afterOrdinal: number): { readonly segments: readonly StreamSegment[]; readonly ordinal: number } {
    const rows = this.#statements.get('chunksAfter').all(tenant, id, attemptId, afterOrdinal) as { ordinal: number; segments: string }[];
    return {
      segments: rows.flatMap((row) => JSON.parse(row.segments) as StreamSegment[]),
      ordinal: rows.at(-1)?.ordinal ?? afterOrdinal,
    };
  }

  marked({ tenant, id }: SessionRef, mark: string): Entry | null {
    const row = this.#statements.get('entryByMark').get(tenant, id, mark) as { body: string } | undefined;
    return row === undefined ? null : parseEntry(row.body);
  }

  /** The entries at these seqs, in their order. */
  entriesAt({ tenant, id }: SessionRef, seqs: readonly number[]): readonly Entry[] {
    return seqs.toSorted((left, right) => left - right).flatMap((seq) => {
      const row = this.#statements.get('entryBySeq').get(tenant, id, seq) as { body: string } | undefined;
      return row === undefined ? [] : [parseEntry(row.body)];
    });
  }

  /** The marks in a range, those of the history by default, in the order of the log. */
  marks({ tenant, id }: SessionRef, { from, before }: MarkRange = historyMarks): readonly Mark[] {
    return (this.#statements.get('marks').all(tenant, id, from, before) as Mark[]).sort((left, right) => left.seq - right.seq);
  }

  /** Of each mark in these ranges the last one that is visible. */
  lastMarks({ tenant, id, visible }: Session, ranges: readonly MarkRange[]): readonly Mark[] {
    const last = this.#statements.get('lastMarks').all({ tenant, id, ranges: JSON.stringify(ranges) }) as Mark[];
    return last.flatMap(({ mark, seq }) => {
      const found = isVisible(visible, seq) ? seq : this.#lastWithin({ tenant, id }, mark, visible);
      return found === null ? [] : [{ mark, seq: found }];
    });
  }

  #lastWithin({ tenant, id }: SessionRef, mark: string, visible: readonly Interval[]): number | null {
    for (const { fromSeq, toSeq } of visible.toReversed()) {
      const { seq } = this.#statements.get('lastMarkWithin').get(tenant, id, mark, fromSeq, toSeq ?? Number.MAX_SAFE_INTEGER) as { seq: number | null };
      if (seq !== null) return seq;
    }
    return null;
  }

  branch({ tenant, id }: SessionRef, branchId: string): Branch | null {
    const row = this.#statements.get('branchById').get(tenant, id, branchId) as { body: string } | undefined;
    return row === undefined ? null : (JSON.parse(row.body) as Branch);
  }

  branches({ tenant, id }: SessionRef, { limit, before = afterAllIds }: BranchFilter): BranchPage {
    const rows = this.#statements.get('branches').all(tenant, id, before, limit + 1) as { body: string }[];
    const items = rows.slice(0, limit).map((row) => JSON.parse(row.body) as Branch);
    return { items, nextCursor: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
  }

  /** Outcomes of the calls that are open now; one that came late for an earlier step is not taken for one of theirs. */
  outcomes({ tenant, id, turn }: Session): readonly CallResult[] {
    const step = turn?.lastStep;
    if (!step || step.openCalls.length === 0) return [];
    const rows = this.#statements.get('outcomes').all(tenant, id, step.seq) as { body: string }[];
    return rows.map((row) => JSON.parse(row.body) as CallResult);
  }

  /** Keeps outcomes of open calls for when their step's last one is in. The first one of a call counts. */
  keepOutcomes({ tenant, id }: SessionRef, outcomes: readonly StoredOutcome[]): void {
    for (const { stepSeq, result } of outcomes) this.#statements.get('keepOutcome').run(tenant, id, stepSeq, result.index, JSON.stringify(result));
  }
}

function changingColumns(session: Session): readonly (string | number | null)[] {
  return [
    session.title?.toLowerCase() ?? null, statusOf(session), session.archived ? 1 : 0, session.activeAtMs, dueAtMs(session), session.claim?.worker ?? null,
    session.fence, session.turn?.attempt?.id ?? null,
  ];
}

/** A session's row, of whatever version of Holdfast. */
export function readSession(body: string): Session {
  return upgradeSession(JSON.parse(body) as Session);
}

function parseEntry(body: string): Entry {
  return readEntry(JSON.parse(body) as Record<string, unknown>);
}
