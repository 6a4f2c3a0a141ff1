import { isRefusal, refuse } from '../../core/errors.ts';
import { operationDueAtMs, type Operation } from '../../core/operation.ts';
import type { OperationChange } from '../../core/operation-transitions.ts';
import { dueAtMs } from '../../core/session.ts';
import { StoreError } from '../store-error.ts';
import type { HeldSession, OperationFilter, OperationKey, OperationPage, OperationUpdateRequest, OperationUpdateResult, SessionRef } from '../store.ts';
import { operationValues, wholeEntries, type ChangeWriter, type Write } from './change-writer.ts';
import type { KnownSession, KnownSessions } from './known-sessions.ts';
import type { Database, Statement } from './open-database.ts';
import { mayHaveLanded } from './postgres-errors.ts';
import { entryOf, outcomesOf, type SessionRows } from './session-rows.ts';
import type { Statements } from './statements.ts';

const triesMax = 50;

export interface OperationRowsOptions {
  readonly database: Database;
  readonly statements: Statements;
  readonly rows: SessionRows;
  readonly writer: ChangeWriter;
  readonly known: KnownSessions;
  readonly mintCommitId: () => string;
  readonly announce: (ref: SessionRef, leavesWork: boolean) => void;
}

interface KnownOperation {
  readonly operation: Operation;
  readonly commitId: string;
}

type Committed<Reply> = Extract<OperationUpdateResult<Reply>, { readonly kind: 'committed' }>;

/** Reading and changing the rows of operations. What changes an operation alone is committed by comparing its commit id; what changes its session too, under both locks, the session's first. */
export class OperationRows {
  readonly #options: OperationRowsOptions;

  constructor(options: OperationRowsOptions) {
    this.#options = options;
  }

  async find(key: OperationKey): Promise<Operation | null> {
    return (await this.#known(key))?.operation ?? null;
  }

  async list({ tenant, id }: SessionRef, { status, limit, before }: OperationFilter): Promise<OperationPage> {
    const { database, statements } = this.#options;
    const rows = await database.run(statements.get('operationsOfSession', tenant, id, before ?? null, status ?? null, limit + 1));
    const items = rows.slice(0, limit).map((row) => JSON.parse(String(row['body'])) as Operation);
    return { items, nextCursor: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
  }

  async heldBy(worker: string): Promise<readonly HeldSession[]> {
    const { database, statements } = this.#options;
    return (await database.run(statements.get('operationsOfWorker', worker))).map((row) => ({ tenant: String(row['tenant']), id: String(row['id']), fence: Number(row['fence']) }));
  }

  async update<Reply>(request: OperationUpdateRequest<Reply>): Promise<OperationUpdateResult<Reply>> {
    const { database } = this.#options;
    /** Results of commits that came back as an error, by their ids: one may have landed, or land yet. */
    const unsure = new Map<string, Committed<Reply>>();
    for (let tries = 1; tries <= triesMax; tries += 1) {
      const result = await database.retrying((lockTries) => (request.reads?.session === true ? this.#withSession(request, unsure, lockTries) : this.#alone(request, unsure)));
      if (result !== 'again') return result;
    }
    throw new StoreError('store_unavailable', `operation ${request.key.id} was changed by others ${triesMax} times in a row; nothing was written, try again`);
  }

  async #known({ tenant, id, owner }: OperationKey): Promise<KnownOperation | null> {
    const { database, statements } = this.#options;
    const [row] = await database.run(statements.get('operationById', tenant, id));
    const known = row === undefined ? null : knownOf(row);
    return known === null || (owner !== undefined && owner !== known.operation.owner) ? null : known;
  }

  async #alone<Reply>({ key, transition }: OperationUpdateRequest<Reply>, unsure: Map<string, Committed<Reply>>): Promise<OperationUpdateResult<Reply> | 'again'> {
    const known = await this.#known(key);
    if (known === null) return notFound(key);
    const landed = unsure.get(known.commitId);
    if (landed !== undefined) return landed;
    const change = transition({ operation: known.operation, session: null, outcomes: [] });
    if (isRefusal(change)) return { kind: 'refused', refusal: change, operation: known.operation };
    const result = committed(change, []);
    if (change.operation === known.operation) return result;
    const { database, mintCommitId } = this.#options;
    const commitId = mintCommitId();
    try {
      const rows = await database.withClient((client) => database.send(client, this.#change(change.operation, known.commitId, commitId)));
      if (rows.length === 0) return 'again';
    } catch (error) {
      if (!mayHaveLanded(error)) throw error;
      unsure.set(commitId, result);
      return 'again';
    }
    this.#announce(change);
    return result;
  }

  async #withSession<Reply>({ key, transition }: OperationUpdateRequest<Reply>, unsure: Map<string, Committed<Reply>>, tries: number): Promise<OperationUpdateResult<Reply> | 'again'> {
    const { database, statements, rows, writer, mintCommitId } = this.#options;
    const first = await this.#known(key);
    if (first === null) return notFound(key);
    const ref = { tenant: first.operation.tenant, id: first.operation.sessionId };
    const commitId = mintCommitId();
    let begun: { readonly result: Committed<Reply>; readonly change: OperationChange<Reply>; readonly before: KnownSession | null } | null = null;
    try {
      const locks = [statements.get('lockSession', ref.tenant, ref.id), statements.get('lockOperation', key.tenant, key.id), rows.load(ref, [])];
      const result = await database.transaction(locks, async ([, operationRows = [], loadedRows = []], client): Promise<{ last: readonly Statement[] | 'rollback'; result: OperationUpdateResult<Reply> }> => {
        const [row] = operationRows;
        if (row === undefined) return { last: 'rollback', result: notFound(key) };
        const { operation, commitId: at } = knownOf(row);
        const landed = unsure.get(at);
        if (landed !== undefined) return { last: 'rollback', result: landed };
        const { known } = rows.loadedOf(loadedRows);
        const change = transition({ operation, session: known?.session ?? null, outcomes: known?.outcomes ?? [] });
        if (isRefusal(change)) return { last: 'rollback', result: { kind: 'refused', refusal: change, operation } };
        const write = change.session === null || known === null ? null : await this.#write(change, known, commitId, (statement) => database.send(client, statement));
        begun = { result: committed(change, write?.entries ?? []), change, before: known };
        const last = [...(change.operation === operation ? [] : [this.#change(change.operation, null, commitId)]), ...(write === null ? [] : writer.statements(write))];
        return { last: last.length === 0 ? 'rollback' : last, result: begun.result };
      }, tries);
      if (begun !== null) this.#landed(begun, commitId);
      return result;
    } catch (error) {
      if (begun === null || !mayHaveLanded(error)) throw error;
      unsure.set(commitId, (begun as { readonly result: Committed<Reply> }).result);
      return 'again';
    }
  }

  async #write<Reply>({ session: change }: OperationChange<Reply>, known: KnownSession, commitId: string, send: (statement: Statement) => ReturnType<Database['send']>): Promise<Write<unknown> | null> {
    if (change === null) return null;
    const seqs = change.entries.flatMap(({ contentFrom }) => (contentFrom === undefined ? [] : [contentFrom]));
    const { tenant, id } = change.session;
    const contents = seqs.length === 0 ? [] : (await send(this.#options.statements.get('contents', tenant, id, seqs))).map(entryOf);
    return { from: known.commitId, commitId, change, entries: wholeEntries(change.entries, contents), replies: [] };
  }

  #change(operation: Operation, from: string | null, commitId: string): Statement {
    return this.#options.statements.get('updateOperation', operation.tenant, operation.id, from, commitId, ...operationValues(operation));
  }

  #landed<Reply>({ change, before }: { readonly change: OperationChange<Reply>; readonly before: KnownSession | null }, commitId: string): void {
    if (change.session !== null) {
      const { session, dropsOutcomes, outcomes = [] } = change.session;
      const stepSeq = session.turn?.lastStep?.seq ?? -1;
      const stored = [...(dropsOutcomes ? [] : (before?.outcomes ?? []).map((result) => ({ stepSeq, result }))), ...outcomes];
      this.#options.known.remember({ session, commitId, outcomes: outcomesOf(session, stored) });
    }
    this.#announce(change);
  }

  /** Followers of the session see its operations, though its row may stay as it is. */
  #announce<Reply>({ operation, session }: OperationChange<Reply>): void {
    const leavesWork = operationDueAtMs(operation) === 0 || (session !== null && dueAtMs(session.session) === 0);
    this.#options.announce({ tenant: operation.tenant, id: operation.sessionId }, leavesWork);
  }
}

function knownOf(row: Readonly<Record<string, unknown>>): KnownOperation {
  return { operation: JSON.parse(String(row['body'])) as Operation, commitId: String(row['commit_id']) };
}

function committed<Reply>(change: OperationChange<Reply>, entries: Committed<Reply>['entries']): Committed<Reply> {
  return { kind: 'committed', reply: change.reply, operation: change.operation, session: change.session?.session ?? null, entries };
}

function notFound<Reply>({ id }: OperationKey): OperationUpdateResult<Reply> {
  return { kind: 'refused', refusal: refuse('operation_not_found', `there is no operation ${id}`), operation: null };
}
