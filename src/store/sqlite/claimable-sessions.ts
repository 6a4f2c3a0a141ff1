import type { Claimable, ClaimableQuery } from '../store.ts';
import type { PreparedStatements } from './statements.ts';
import { shareOfEachTenant, tenantsInTurn, type Backlog } from '../tenants-in-turn.ts';

interface DueRow extends Claimable {
  readonly active_at_ms: number;
}

/**
 * Sessions with something to do, the oldest first, tenants in turn. Costs what is asked for, and where more than that waits, a look or two into an index for each tenant
 * with something due; never the length of a backlog.
 */
export function claimableSessions(statements: PreparedStatements, { nowMs, deadWorkers, agents, limit }: ClaimableQuery): readonly Claimable[] {
  const orphaned = deadWorkers.flatMap((worker) => statements.get('sessionsOfWorker').all(worker) as Claimable[]);
  if (orphaned.length === 0 && statements.get('someSessionIsDue').get(nowMs) === undefined) return [];
  // Both kinds are read, so that new turns do not hide those that wait for a retry, nor these them.
  const names = JSON.stringify(agents);
  const unclaimed = statements.get('unclaimedSessions').all(names, limit) as DueRow[];
  const due = statements.get('dueSessions').all(nowMs, names, limit) as DueRow[];
  const hidden = unclaimed.length === limit || due.length === limit ? shareOfEachTenant(backlogOf(statements, nowMs, names), limit) : [];
  const waiting = new Map([...unclaimed, ...due, ...hidden].map((row) => [`${row.tenant}\n${row.id}`, row]));
  const oldestFirst = [...waiting.values()].sort((left, right) => left.active_at_ms - right.active_at_ms);
  return tenantsInTurn([...orphaned.filter(({ agent }) => agents.includes(agent)), ...oldestFirst]).slice(0, limit).map(({ tenant, id, agent }) => ({ tenant, id, agent }));
}

function backlogOf(statements: PreparedStatements, nowMs: number, names: string): Backlog<DueRow> {
  return {
    tenants: () => (statements.get('tenantsWithDue').all() as { tenant: string }[]).map(({ tenant }) => tenant),
    oldestOf: (tenants, count) => {
      const list = JSON.stringify(tenants);
      return [
        ...statements.get('unclaimedSessionsOfTenants').all(list, names, count) as DueRow[],
        ...statements.get('dueSessionsOfTenants').all(list, nowMs, names, count) as DueRow[],
      ];
    },
  };
}
