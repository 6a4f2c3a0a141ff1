import { examineSession } from '../../src/examine/examine-session.ts';
import type { CallResult, Entry } from '../../src/core/entry.ts';
import type { Branch } from '../../src/core/history.ts';
import type { Operation } from '../../src/core/operation.ts';
import { isLive } from '../../src/core/operation.ts';
import { readSession } from '../../src/store/postgres/session-rows.ts';
import { countOf, sumCounts } from '../../src/core/usage.ts';
import type { SessionRef } from '../../src/store/store.ts';
import { countOfRow, keptEntry } from '../../src/store/usage-store.ts';

type Row = Readonly<Record<string, unknown>>;
type Columns = Readonly<Record<string, string | number | null>>;

interface Client {
  query(text: string): Promise<{ readonly rows: Row[] }>;
}

/** What was acknowledged to somebody: each mark is in the session's log, once. */
export interface Acknowledged {
  readonly ref: SessionRef;
  readonly marks: readonly string[];
}

/** Reads all that a schema holds, and says what of it must not be so. */
export async function faultsOfSchema(client: Client, schema: string, acknowledged: readonly Acknowledged[]): Promise<readonly string[]> {
  const table = async (name: string): Promise<readonly Row[]> => (await client.query(`SELECT * FROM ${schema}.${name}`)).rows;
  const sessions = await table('session');
  const [entries, chunks, outcomes, operations, branches] = [await table('entry'), await table('chunk'), await table('outcome'), await table('operation'), await table('branch')];
  const beside = [['entry', entries], ['chunk', chunks], ['outcome', outcomes], ['operation', operations], ['branch', branches], ['whole_result', await table('whole_result')], ['outbox', await table('outbox')]] as const;
  const replies = await table('idempotency');
  const known = new Set(sessions.map((row) => `${String(row['tenant'])}\n${String(row['id'])}`));
  const isLost = (row: Row): boolean => row['session_id'] !== '' && !known.has(`${String(row['tenant'])}\n${String(row['session_id'])}`);
  return [
    ...[...beside, ['idempotency', replies] as const].flatMap(([name, rows]) => rows.filter(isLost).map((row) => `${name} of session ${String(row['session_id'])}, which is gone`)),
    ...sessions.flatMap((row) => {
      const own = (rows: readonly Row[]): readonly Row[] => rows.filter((other) => other['tenant'] === row['tenant'] && other['session_id'] === row['id']);
      return faultsOfSession(row, { entries: own(entries), chunks: own(chunks), outcomes: own(outcomes), operations: own(operations), branches: own(branches) });
    }),
    ...faultsOfUsage(entries, await table('usage_kept'), await table('usage_counter')),
    ...acknowledged.flatMap(({ ref, marks }) => {
      if (!known.has(`${ref.tenant}\n${ref.id}`)) return [];
      const log = entries.filter((row) => row['tenant'] === ref.tenant && row['session_id'] === ref.id).map(entryOf);
      return marks.flatMap((mark) => faultsOfMark(log, mark));
    }),
  ];
}

/** What was counted is what the logs record, and what is kept of those that are gone (G14). */
function faultsOfUsage(entries: readonly Row[], kept: readonly Row[], counters: readonly Row[]): readonly string[] {
  const recorded = [...entries.map(entryOf), ...kept.map((row) => keptEntry(Number(row['seq']), String(row['body'])))];
  const [logged, counted] = [sumCounts(recorded.flatMap((entry) => countOf(entry) ?? [])), sumCounts(counters.map(countOfRow))];
  return JSON.stringify(logged) === JSON.stringify(counted) ? [] : [`the logs record ${JSON.stringify(logged)}, the counters have ${JSON.stringify(counted)}`];
}

interface Beside {
  readonly entries: readonly Row[];
  readonly chunks: readonly Row[];
  readonly outcomes: readonly Row[];
  readonly operations: readonly Row[];
  readonly branches: readonly Row[];
}

function faultsOfSession(row: Row, beside: Beside): readonly string[] {
  const session = readSession(String(row['body']));
  const entries = beside.entries.map(entryOf).sort((left, right) => left.seq - right.seq);
  const step = session.turn?.lastStep;
  const outcomes = beside.outcomes.filter((outcome) => Number(outcome['step_seq']) === step?.seq).map((outcome) => JSON.parse(String(outcome['body'])) as CallResult);
  const operations = beside.operations.map((operation) => ({ columns: columnsOf(operation), operation: JSON.parse(String(operation['body'])) as Operation }))
    .filter(({ operation }) => isLive(operation) || session.operations.some(({ id }) => id === operation.id));
  const found = examineSession({ columns: columnsOf(row), session }, entries, { operations, outcomes, branches: beside.branches.map((branch) => JSON.parse(String(branch['body'])) as Branch) });
  const isOpen = step !== null && step !== undefined && step.openCalls.length > 0;
  return [
    ...found.map(({ code, message }) => `${code}: ${message}`),
    ...(session.lastSeq === entries.length ? [] : [`the row says seq ${session.lastSeq}, the log has ${entries.length} entries`]),
    ...beside.chunks.filter((chunk) => chunk['attempt_id'] !== session.turn?.attempt?.id).map((chunk) => `live output ${String(chunk['ordinal'])} of attempt ${String(chunk['attempt_id'])}, which is over`),
    ...beside.outcomes.filter((outcome) => !isOpen || Number(outcome['step_seq']) !== step.seq).map((outcome) => `an outcome of step ${String(outcome['step_seq'])}, which is answered`),
    ...(session.branches === beside.branches.length ? [] : [`the row says ${session.branches} branches, there are ${beside.branches.length}`]),
  ];
}

/** A title is set once; a message is queued once at most, begins once at most, and does one of the two. */
function faultsOfMark(log: readonly Entry[], mark: string): readonly string[] {
  const count = (kind: Entry['kind']): number => log.filter((entry) => entry.kind === kind && ('messageId' in entry ? entry.messageId === mark : 'title' in entry && entry.title === mark)).length;
  const counts = [count('title-set'), count('message-queued'), count('user-message')];
  const isOnce = counts.every((times) => times <= 1) && counts.some((times) => times === 1);
  return isOnce ? [] : [`${mark} was acknowledged, and is in the log ${counts.join(', ')} times as title, queued and begun`];
}

function entryOf(row: Row): Entry {
  return JSON.parse(String(row['body'])) as Entry;
}

/** Columns as the examination of a store reads them: booleans as numbers, big numbers as numbers. */
function columnsOf(row: Row): Columns {
  const numbers = new Set(['active_at_ms', 'due_at_ms', 'fence', 'created_at_ms']);
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === 'boolean' ? Number(value) : numbers.has(name) && value !== null ? Number(value) : value as string | number | null]));
}
