import { existsSync } from 'node:fs';
import process from 'node:process';
import { HoldfastError } from '../../core/errors.ts';
import type { Entry } from '../../core/entry.ts';
import { schemaVersionLatest } from '../../store/sqlite/migrations.ts';
import { openDatabase, type Database } from '../../store/sqlite/open-database.ts';
import { readSession, SessionRows } from '../../store/sqlite/session-rows.ts';
import { PreparedStatements } from '../../store/sqlite/statements.ts';
import type { Operation } from '../../core/operation.ts';
import type { Session } from '../../core/session.ts';
import type { SessionRef } from '../../store/store.ts';
import { examineSession, type SessionRow } from './examine-session.ts';
import type { WorkRows } from './examine-work.ts';
import type { Finding } from './finding.ts';

/** What was looked at, and how it was found. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface Examination {
  readonly checks: readonly Check[];
  readonly findings: readonly Finding[];
  readonly sessions: number;
}

export interface ExamineProgress {
  readonly onSessions: (total: number) => void;
  readonly onSession: () => void;
}

const pageSessions = 200;
const pageEntries = 500;
/** Findings of one kind beyond these are counted, not listed. */
const findingsMax = 1_000;

/** Looks at everything that can be looked at, and changes nothing. Never rejects for what it finds. */
export async function examineStore(path: string, progress: ExamineProgress): Promise<Examination> {
  const node: Check = { name: 'Node.js', ok: true, detail: process.versions.node };
  const failed = (name: string, code: string, message: string): Examination => ({
    checks: [node, { name, ok: false, detail: message }], findings: [{ code, message }], sessions: 0,
  });
  if (!existsSync(path)) return failed('store', 'store_missing', `there is no file ${path}`);
  let database: Database;
  try {
    database = await openDatabase(path);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return failed('store', error.code, error.message);
  }
  try {
    // One snapshot of everything, whoever writes meanwhile.
    database.exec('BEGIN');
    const examined = examineDatabase(database, progress);
    return { ...examined, checks: [node, ...examined.checks] };
  } finally {
    database.close();
  }
}

function examineDatabase(database: Database, progress: ExamineProgress): Examination {
  const checks: Check[] = [{ name: 'SQLite', ok: true, detail: String(database.prepare('SELECT sqlite_version()').pluck().get()) }];
  const findings: Finding[] = [];
  const check = (name: string, found: readonly Finding[], detail: string): void => {
    checks.push({ name, ok: found.length === 0, detail: found.length === 0 ? detail : `${found.length} ${found.length === 1 ? 'finding' : 'findings'}` });
    findings.push(...found.slice(0, findingsMax));
  };
  const version = Number(database.pragma('user_version', { simple: true }));
  check('schema', schemaFindings(version), `version ${version}`);
  const integrity = (database.prepare('PRAGMA integrity_check').pluck().all() as string[]).filter((line) => line !== 'ok');
  check('integrity', integrity.map((message) => ({ code: 'corrupt', message })), 'the file is sound');
  if (version !== schemaVersionLatest || integrity.length > 0) return { checks, findings, sessions: 0 };
  check('stray rows', strayFindings(database), 'none');
  const total = Number(database.prepare('SELECT count(*) FROM session').pluck().get());
  progress.onSessions(total);
  const found: Finding[] = [];
  for (const row of sessionRows(database)) {
    found.push(...examineSession(row, wholeLog(database, row.session), workRows(database, row.session)));
    progress.onSession();
  }
  check('sessions', found, `${total} agree with their logs`);
  return { checks, findings, sessions: total };
}

function schemaFindings(version: number): readonly Finding[] {
  if (version === schemaVersionLatest) return [];
  if (version > schemaVersionLatest) return [{ code: 'schema_newer', message: `the schema has version ${version}, newer than the ${schemaVersionLatest} that this Holdfast knows: update it` }];
  return [{ code: 'schema_older', message: `the schema has version ${version}, older than ${schemaVersionLatest}: run "holdfast migrate"` }];
}

/** Rows that belong to no session, and live output that belongs to no attempt. */
function strayFindings(database: Database): readonly Finding[] {
  const strays: readonly (readonly [table: string, condition: string, what: string])[] = [
    ...['entry', 'chunk', 'outcome', 'operation', 'whole_result', 'outbox', 'idempotency'].map((table) => [
      table,
      // Replies to "create" belong to the tenant: the session may be gone.
      `session_id <> '' AND NOT EXISTS (SELECT 1 FROM session WHERE session.tenant = ${table}.tenant AND session.id = ${table}.session_id)`,
      'of sessions that do not exist',
    ] as const),
    ['chunk', 'EXISTS (SELECT 1 FROM session WHERE session.tenant = chunk.tenant AND session.id = chunk.session_id AND session.attempt_id IS NOT chunk.attempt_id)', 'of attempts that are over'],
  ];
  return strays.flatMap(([table, condition, what]): Finding[] => {
    const count = Number(database.prepare(`SELECT count(*) FROM ${table} WHERE ${condition}`).pluck().get());
    return count === 0 ? [] : [{ code: 'stray_rows', message: `${count} rows of table ${table} are ${what}` }];
  });
}

function* sessionRows(database: Database): Generator<SessionRow, void, void> {
  const statement = database.prepare('SELECT * FROM session WHERE (tenant, id) > (?, ?) ORDER BY tenant, id LIMIT ?');
  let last = { tenant: '', id: '' };
  for (;;) {
    const rows = statement.all(last.tenant, last.id, pageSessions) as (Record<string, string | number | null> & { tenant: string; id: string; body: string })[];
    for (const { body, ...columns } of rows) yield { columns, session: readSession(body) };
    last = rows.at(-1) ?? last;
    if (rows.length < pageSessions) return;
  }
}

function wholeLog(database: Database, ref: SessionRef): readonly Entry[] {
  const rows = new SessionRows(new PreparedStatements(database));
  const entries: Entry[] = [];
  for (;;) {
    const page = rows.entries(ref, { afterSeq: entries.at(-1)?.seq ?? 0, limit: pageEntries });
    entries.push(...page);
    if (page.length < pageEntries) return entries;
  }
}

function workRows(database: Database, session: Session): WorkRows {
  const named = JSON.stringify(session.operations.map(({ id }) => id));
  const rows = database.prepare("SELECT * FROM operation WHERE tenant = ? AND ((session_id = ? AND status IN ('queued', 'running')) OR id IN (SELECT value FROM json_each(?))) ORDER BY id")
    .all(session.tenant, session.id, named) as (Record<string, string | number | null> & { body: string })[];
  return {
    operations: rows.map(({ body, ...columns }) => ({ columns, operation: JSON.parse(body) as Operation })),
    outcomes: new SessionRows(new PreparedStatements(database)).outcomes(session),
  };
}
