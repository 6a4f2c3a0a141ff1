import type { Change } from '../../core/draft.ts';
import type { Entry, EntryKind } from '../../core/entry.ts';
import { cancelled } from '../../core/operation-transitions.ts';
import { redactOperation } from '../../core/redact.ts';
import type { Session } from '../../core/session.ts';
import type { OperationKey } from '../store.ts';
import type { OperationRows } from './operation-rows.ts';
import type { SessionRows } from './session-rows.ts';
import type { StateRows } from './state-rows.ts';
import type { PreparedStatements } from './statements.ts';
import type { UsageRows } from './usage-rows.ts';

/** Writes what a transition changes of a session, whoever asked for it, inside whatever transaction is open. */
export class ChangeWriter {
  readonly #statements: PreparedStatements;
  readonly #rows: SessionRows;
  readonly #operations: OperationRows;
  readonly #state: StateRows;
  readonly #usage: UsageRows;
  readonly #outboxKinds: ReadonlySet<EntryKind>;

  constructor(statements: PreparedStatements, rows: SessionRows, operations: OperationRows, state: StateRows, usage: UsageRows, outboxKinds: readonly EntryKind[]) {
    this.#statements = statements;
    this.#rows = rows;
    this.#operations = operations;
    this.#state = state;
    this.#usage = usage;
    this.#outboxKinds = new Set(outboxKinds);
  }

  /** Writes a change of `before`; null: of a session that is new. Returns the entries as they stand in the log. */
  write<Reply>(before: Session | null, change: Change<Reply>): readonly Entry[] {
    const { session, operations = [], cancels = [], outcomes = [] } = change;
    const { tenant, id } = session;
    if (change.imported === true) this.#usage.countImported(session, change.entries);
    else this.#usage.count(session, change.entries);
    if (change.deletesSession) {
      this.#usage.keep(session, change.entries);
      this.#rows.delete(session);
      return [];
    }
    if (before === null) this.#rows.insert(session);
    else if (session !== before) this.#rows.update(session);
    if (before !== null && before.owner !== session.owner) this.#statements.get('changeOwnerOfOperations').run(session.owner, session.owner, tenant, id);
    const entries = this.#rows.insertEntries(session, change.entries);
    if (change.dropsChunks) this.#statements.get('deleteChunks').run(tenant, id);
    // Outcomes that are dropped are those of a step that is answered; those that are kept come after it.
    if (change.dropsOutcomes) this.#statements.get('deleteOutcomes').run(tenant, id);
    this.#rows.keepOutcomes(session, outcomes);
    for (const branchId of change.branches?.restored ?? []) this.#statements.get('deleteBranch').run(tenant, id, branchId);
    for (const branch of change.branches?.filed ?? []) this.#statements.get('insertBranch').run(tenant, id, branch.id, JSON.stringify(branch));
    this.#state.write(tenant, change.stateRows ?? [], session.updatedAtMs);
    for (const entry of change.redacts ?? []) this.#statements.get('redactEntry').run(JSON.stringify(entry), tenant, id, entry.seq);
    for (const operationId of change.redactsOperations ?? []) this.#redactOperation({ tenant, id: operationId });
    for (const wholeId of change.redactsWholes ?? []) this.#statements.get('deleteWholeResult').run(tenant, id, wholeId);
    // Cancelled first, so that one that begins may have the key of one that is over.
    this.#operations.cancel(tenant, cancels, session.updatedAtMs);
    for (const operation of operations) this.#operations.insert(cancels.includes(operation.id) ? cancelled(operation, session.updatedAtMs) : operation);
    for (const entry of entries) {
      // What a fork copies, or an import brings, happened in its origin, and was told of then.
      if (this.#outboxKinds.has(entry.kind) && entry.copied !== true && change.imported !== true) this.#statements.get('insertOutbox').run(tenant, id, entry.seq, entry.kind, entry.atMs);
    }
    return entries;
  }

  /** What an operation came to is in its row too. */
  #redactOperation(key: OperationKey): void {
    const operation = this.#operations.find(key);
    if (operation !== null) this.#operations.update(redactOperation(operation));
  }
}
