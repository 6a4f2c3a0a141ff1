import { refuse, RefusedError } from '../../core/errors.ts';
import type { SessionFilter, SessionPage } from '../store.ts';
import type { Database } from './open-database.ts';
import { readSession, storable } from './session-rows.ts';

/** One page of sessions, the most recently active first. */
export async function listSessions(database: Database, schema: string, filter: SessionFilter): Promise<SessionPage> {
  const { conditions, values } = conditionsOf(filter);
  const after = filter.cursor === undefined ? null : decodeCursor(filter.cursor);
  const place = (offset: number): string => `$${values.length + offset}`;
  const pageConditions = after === null ? conditions : [...conditions, `(active_at_ms, id) < (${place(1)}::bigint, ${place(2)}::text)`];
  const pageValues = [...values, ...(after ?? [])];
  const rows = await database.run({
    text: `SELECT body FROM ${schema}.session WHERE ${pageConditions.join(' AND ')} ORDER BY active_at_ms DESC, id DESC LIMIT $${pageValues.length + 1}`,
    values: [...pageValues, filter.limit + 1],
  });
  const items = rows.slice(0, filter.limit).map((row) => readSession(String(row['body'])));
  const last = items.at(-1);
  const [counted] = filter.count ? await database.run({ text: `SELECT count(*) AS count FROM ${schema}.session WHERE ${conditions.join(' AND ')}`, values }) : [];
  return {
    items, nextCursor: rows.length > filter.limit && last !== undefined ? `${last.activeAtMs}.${last.id}` : null,
    count: counted === undefined ? null : Number(counted['count']),
  };
}

function conditionsOf({ tenant, owner, agent, status, archived, titleText }: SessionFilter): { readonly conditions: readonly string[]; readonly values: readonly (string | boolean)[] } {
  // The second is true of all, and what the index of lists asks for.
  const conditions = ['tenant = $1', 'active_at_ms >= 0'];
  const values: (string | boolean)[] = [tenant];
  const add = (condition: (place: string) => string, value: string | boolean | undefined): void => {
    if (value !== undefined) conditions.push(condition(`$${values.push(value)}`));
  };
  add((place) => `owner = ${place}`, owner);
  add((place) => `agent = ${place}`, agent);
  add((place) => `status = ${place}`, status);
  add((place) => `archived = ${place}`, archived);
  // Literal text: no wildcard of LIKE means anything here.
  add((place) => `strpos(title_lower_case, ${place}) > 0`, titleText === undefined ? undefined : storable(titleText.toLowerCase()));
  return { conditions, values };
}

function decodeCursor(cursor: string): readonly [number, string] {
  const match = /^(\d{1,15})\.(ses_[0-9a-z]+)$/.exec(cursor);
  if (match === null) throw new RefusedError(refuse('invalid_request', `${JSON.stringify(cursor.slice(0, 100))} is no cursor: use nextCursor of the page before`));
  return [Number(match[1]), match[2] ?? ''];
}
