import type { Claimable, ClaimableOperation, ClaimableQuery } from '../store.ts';
import { tenantsInTurn } from '../tenants-in-turn.ts';
import type { Database, Row } from './open-database.ts';
import type { Statements } from './statements.ts';

interface DueRow extends ClaimableOperation {
  readonly sinceMs: number;
  readonly reason: string;
}

/**
 * Sessions with something to do, or operations: those of dead workers first, then the oldest, tenants in turn. One statement, and where more waits than is asked for, two more that look into the index for each tenant
 * with something due; never the length of a backlog.
 */
export async function claimableWork(database: Database, statements: Statements, what: 'Sessions' | 'Operations', { nowMs, deadWorkers, agents, limit }: ClaimableQuery): Promise<readonly Claimable[]> {
  const found = (await database.run(statements.get(`due${what}`, nowMs, agents, limit, deadWorkers))).map(dueRow);
  const isFull = ['unclaimed', 'due'].some((reason) => found.filter((row) => row.reason === reason).length === limit);
  const hidden = isFull ? await shareOfEachTenant() : [];
  const orphaned = found.filter(({ reason }) => reason === 'orphaned');
  const waiting = new Map([...found.filter(({ reason }) => reason !== 'orphaned'), ...hidden].map((row) => [keyOf(row), row]));
  for (const row of orphaned) waiting.delete(keyOf(row));
  const oldestFirst = [...waiting.values()].sort((left, right) => left.sinceMs - right.sinceMs);
  const inOrder = what === 'Sessions' ? [...orphaned, ...oldestFirst] : [...orphaned, ...oldestFirst].sort((left, right) => left.sinceMs - right.sinceMs);
  return tenantsInTurn(inOrder).slice(0, limit).map(({ tenant, id, agent }) => ({ tenant, id, agent }));

  /** Of each tenant the oldest, as many as make its share, however many of other tenants are older. */
  async function shareOfEachTenant(): Promise<readonly DueRow[]> {
    const tenants = (await database.run(statements.get(`tenantsWithDue${what}`))).map((row) => String(row['tenant']));
    if (tenants.length < 2) return [];
    const oldestOf = async (of: readonly string[], count: number): Promise<readonly DueRow[]> => (await database.run(statements.get(`due${what}OfTenants`, nowMs, agents, count, of))).map(dueRow);
    const oldest = await oldestOf(tenants, 1);
    // Of many tenants most may have something due only later.
    const withWork = [...new Set(oldest.map(({ tenant }) => tenant))];
    return withWork.length < 2 || withWork.length >= limit ? oldest : oldestOf(withWork, Math.ceil(limit / withWork.length));
  }
}

function dueRow(row: Row): DueRow {
  return { tenant: String(row['tenant']), id: String(row['id']), agent: String(row['agent']), sinceMs: Number(row['since_ms']), reason: String(row['reason']) };
}

function keyOf({ tenant, id }: DueRow): string {
  return `${tenant}\n${id}`;
}
