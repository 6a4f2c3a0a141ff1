import { refuse, RefusedError } from '../../core/errors.ts';
import type { SessionFilter, SessionPage } from '../store.ts';
import type { Database } from './open-database.ts';
import { readSession } from './session-rows.ts';

/** One page of sessions, the most recently active first. */
export function listSessions(database: Database, filter: SessionFilter): SessionPage {
  const { conditions, values } = conditionsOf(filter);
  const after = filter.cursor === undefined ? null : decodeCursor(filter.cursor);
  const pageConditions = after === null ? conditions : [...conditions, '(active_at_ms, id) < (?, ?)'];
  const rows = database.prepare(
    `SELECT body FROM session WHERE ${pageConditions.join(' AND ')} ORDER BY active_at_ms DESC, id DESC LIMIT ?`,
  ).all(...values, ...(after ?? []), filter.limit + 1) as { body: string }[];
  const items = rows.slice(0, filter.limit).map((row) => readSession(row.body));
  const last = items.at(-1);
  const count = filter.count
    ? Number(database.prepare(`SELECT count(*) FROM session WHERE ${conditions.join(' AND ')}`).pluck().get(...values))
    : null;
  return { items, nextCursor: rows.length > filter.limit && last !== undefined ? `${last.activeAtMs}.${last.id}` : null, count };
}

function conditionsOf({ tenant, owner, agent, status, archived, titleText }: SessionFilter): { readonly conditions: readonly string[]; readonly values: readonly (string | number)[] } {
  const conditions = ['tenant = ?'];
  const values: (string | number)[] = [tenant];
  const add = (condition: string, value: string | number | undefined): void => {
    if (value === undefined) return;
    conditions.push(condition);
    values.push(value);
  };
  add('owner = ?', owner);
  add('agent = ?', agent);
  add('status = ?', status);
  add('archived = ?', archived === undefined ? undefined : Number(archived));
  // Literal text: no wildcard of LIKE means anything here. SQLite's own lower() knows ASCII only.
  add('instr(title_lower_case, ?) > 0', titleText?.toLowerCase());
  return { conditions, values };
}

function decodeCursor(cursor: string): readonly [number, string] {
  const match = /^(\d{1,15})\.(ses_[0-9a-z]+)$/.exec(cursor);
  if (match === null) throw new RefusedError(refuse('invalid_request', `${JSON.stringify(cursor.slice(0, 100))} is no cursor: use nextCursor of the page before`));
  return [Number(match[1]), match[2] ?? ''];
}
