import { isLive, operationDueAtMs, type Operation } from '../../core/operation.ts';
import { cancelled } from '../../core/operation-transitions.ts';
import type { Session } from '../../core/session.ts';
import type { ClaimableOperation, ClaimableQuery, HeldSession, OperationFilter, OperationKey, OperationPage, SessionRef } from '../store.ts';
import type { PreparedStatements } from './statements.ts';
import { shareOfEachTenant, tenantsInTurn, type Backlog } from '../tenants-in-turn.ts';

/** Sorts after every id. */
const afterAllIds = '\u{10FFFF}';

/** Reading and writing the rows of operations, inside whatever transaction is open. */
export class OperationRows {
  readonly #statements: PreparedStatements;

  constructor(statements: PreparedStatements) {
    this.#statements = statements;
  }

  find({ tenant, id, owner }: OperationKey): Operation | null {
    const row = this.#statements.get('operationById').get(tenant, id) as BodyRow | undefined;
    const operation = row === undefined ? null : readOperation(row);
    return operation === null || (owner !== undefined && owner !== operation.owner) ? null : operation;
  }

  insert(operation: Operation): void {
    const { tenant, id, sessionId, owner, agent, createdAtMs } = operation;
    this.#statements.get('insertOperation').run(tenant, id, sessionId, owner, agent, createdAtMs, ...changingColumns(operation));
  }

  update(operation: Operation): void {
    this.#statements.get('updateOperation').run(...changingColumns(operation), operation.tenant, operation.id);
  }

  /** Cancels what lives of these; their session is told in the same commit. */
  cancel(tenant: string, ids: readonly string[], nowMs: number): void {
    for (const id of ids) {
      const operation = this.find({ tenant, id });
      if (operation !== null && isLive(operation)) this.update(cancelled(operation, nowMs));
    }
  }

  /** Operations that live under one of the keys. */
  ofKeys(tenant: string, keys: readonly string[]): readonly Operation[] {
    return [...new Set(keys)].flatMap((key) => {
      const row = this.#statements.get('operationByLiveKey').get(tenant, key) as BodyRow | undefined;
      return row === undefined ? [] : [readOperation(row)];
    });
  }

  /** The session's operations that have not ended, in the order of their start. Costs nothing where it has none. */
  liveOf({ tenant, operations }: Session): readonly Operation[] {
    if (operations.length === 0) return [];
    const rows = this.#statements.get('operationsById').all(tenant, JSON.stringify(operations.map(({ id }) => id))) as (BodyRow & { id: string })[];
    const bodies = new Map(rows.map((row) => [row.id, row]));
    return operations.flatMap(({ id }) => {
      const row = bodies.get(id);
      return row === undefined ? [] : [readOperation(row)];
    });
  }

  list({ tenant, id }: SessionRef, { status, limit, before = afterAllIds }: OperationFilter): OperationPage {
    const rows = (status === undefined
      ? this.#statements.get('operationsOfSession').all(tenant, id, before, limit + 1)
      : this.#statements.get('operationsOfSessionByStatus').all(tenant, id, before, status, limit + 1)) as BodyRow[];
    const items = rows.slice(0, limit).map(readOperation);
    return { items, nextCursor: rows.length > limit ? (items.at(-1)?.id ?? null) : null };
  }

  heldBy(worker: string): readonly HeldSession[] {
    return this.#statements.get('operationsOfWorker').all(worker) as HeldSession[];
  }

  claimable({ nowMs, deadWorkers, agents, limit }: ClaimableQuery): readonly ClaimableOperation[] {
    const names = JSON.stringify(agents);
    // Each reason to be looked at is read for itself, so that none hides the others.
    const orphaned = deadWorkers.flatMap((worker) => this.#statements.get('orphanedOperations').all(worker, names, limit) as ClaimableRow[]);
    if (orphaned.length === 0 && this.#statements.get('someOperationIsDue').get(nowMs) === undefined) return [];
    const unclaimed = this.#statements.get('unclaimedOperations').all(names, limit) as ClaimableRow[];
    const due = this.#statements.get('dueOperations').all(nowMs, names, limit) as ClaimableRow[];
    // Nor does one tenant's backlog hide the others.
    const hidden = unclaimed.length === limit || due.length === limit ? shareOfEachTenant(this.#backlog(nowMs, names), limit) : [];
    const found = new Map([...orphaned, ...unclaimed, ...due, ...hidden].map((row) => [`${row.tenant}\n${row.id}`, row]));
    const oldestFirst = [...found.values()].sort((left, right) => left.created_at_ms - right.created_at_ms);
    return tenantsInTurn(oldestFirst).slice(0, limit).map(({ tenant, id, agent }) => ({ tenant, id, agent }));
  }

  #backlog(nowMs: number, names: string): Backlog<ClaimableRow> {
    return {
      tenants: () => (this.#statements.get('tenantsWithDueOperations').all() as { tenant: string }[]).map(({ tenant }) => tenant),
      oldestOf: (tenants, count) => {
        const list = JSON.stringify(tenants);
        return [
          ...this.#statements.get('unclaimedOperationsOfTenants').all(list, names, count) as ClaimableRow[],
          ...this.#statements.get('dueOperationsOfTenants').all(list, nowMs, names, count) as ClaimableRow[],
        ];
      },
    };
  }
}

interface BodyRow {
  readonly body: string;
}

interface ClaimableRow extends ClaimableOperation {
  readonly created_at_ms: number;
}

function changingColumns(operation: Operation): readonly (string | number | null)[] {
  const { status, worker, fence, key } = operation;
  return [status, worker, fence, operationDueAtMs(operation), isLive(operation) ? key : null, JSON.stringify(operation)];
}

function readOperation({ body }: BodyRow): Operation {
  return JSON.parse(body) as Operation;
}
