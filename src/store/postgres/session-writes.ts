import { externalIdTaken } from '../../core/accept/transfer.ts';
import type { Change } from '../../core/draft.ts';
import { invariant, isRefusal } from '../../core/errors.ts';
import type { Branch } from '../../core/history.ts';
import type { Operation } from '../../core/operation.ts';
import { dueAtMs, keysOfOpenCalls } from '../../core/session.ts';
import type { StreamSegment } from '../../core/stream-parts.ts';
import { StoreError } from '../store-error.ts';
import type { CreateRequest, CreateResult, SessionKey, SessionRef, StoreTransaction, UpdateRequest, UpdateResult } from '../store.ts';
import { wholeEntries, type ChangeWriter, type ReplyToKeep, type Write } from './change-writer.ts';
import type { GroupCommit } from './group-commit.ts';
import { InTurn } from './in-turn.ts';
import type { KnownSession, KnownSessions } from './known-sessions.ts';
import type { Database, Row, Statement } from './open-database.ts';
import { committed, looksBeside, needsLock, newOwnersKey, notPlanned, nothingBeside, plan, scopesOf, stateWritesOf, type Planned } from './planned-change.ts';
import { isContested, mayHaveLanded } from './postgres-errors.ts';
import { entryOf, marksOf, outcomesOf, readSession, type LoadedRows, type SessionRows } from './session-rows.ts';
import { loadState } from './state-rows.ts';
import { replayOf } from './stored-replies.ts';
import type { Statements } from './statements.ts';
import { writesBeside } from './writes-beside.ts';

/** So often a change is tried without a lock; then its session is locked first, so that it takes place however many others change it. */
const unlockedTriesMax = 3;
const triesMax = 50;

export interface SessionWritesOptions {
  readonly database: Database;
  readonly statements: Statements;
  readonly rows: SessionRows;
  readonly writer: ChangeWriter;
  /** null: each change is committed by itself. */
  readonly group: GroupCommit | null;
  readonly known: KnownSessions;
  readonly nowMs: () => number;
  /** A new id for a commit, never used before by anybody. */
  readonly mintCommitId: () => string;
  /** Told of every commit that has landed. */
  readonly announce: (ref: SessionRef, leavesWork: boolean) => void;
}

/** Under the lock. */
interface Locked {
  readonly chunks: boolean;
  readonly send: (statement: Statement) => Promise<readonly Row[]>;
}

/** A write whose commit came back as an error may have landed all the same, now or a little later. */
type Unsure<Reply> = Planned<Reply> & { readonly write: Write<Reply> };

/**
 * Changes of sessions. A change is made of the session as this process knows it, or as it reads it, and committed in one round trip that checks that the row is still that one; if it was not, it is made again of the
 * newer one. Only what has to see rows beside the session that others may just be writing takes the session's lock first.
 */
export class SessionWrites {
  readonly #options: SessionWritesOptions;
  readonly #turns = new InTurn();

  constructor(options: SessionWritesOptions) {
    this.#options = options;
  }

  async create<Reply>(request: CreateRequest<Reply>): Promise<CreateResult<Reply>> {
    const { database } = this.#options;
    if (request.transaction !== undefined) {
      const { transaction } = request;
      try {
        const created = await this.#create(request, (statement) => database.send(transaction, statement), [], (statements) => database.sendAll(transaction, statements));
        invariant(created !== 'again', 'what is written in a transaction is not tried again');
        return created;
      } catch (error) {
        if (!isContested(error)) throw error;
        throw new StoreError('transaction_failed', 'another transaction created the same session, or used the same key, at the same time; nothing of this one can be committed: run it again', { cause: error });
      }
    }
    const unsure: Write<Reply>[] = [];
    for (let tries = 1; tries <= triesMax; tries += 1) {
      const created = await database.retrying(() => this.#create(request, (statement) => database.run(statement), unsure));
      if (created !== 'again') return created;
    }
    throw tooContested(request.ref.id);
  }

  async #createdAfterAll<Reply>(unsure: readonly Write<Reply>[]): Promise<CreateResult<Reply> | null> {
    for (const write of unsure) {
      if (!(await this.#hasLanded(write))) continue;
      this.#announce(write.change);
      return createdBy(write);
    }
    return null;
  }

  async #create<Reply>(request: CreateRequest<Reply>, read: (statement: Statement) => Promise<readonly Row[]>, unsure: Write<Reply>[], writeWithin?: (statements: readonly Statement[]) => Promise<unknown>): Promise<CreateResult<Reply> | 'again'> {
    const { rows, writer, mintCommitId } = this.#options;
    const { ref, owner, externalId, idempotency = [], origin: copied } = request;
    const mayExist = externalId !== undefined || idempotency.length > 0;
    const loaded = mayExist ? rows.loadedOf(await read(rows.load({ tenant: ref.tenant, id: externalId ?? '', owner }, idempotency.map(({ scope }) => scope)))) : null;
    // After the read, which may have seen what an earlier try has created after all.
    const created = await this.#createdAfterAll(unsure);
    if (created !== null) return created;
    const replayed = replayOf(loaded?.replies ?? [], '', idempotency);
    if (replayed !== null) return replayed;
    if (loaded !== null && loaded.known !== null) return { kind: 'exists', session: loaded.known.session };
    const origin = copied === undefined ? null : (rows.loadedOf(await read(rows.load(copied, []))).known?.session ?? null);
    const change = request.build(origin);
    if (isRefusal(change)) return { kind: 'refused', refusal: change };
    const reply = idempotency.length === 0 ? null : request.replyToStore(change.reply);
    const replies: readonly ReplyToKeep[] = [
      ...idempotency.map((key) => ({ key, reply, sessionId: '', createdSessionId: ref.id })),
      ...(request.sessionReplies?.(change.reply) ?? []).map(({ idempotency: key, reply: kept }) => ({ key, reply: kept, sessionId: ref.id })),
    ];
    const write: Write<Reply> = { from: null, origin, commitId: mintCommitId(), change, entries: wholeEntries(change.entries, []), replies };
    if (writeWithin !== undefined) await writeWithin(writer.statements(write));
    else if (await this.#commit(write, () => unsure.push(write)) === 'moved') return 'again';
    else this.#landed(write, []);
    return createdBy(write);
  }

  update<Reply>(request: UpdateRequest<Reply>): Promise<UpdateResult<Reply>> {
    if (request.transaction !== undefined) return this.#updateWithin(request, request.transaction);
    // Changes of one session by this process follow each other, so that they do not get into each other's way.
    return this.#turns.run(`${request.key.tenant}\n${request.key.id}`, () => this.#update(request));
  }

  async #update<Reply>(request: UpdateRequest<Reply>): Promise<UpdateResult<Reply>> {
    const { database } = this.#options;
    const unsure: Unsure<Reply>[] = [];
    let locks = looksBeside(request);
    const known = await this.#tryKnown(request, unsure);
    if (known !== 'again' && known !== 'lock') return known;
    locks ||= known === 'lock';
    for (let tries = 1; tries <= triesMax; tries += 1) {
      locks ||= tries > unlockedTriesMax;
      const result = await database.retrying((lockTries) => (locks ? this.#tryLocked(request, unsure, lockTries) : this.#tryRead(request, unsure)));
      if (result === 'lock') locks = true;
      else if (result !== 'again') return result;
    }
    throw tooContested(request.key.id);
  }

  /** Without a round trip to read: most steps of a worker follow its own last commit. What would be refused may be so only of an old state, and is looked at again. */
  async #tryKnown<Reply>(request: UpdateRequest<Reply>, unsure: Unsure<Reply>[]): Promise<UpdateResult<Reply> | 'again' | 'lock'> {
    const { key, idempotency = [], reads = {} } = request;
    const known = this.#options.known.get(key);
    if (known === null || idempotency.length > 0 || looksBeside(request) || (reads.operationKeys?.length ?? 0) > 0 || keysOfOpenCalls(known.session).length > 0) return 'again';
    if (key.owner !== undefined && key.owner !== known.session.owner) return 'again';
    if (stateWritesOf(request, known).length > 0) return 'lock';
    const planned = plan(request, { known, replies: [] }, { chunks: [], keyedOperations: [] });
    if (planned.kind !== 'planned' || this.#options.writer.isEmpty(known.session, planned)) return 'again';
    return this.#options.database.retrying(() => this.#commitUnlocked(planned, unsure));
  }

  async #tryRead<Reply>(request: UpdateRequest<Reply>, unsure: Unsure<Reply>[]): Promise<UpdateResult<Reply> | 'again' | 'lock'> {
    const { database, rows } = this.#options;
    const send = (statement: Statement): Promise<readonly Row[]> => database.run(statement);
    const loaded = rows.loadedOf(await send(rows.load(request.key, scopesOf(request))));
    const landed = await this.#landedAfterAll(unsure);
    if (landed !== null) return landed;
    if (loaded.known !== null && stateWritesOf(request, loaded.known).length > 0) return 'lock';
    const planned = plan(request, loaded, { chunks: [], keyedOperations: await this.#keyedOperations(request, loaded, send) });
    return planned.kind === 'planned' ? this.#commitUnlocked(planned, unsure) : planned;
  }

  async #commitUnlocked<Reply>(planned: Planned<Reply>, unsure: Unsure<Reply>[]): Promise<UpdateResult<Reply> | 'again' | 'lock'> {
    const { database, writer } = this.#options;
    const { before, change } = planned;
    if (writer.isEmpty(before.session, planned)) return committed(planned, []);
    if (needsLock(before.session, change)) return 'lock';
    const write = await this.#write(planned, (statement) => database.run(statement));
    if (write === null || await this.#commit(write, () => unsure.push({ ...planned, write })) === 'moved') {
      this.#options.known.forget(change.session);
      return 'again';
    }
    this.#landed(write, before.outcomes);
    return committed(planned, write.entries);
  }

  /** The session is locked by a statement that reads nothing else; those after it see all that was committed before the lock was had. */
  async #tryLocked<Reply>(request: UpdateRequest<Reply>, unsure: Unsure<Reply>[], tries: number): Promise<UpdateResult<Reply> | 'again'> {
    const { database, rows, statements, writer } = this.#options;
    const ref = await this.#refOf(request.key);
    if (ref === null) return this.#tryRead(request, unsure).then((result) => (result === 'lock' ? 'again' : result));
    let begun: Unsure<Reply> | null = null;
    try {
      const result = await database.transaction([statements.get('lockSession', ref.tenant, ref.id), rows.load({ ...request.key, id: ref.id }, scopesOf(request))], async ([, loadedRows = []], client) => {
        const send = (statement: Statement): Promise<readonly Row[]> => database.send(client, statement);
        const landed = await this.#landedAfterAll(unsure, send);
        if (landed !== null) return { last: 'rollback', result: landed };
        const planned = await this.#planLocked(request, rows.loadedOf(loadedRows), { chunks: request.reads?.chunks === true, send });
        if (planned.kind !== 'planned') return { last: 'rollback', result: planned };
        if (writer.isEmpty(planned.before.session, planned)) return { last: 'rollback', result: committed(planned, []) };
        const write = await this.#write(planned, send);
        invariant(write !== null, 'a session that is locked has its entries');
        begun = { ...planned, write };
        return { last: [...await writesBeside({ before: planned.before.session, change: planned.change, commitId: write.commitId }, { statements, send }), ...writer.statements(write)], result: committed(planned, write.entries) };
      }, tries);
      this.#landedLocked(begun);
      return result;
    } catch (error) {
      if (begun !== null && isContested(error)) return 'again';
      if (begun === null || !mayHaveLanded(error)) throw error;
      unsure.push(begun);
      return 'again';
    }
  }

  /** In a transaction that is the caller's to end: nothing is told of it, and nothing is known of what it will have become. */
  async #updateWithin<Reply>(request: UpdateRequest<Reply>, transaction: StoreTransaction): Promise<UpdateResult<Reply>> {
    const { database, rows, statements, writer, known } = this.#options;
    const send = (statement: Statement): Promise<readonly Row[]> => database.send(transaction, statement);
    const loadedFirst = rows.loadedOf(await send(rows.load(request.key, scopesOf(request))));
    if (loadedFirst.known === null) return notPlanned(plan(request, loadedFirst, nothingBeside));
    const { tenant, id } = loadedFirst.known.session;
    const [lock] = await send(statements.get('lockSession', tenant, id));
    const planned = await this.#planLocked(request, rows.loadedOf(await send(rows.load({ ...request.key, id }, scopesOf(request)))), { chunks: request.reads?.chunks === true, send });
    if (planned.kind !== 'planned') return planned;
    if (writer.isEmpty(planned.before.session, planned)) return committed(planned, []);
    if (lock?.['sees_all'] === false && needsLock(planned.before.session, planned.change)) throw seesTooLittle(id);
    const write = await this.#write(planned, send);
    invariant(write !== null, 'a session that is locked has its entries');
    await database.sendAll(transaction, [...await writesBeside({ before: planned.before.session, change: planned.change, commitId: write.commitId }, { statements, send }), ...writer.statements(write)]);
    known.forget({ tenant, id });
    return committed(planned, write.entries);
  }

  async #planLocked<Reply>(request: UpdateRequest<Reply>, loaded: LoadedRows, locked: Locked): Promise<UpdateResult<Reply> | Planned<Reply>> {
    const { rows } = this.#options;
    const session = loaded.known?.session;
    const attempt = session?.turn?.attempt;
    const chunkRows = locked.chunks && session !== undefined && attempt ? await locked.send(rows.chunks(session, attempt.id)) : [];
    const { reads = {} } = request;
    const { marks = false, branchId } = reads;
    const markRows = marks && session !== undefined ? await locked.send(rows.marks(session)) : null;
    const branchRows = branchId !== undefined && session !== undefined ? await locked.send(rows.branch(session, branchId)) : null;
    const entryRows = reads.entries !== undefined && session !== undefined ? await locked.send(this.#options.statements.get('contents', session.tenant, session.id, reads.entries)) : null;
    const writes = session === undefined ? [] : stateWritesOf(request, loaded.known);
    const planned = plan(request, loaded, {
      ...(session === undefined || writes.length === 0 ? {} : { state: await loadState(session, session.tenant, writes, { statements: this.#options.statements, nowMs: this.#options.nowMs(), send: locked.send }) }),
      ...(markRows === null ? {} : { marks: marksOf(markRows) }),
      ...(branchRows === null ? {} : { branch: branchRows[0] === undefined ? null : (JSON.parse(String(branchRows[0]['body'])) as Branch) }),
      ...(entryRows === null ? {} : { entries: entryRows.map(entryOf) }),
      chunks: chunkRows.flatMap((row) => JSON.parse(String(row['segments'])) as StreamSegment[]),
      keyedOperations: await this.#keyedOperations(request, loaded, locked.send),
    });
    return planned.kind === 'planned' ? this.#unlessTaken(planned, locked.send) : planned;
  }

  /** Who is to have the session may have one of its external id. One that comes into being meanwhile makes the commit fail, and is found at the next try. */
  async #unlessTaken<Reply>(planned: Planned<Reply>, send: Locked['send']): Promise<UpdateResult<Reply> | Planned<Reply>> {
    const key = newOwnersKey(planned);
    if (key === null) return planned;
    const [other] = await send(this.#options.statements.get('sessionByExternalId', key.tenant, key.externalId, key.owner));
    return other === undefined ? planned : { kind: 'refused', refusal: externalIdTaken({ ...key, agent: readSession(String(other['body'])).agent }), session: planned.before.session };
  }

  async #keyedOperations<Reply>({ reads }: UpdateRequest<Reply>, { known }: LoadedRows, send: Locked['send']): Promise<readonly Operation[]> {
    if (known === null) return [];
    const keys = [...new Set([...keysOfOpenCalls(known.session), ...(reads?.operationKeys ?? [])])];
    if (keys.length === 0) return [];
    const rows = await send(this.#options.statements.get('operationsByLiveKeys', known.session.tenant, keys));
    return rows.map((row) => JSON.parse(String(row['body'])) as Operation);
  }

  /** null: entries whose content the change takes over are gone, with their session. */
  async #write<Reply>({ before, change, replies }: Planned<Reply>, send: Locked['send']): Promise<Write<Reply> | null> {
    const { statements, mintCommitId } = this.#options;
    const seqs = change.entries.flatMap(({ contentFrom }) => (contentFrom === undefined ? [] : [contentFrom]));
    const { tenant, id } = change.session;
    const contents = seqs.length === 0 ? [] : (await send(statements.get('contents', tenant, id, seqs))).map(entryOf);
    if (seqs.some((seq) => ![...contents, ...change.entries].some((entry) => entry.seq === seq))) return null;
    return { from: before.commitId, commitId: mintCommitId(), change, entries: wholeEntries(change.entries, contents), replies };
  }

  /** Commits a write in one round trip. `moved`: the row is not any more what the change was made from, or a key is taken; nothing was written. */
  async #commit<Reply>(write: Write<Reply>, onUnsure?: () => void): Promise<'committed' | 'moved'> {
    const { database, writer, group } = this.#options;
    try {
      if (group !== null && writer.joins(write) && await group.commit(write) === 'committed') return 'committed';
    } catch (error) {
      if (mayHaveLanded(error)) return this.#unknown(write, onUnsure);
      // A group fails for the fault of one; and what it was, that one finds out by itself.
    }
    const statements = writer.statements(write);
    const [first] = statements;
    invariant(first !== undefined, 'a write has a statement');
    try {
      const rows = statements.length === 1 ? await database.withClient((client) => database.send(client, first)) : ((await database.runAll(statements))[0] ?? []);
      return rows.length > 0 ? 'committed' : 'moved';
    } catch (error) {
      if (isContested(error)) return 'moved';
      if (!mayHaveLanded(error)) throw error;
      return this.#unknown(write, onUnsure);
    }
  }

  /** After a commit that came back as an error. It may still be on its way: whatever is tried next either comes after it and finds it, or comes first and keeps it from landing. */
  async #unknown<Reply>(write: Write<Reply>, onUnsure?: () => void): Promise<'committed' | 'moved'> {
    if (await this.#hasLanded(write)) return 'committed';
    onUnsure?.();
    return 'moved';
  }

  /** Asked after the session has been read or locked for another try, never before: what lands between would be seen by that try as another's change, and be made a second time. */
  async #landedAfterAll<Reply>(unsure: readonly Unsure<Reply>[], send?: Locked['send']): Promise<UpdateResult<Reply> | null> {
    for (const each of unsure) {
      if (!(await (send === undefined ? this.#hasLanded(each.write) : this.#isThere(each.write, send)))) continue;
      this.#options.known.forget(each.change.session);
      this.#announce(each.change);
      return committed(each, each.write.entries);
    }
    return null;
  }

  /** Reads whether a commit is there: the row names it, or its first entry does. */
  async #isThere<Reply>({ commitId, change, entries }: Write<Reply>, send: Locked['send']): Promise<boolean> {
    const { tenant, id } = change.session;
    const [row] = await send(this.#options.statements.get('landed', tenant, id, entries[0]?.seq ?? 0, [commitId]));
    return row === undefined ? change.deletesSession : row['commit_id'] === commitId || row['entry_landed'] === true;
  }

  async #hasLanded<Reply>(write: Write<Reply>): Promise<boolean> {
    try {
      return await this.#isThere(write, (statement) => this.#options.database.run(statement));
    } catch (error) {
      throw new StoreError('commit_unknown', `the connection broke in a commit of session ${write.change.session.id}, and the database could not be asked whether it landed: read before you try again, or try again with the same key`, { cause: error });
    }
  }

  #landedLocked<Reply>(landed: Unsure<Reply> | null): void {
    if (landed === null) return;
    if (landed.change.deletesSession) {
      this.#options.known.forget(landed.change.session);
      this.#announce(landed.change);
    } else {
      this.#landed(landed.write, landed.before.outcomes);
    }
  }

  #landed<Reply>({ commitId, change }: Write<Reply>, outcomesBefore: KnownSession['outcomes']): void {
    const { session, dropsOutcomes, outcomes = [] } = change;
    const stepSeq = session.turn?.lastStep?.seq ?? -1;
    const stored = [...(dropsOutcomes ? [] : outcomesBefore.map((result) => ({ stepSeq, result }))), ...outcomes];
    this.#options.known.remember({ session, commitId, outcomes: outcomesOf(session, stored) });
    this.#announce(change);
  }

  #announce<Reply>({ session, operations = [], deletesSession }: Change<Reply>): void {
    this.#options.announce({ tenant: session.tenant, id: session.id }, !deletesSession && (dueAtMs(session) === 0 || operations.length > 0));
  }

  async #refOf(key: SessionKey): Promise<SessionRef | null> {
    if (key.id.startsWith('ses_')) return { tenant: key.tenant, id: key.id };
    return this.#options.rows.find(key);
  }
}

function createdBy<Reply>({ change, entries }: Write<Reply>): CreateResult<Reply> {
  return { kind: 'created', reply: change.reply, session: change.session, entries };
}

function seesTooLittle(id: string): StoreError {
  return new StoreError('transaction_misused', `this transaction reads as of its beginning and may not see all output of session ${id} that was stored since, which this change keeps or removes: begin it with ISOLATION LEVEL READ COMMITTED`);
}

function tooContested(id: string): StoreError {
  return new StoreError('store_unavailable', `session ${id} was changed by others ${triesMax} times in a row; nothing was written, try again`);
}

