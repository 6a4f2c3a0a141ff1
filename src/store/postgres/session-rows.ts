import type { CallResult, Entry } from '../../core/entry.ts';
import { readEntry } from '../../core/entry-format.ts';
import { historyMarks, type Branch, type Mark } from '../../core/history.ts';
import type { JsonValue } from '../../core/json.ts';
import type { Operation } from '../../core/operation.ts';
import { dueAtMs, emptySession, statusOf, upgradeSession, type Session, type Turn } from '../../core/session.ts';
import type { StreamSegment } from '../../core/stream-parts.ts';
import type { BranchFilter, BranchPage, EntryRange, SessionKey, SessionRef, Tail, TailFrom } from '../store.ts';
import type { KnownSession } from './known-sessions.ts';
import type { Database, Row, Statement } from './open-database.ts';
import type { Statements } from './statements.ts';
import type { KeptReply } from './stored-replies.ts';

/** A session as it is now, and what is stored beside it that a change may need. */
export interface LoadedRows {
  /** null: there is no such session, or it is another owner's. */
  readonly known: KnownSession | null;
  readonly replies: readonly KeptReply[];
}

/** Reading the rows of sessions. */
export class SessionRows {
  readonly #database: Database;
  readonly #statements: Statements;

  constructor(database: Database, statements: Statements) {
    this.#database = database;
    this.#statements = statements;
  }

  async find(key: SessionKey): Promise<Session | null> {
    const rows = await this.#database.run(this.#statements.get(`session${byKey(key)}`, ...named(key)));
    return rows.length === 1 ? readSession(String(rows[0]?.['body'])) : null;
  }

  /** The statement whose rows {@link loadedOf} reads. */
  load(key: SessionKey, scopes: readonly string[]): Statement {
    return this.#statements.get(`loaded${byKey(key)}`, ...named(key), scopes);
  }

  loadedOf(rows: readonly Row[]): LoadedRows {
    const sessions = rows.filter(({ what }) => what === 's');
    const [only] = sessions;
    const replies = rows.filter(({ what }) => what === 'k').map((row): KeptReply => ({
      sessionId: String(row['key']), scope: String(row['scope']), fingerprint: String(row['mark']), httpStatus: Number(row['number']), reply: JSON.parse(String(row['body'])) as JsonValue,
    }));
    if (only === undefined || sessions.length > 1) return { known: null, replies };
    const session = readSession(String(only['body']));
    const outcomes = rows.filter(({ what }) => what === 'o').map((row) => ({ stepSeq: Number(row['number']), result: JSON.parse(String(row['body'])) as CallResult }));
    return { known: { session, commitId: String(only['mark']), outcomes: outcomesOf(session, outcomes) }, replies };
  }

  /** Live output of the attempt in flight. */
  chunks({ tenant, id }: SessionRef, attemptId: string): Statement {
    return this.#statements.get('chunks', tenant, id, attemptId);
  }

  async marked({ tenant, id }: SessionRef, mark: string): Promise<Entry | null> {
    const [row] = await this.#database.run(this.#statements.get('entryByMark', tenant, id, mark));
    return row === undefined ? null : entryOf(row);
  }

  /** The marks of the history, in the order of the log, from the statement's rows. */
  marks({ tenant, id }: SessionRef): Statement {
    return this.#statements.get('marks', tenant, id, historyMarks.from, historyMarks.before);
  }

  branch({ tenant, id }: SessionRef, branchId: string): Statement {
    return this.#statements.get('branchById', tenant, id, branchId);
  }

  async branches({ tenant, id }: SessionRef, { limit, before }: BranchFilter): Promise<BranchPage> {
    const rows = await this.#database.run(this.#statements.get('branches', tenant, id, before ?? null, limit + 1));
    const items = rows.slice(0, limit).map((row) => JSON.parse(String(row['body'])) as Branch);
    return { items, nextCursor: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
  }

  async entries({ tenant, id }: SessionRef, { afterSeq = 0, beforeSeq, limit }: EntryRange): Promise<readonly Entry[]> {
    if (beforeSeq === undefined) return (await this.#database.run(this.#statements.get('entriesAfter', tenant, id, afterSeq, limit))).map(entryOf);
    return (await this.#database.run(this.#statements.get('entriesBefore', tenant, id, afterSeq, beforeSeq, limit))).map(entryOf).reverse();
  }

  /** One statement, so one snapshot. */
  async tail(key: SessionKey, { afterSeq, limit, attemptId, afterOrdinal }: TailFrom): Promise<Tail | null> {
    const rows = await this.#database.run(this.#statements.get(`tail${byKey(key)}`, ...named(key), afterSeq, limit, attemptId, afterOrdinal));
    const of = (what: string): readonly Row[] => rows.filter((row) => row['what'] === what);
    const [only, another] = of('s');
    if (only === undefined || another !== undefined) return null;
    const session = readSession(String(only['body']));
    const entries = of('e').map(entryOf).sort((left, right) => left.seq - right.seq);
    const complete = (entries.at(-1)?.seq ?? afterSeq) >= session.lastSeq;
    const attempt = session.turn?.attempt;
    const operations = complete ? liveOperations(session, of('o')) : [];
    if (!complete || !attempt) return { session, entries, complete, chunks: [], ordinal: -1, operations };
    const chunks = of('c').toSorted((left, right) => Number(left['place']) - Number(right['place']));
    const ordinal = Number(chunks.at(-1)?.['place'] ?? (attempt.id === attemptId ? afterOrdinal : -1));
    return { session, entries, complete, chunks: chunks.flatMap((row) => JSON.parse(String(row['body'])) as StreamSegment[]), ordinal, operations };
  }
}

/** The columns of a session's row that change with it, in the order of `changingColumns` in `change-writer.ts`. */
export function changingValues(session: Session): readonly (string | number | boolean | null)[] {
  return [
    session.owner, session.title === null ? null : storable(session.title.toLowerCase()), statusOf(session), session.archived, session.activeAtMs, dueAtMs(session), session.claim?.worker ?? null,
    session.fence, session.turn?.attempt?.id ?? null, writeSession(session),
  ];
}

/** Outcomes of the calls that are open now; one that came late for an earlier step is not taken for one of theirs. */
export function outcomesOf({ turn }: Session, stored: readonly { readonly stepSeq: number; readonly result: CallResult }[]): readonly CallResult[] {
  const step = turn?.lastStep;
  if (!step || step.openCalls.length === 0) return [];
  return stored.filter(({ stepSeq }) => stepSeq === step.seq).map(({ result }) => result).sort((left, right) => left.index - right.index);
}

/** What a field is when its session's body does not say. */
const defaults = emptySession({ tenant: '', id: '' }, 0);
const defaultTexts = new Map(Object.entries(defaults).map(([name, value]) => [name, JSON.stringify(value)]));

/** Fields by how long they stay what they are: those that are not named change with every commit; these with every turn; these last. */
const turnlyFields = ['turn', 'lastTurn', 'activeAtMs', 'turns'] as const satisfies readonly (keyof Session)[];
const lastingFields = [
  'tenant', 'id', 'owner', 'agent', 'externalId', 'title', 'titleBy', 'preview', 'metadata', 'subject', 'binding', 'threadId', 'archived', 'createdAtMs', 'visible', 'branches', 'endAfterInactivityMs',
] as const satisfies readonly (keyof Session)[];
const places: ReadonlyMap<string, number> = new Map([...turnlyFields, ...lastingFields].map((name, place) => [name, place]));
/** Of the turn, those that change in the course of it; the others come after them. */
const turnsOwnFields: ReadonlySet<string> = new Set<keyof Turn>(['attempt', 'lastStep', 'steps']);

/**
 * The body of a session's row: without the fields that are what they are by default, and those that stay what they are the longer the nearer to its end. Of a row that is changed within its page, Postgres logs what lies
 * between the part that it has in common with the old one at its beginning and that at its end.
 */
export function writeSession(session: Session): string {
  const fields = Object.entries(session).filter(([name, value]) => value !== (defaults as unknown as Record<string, unknown>)[name] && (typeof value !== 'object' || JSON.stringify(value) !== defaultTexts.get(name)));
  const sorted = fields.sort(([left], [right]) => (places.get(left) ?? -1) - (places.get(right) ?? -1));
  return JSON.stringify(Object.fromEntries(sorted.map(([name, value]) => [name, name === 'turn' && value !== null ? lastingLast(value as Turn) : value])));
}

function lastingLast(turn: Turn): object {
  const fields = Object.entries(turn);
  return Object.fromEntries([...fields.filter(([name]) => turnsOwnFields.has(name)), ...fields.filter(([name]) => !turnsOwnFields.has(name))]);
}

/** A session's row, of whatever version of Holdfast. */
export function readSession(body: string): Session {
  return upgradeSession({ ...defaults, ...(JSON.parse(body) as Session) });
}

export function entryOf(row: Row): Entry {
  return readEntry(JSON.parse(String(row['body'])) as Record<string, unknown>);
}

export function marksOf(rows: readonly Row[]): readonly Mark[] {
  return rows.map((row) => ({ seq: Number(row['seq']), mark: String(row['mark']) })).sort((left, right) => left.seq - right.seq);
}

/** Text as Postgres takes it: it has no NUL. Bodies need no care: JSON writes it as an escape. */
export function storable(text: string): string {
  return text.replaceAll('\0', '\u{FFFD}').toWellFormed();
}

/** In the order of their start, as the session has them. */
function liveOperations({ operations }: Session, rows: readonly Row[]): readonly Operation[] {
  const read = new Map(rows.map((row) => JSON.parse(String(row['body'])) as Operation).map((operation) => [operation.id, operation]));
  return operations.flatMap(({ id }) => read.get(id) ?? []);
}

function byKey({ id }: SessionKey): 'ById' | 'ByExternalId' {
  return id.startsWith('ses_') ? 'ById' : 'ByExternalId';
}

function named({ tenant, id, owner }: SessionKey): readonly (string | null)[] {
  return [storable(tenant), storable(id), owner === undefined ? null : storable(owner)];
}

