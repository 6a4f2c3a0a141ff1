import process from 'node:process';
import type { Problem, SchemaVersions, StoreSnapshot } from '../store/administration.ts';
import { StoreError } from '../store/store-error.ts';
import { openAdministration } from './open-store.ts';
import { examineSession } from '../examine/examine-session.ts';
import { examineUsage, UsageTally } from '../examine/examine-usage.ts';
import { examineWorkers } from '../examine/examine-workers.ts';
import type { Finding } from '../examine/finding.ts';

/** What was looked at, and how it was found. */
export interface Check {
  readonly name: string;
  /** Nothing that must not be was found. */
  readonly ok: boolean;
  /** Something was found that works, and not as it should. */
  readonly warns: boolean;
  readonly detail: string;
}

export interface Examination {
  readonly checks: readonly Check[];
  /** What must not be. */
  readonly findings: readonly Finding[];
  /** What somebody should know of. */
  readonly warnings: readonly Problem[];
  readonly sessions: number;
}

export interface ExamineProgress {
  readonly onSessions: (total: number) => void;
  readonly onSession: () => void;
}

/** Findings of one kind beyond these are counted, not listed. */
const findingsMax = 1_000;

/** Looks at everything in a store that can be looked at, and changes nothing. Never rejects for what it finds; a store that cannot be opened is a finding. */
export async function examineStore(url: string, progress: ExamineProgress): Promise<Examination> {
  const report = new Report();
  report.add('Node.js', process.versions.node, {});
  let sessions = 0;
  try {
    await using administration = await openAdministration(url);
    const engine = await administration.examineEngine();
    for (const { name, detail, faults, warnings } of engine) report.add(name, detail, { findings: faults, warnings });
    const schema = await administration.readSchema();
    report.add('schema', `version ${schema.version}`, { findings: schemaFindings(schema) });
    // What the tables should look like is not known, or what they hold cannot be relied on.
    if (report.findings.length === 0) sessions = await administration.inSnapshot((snapshot) => examineRows(snapshot, schema, report, progress));
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    report.add('store', error.message, { findings: [{ code: error.code, message: error.message }] });
  }
  return { checks: report.checks, findings: report.findings, warnings: report.warnings, sessions };
}

class Report {
  readonly checks: Check[] = [];
  readonly findings: Finding[] = [];
  readonly warnings: Problem[] = [];

  /** Says how something was found: by its detail, or how much is wrong with it. */
  add(name: string, detail: string, { findings = [], warnings = [] }: { readonly findings?: readonly Finding[]; readonly warnings?: readonly Problem[] }): void {
    const counts = [[findings.length, 'finding'], [warnings.length, 'warning']] as const;
    const wrong = counts.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}${count === 1 ? '' : 's'}`])).join(', ');
    this.checks.push({ name, ok: findings.length === 0, warns: warnings.length > 0, detail: [...(findings.length > 0 ? [] : [detail]), ...(wrong === '' ? [] : [wrong])].join('; ') });
    this.findings.push(...findings.slice(0, findingsMax));
    this.warnings.push(...warnings.slice(0, findingsMax));
  }
}

async function examineRows(snapshot: StoreSnapshot, { latest }: SchemaVersions, report: Report, progress: ExamineProgress): Promise<number> {
  const strays = await snapshot.strayRows();
  report.add('stray rows', 'none', { findings: strays.map(({ table, count, what }) => ({ code: 'stray_rows', message: `${count} rows of table ${table} are ${what}` })) });
  const { detail, warnings } = await examineWorkers(snapshot, latest);
  report.add('workers', detail, { warnings });
  const total = await snapshot.countSessions();
  progress.onSessions(total);
  const findings: Finding[] = [];
  const logged = new UsageTally();
  for await (const { columns, session, entries, ...work } of snapshot.sessions()) {
    for (const entry of entries) logged.add(session.tenant, entry);
    findings.push(...examineSession({ columns, session }, entries, work));
    progress.onSession();
  }
  report.add('sessions', `${total} agree with their logs`, { findings });
  const usage = await examineUsage(snapshot, logged);
  report.add('usage', usage.detail, { warnings: usage.warnings });
  return total;
}

function schemaFindings({ version, latest }: SchemaVersions): readonly Finding[] {
  if (version === latest) return [];
  if (version > latest) return [{ code: 'schema_newer', message: `the schema has version ${version}, newer than the ${latest} that this Holdfast knows: update it` }];
  return [{ code: 'schema_older', message: `the schema has version ${version}, older than ${latest}: run "holdfast migrate"` }];
}
