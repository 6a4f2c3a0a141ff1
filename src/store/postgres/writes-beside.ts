import type { Change } from '../../core/draft.ts';
import { isLive, type Operation } from '../../core/operation.ts';
import { cancelled } from '../../core/operation-transitions.ts';
import { redactOperation } from '../../core/redact.ts';
import type { Session } from '../../core/session.ts';
import { operationValues } from './change-writer.ts';
import type { Row, Statement } from './open-database.ts';
import { stateStatements } from './state-rows.ts';
import type { Statements } from './statements.ts';

/** What a change does to rows that stand already beside the session's own. */
export interface Beside {
  readonly before: Session;
  readonly change: Change<unknown>;
  readonly commitId: string;
}

interface Reading {
  readonly statements: Statements;
  /** In the transaction that has the session locked. */
  readonly send: (statement: Statement) => Promise<readonly Row[]>;
}

/** The statements that change rows which stand already: operations that are cancelled, given to another owner or without content any more, entries without content. First of all that a change writes, so that an operation that begins may have the key of one that is over. */
export async function writesBeside(beside: Beside, reading: Reading): Promise<readonly Statement[]> {
  const { stateRows = [], session } = beside.change;
  return [...stateStatements(session.tenant, stateRows, session.updatedAtMs, reading.statements), ...await ownerChanges(beside, reading), ...await redactions(beside, reading), ...await cancellations(beside, reading)];
}

async function cancellations({ change: { cancels = [], session }, commitId }: Beside, { statements, send }: Reading): Promise<readonly Statement[]> {
  if (cancels.length === 0) return [];
  const rows = await send(statements.get('lockOperations', session.tenant, cancels));
  const live = rows.map((row) => JSON.parse(String(row['body'])) as Operation).filter(isLive).map((operation) => cancelled(operation, session.updatedAtMs));
  return live.map((operation) => statements.get('updateOperation', operation.tenant, operation.id, null, commitId, ...operationValues(operation)));
}

/** Content is removed from entries, from the wholes of their results, and from what the rows of their operations say. */
async function redactions({ change: { redacts = [], redactsWholes = [], redactsOperations = [], session: { tenant, id } }, commitId }: Beside, { statements, send }: Reading): Promise<readonly Statement[]> {
  if (redacts.length === 0) return [];
  const rows = redactsOperations.length === 0 ? [] : await send(statements.get('lockOperations', tenant, redactsOperations));
  const operations = rows.map((row) => redactOperation(JSON.parse(String(row['body'])) as Operation));
  return [
    statements.get('redactEntries', tenant, id, redacts.map(({ seq }) => seq), redacts.map((entry) => JSON.stringify(entry))),
    ...(redactsWholes.length === 0 ? [] : [statements.get('deleteWholeResults', tenant, id, redactsWholes)]),
    ...operations.map((operation) => statements.get('updateOperation', tenant, operation.id, null, commitId, ...operationValues(operation))),
  ];
}

/** A session's operations go with it to its new owner. */
async function ownerChanges({ before, change: { session: { tenant, id, owner } }, commitId }: Beside, { statements, send }: Reading): Promise<readonly Statement[]> {
  if (before.owner === owner) return [];
  const rows = await send(statements.get('operationsOfSessionToChange', tenant, id));
  if (rows.length === 0) return [];
  const bodies = rows.map((row) => JSON.stringify({ ...(JSON.parse(String(row['body'])) as Operation), owner }));
  return [statements.get('changeOwnerOfOperations', tenant, owner, commitId, rows.map((row) => row['id']), bodies)];
}
