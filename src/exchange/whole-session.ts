import { z } from 'zod';
import type { Entry } from '../core/entry.ts';
import { entryFormats, readEntry } from '../core/entry-format.ts';
import type { JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { refuseKey, refuseStateValue } from '../core/state.ts';
import type { Operation } from '../core/operation.ts';
import type { ImportLogCommand } from '../core/accept/import-log.ts';
import type { ExportedOperation, ExportedSession, SessionLine } from './session-lines.ts';

/** A session as its lines have it, checked as far as one can without a store. */
export interface WholeSession extends ImportLogCommand {
  readonly id: string;
  readonly wholes: readonly { readonly id: string; readonly body: string }[];
}

/** Says what is wrong with a value that should be an entry, and where in it; null: it is one. */
export type EntryCheck = (value: unknown) => string | null;

/** A date can be so many milliseconds from 1970. */
const timeMsMax = 8_640_000_000_000_000;
/** Fences grow on from what is imported; no session comes near it. */
const fenceMax = 2 ** 48;

const count = z.int().min(0);
const fence = z.int().min(0).max(fenceMax);
const time = z.int().min(0).max(timeMsMax);
const timeOrNone = time.nullable().default(null);
const text = z.string();
const id = z.string().min(1).max(limits.clientIdCharsMax);

const callResult = z.looseObject({ index: count, toolCallId: text, toolName: text, outcome: z.enum(['done', 'failed', 'denied', 'expired', 'stopped', 'unknown']) });

const operationSchema = z.looseObject({
  id: z.string().regex(/^op_[\w-]{1,100}$/, 'is no id of an operation'), turnId: id, stepSeq: count, index: count, toolCallId: text, toolName: text, inputSeq: count.nullable(),
  mode: z.enum(['await', 'detach']), key: text.nullable(), status: z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled', 'unknown']), attempts: count, crashes: count,
  progress: z.looseObject({ fraction: z.number(), text: text.optional(), atMs: time }).nullable(), fence, external: z.boolean(), timeoutAtMs: time, result: callResult.nullable(), createdAtMs: time,
  startedAtMs: time.nullable(), endedAtMs: time.nullable(), updatedAtMs: time,
});

const besideSchema = z.looseObject({
  lastSeq: count, updatedAtMs: time, endAfterInactivityMs: timeOrNone, endsAtMs: timeOrNone, deleteAfterRestMs: timeOrNone, deletesAtMs: timeOrNone,
  turn: z.looseObject({ lastStep: z.looseObject({ openCalls: z.array(z.looseObject({ index: count })) }).nullable() }).nullable(),
});

const lineSchema = z.looseObject({
  id: z.string().regex(/^ses_[0-9a-z]{1,64}$/, 'is no id of a session: it begins with ses_'),
  session: besideSchema.optional(),
  entries: z.array(z.looseObject({ kind: text, v: count, seq: count, atMs: time })).optional(),
  operations: z.array(operationSchema).optional(),
  wholes: z.array(z.strictObject({ id, body: z.string().max(limits.wholeResultBytesMax).refine(isJson, 'is no JSON') })).optional(),
  more: z.literal(true).optional(),
});

function isJson(body: string): boolean {
  try {
    JSON.parse(body);
    return true;
  } catch {
    return false;
  }
}

/** Reads one line of a whole session, of the version that this software writes. Returns what is wrong with it, and where, as text. */
export function readSessionLine(value: { readonly [name: string]: unknown }, checkEntry: EntryCheck): SessionLine | string {
  if (value['version'] !== 1) return `version: ${JSON.stringify(value['version'] ?? null)} is not known here; this software reads version 1`;
  const parsed = lineSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`;
  }
  for (const [place, entry] of (parsed.data.entries ?? []).entries()) {
    const problem = entryProblem(entry, checkEntry);
    if (problem !== null) return `entries.${place}${problem}`;
  }
  // Checked, and kept as it is: a reader keeps fields that it does not know.
  return value as unknown as SessionLine;
}

function entryProblem(entry: { readonly kind: string; readonly v: number; readonly seq: number; readonly [name: string]: unknown }, checkEntry: EntryCheck): string | null {
  const format = Object.hasOwn(entryFormats, entry.kind) ? entryFormats[entry.kind as Entry['kind']] : undefined;
  if (format === undefined) return `.kind: ${JSON.stringify(entry.kind.slice(0, 100))} (seq ${entry.seq}) is not known here; a newer Holdfast wrote it`;
  if (entry.v > format.version) return `.v: ${entry.v} of ${entry.kind} is newer than what this software knows`;
  const problem = checkEntry(readEntry(entry)) ?? nameProblem(entry);
  return problem === null ? null : `${problem} (seq ${entry.seq}, ${entry.kind})`;
}

/** What stores find entries by; a name that none of them has is no longer than what clients may name. */
const names = ['turnId', 'messageId', 'operationId', 'branchId', 'node'] as const;

function nameProblem(entry: { readonly [name: string]: unknown }): string | null {
  for (const name of names) {
    const value = entry[name];
    if (typeof value === 'string' && value.length > limits.clientIdCharsMax) return `.${name}: it has more than ${limits.clientIdCharsMax} characters`;
  }
  if (entry['kind'] !== 'state-changed') return null;
  const refused = refuseKey(String(entry['key'])) ?? refuseStateValue((entry['value'] ?? null) as JsonValue);
  return refused === null ? null : `.key: ${refused.message}`;
}

/** Puts the lines of a session together. Returns what is wrong with them as a whole, as text. */
export function wholeSession(lines: readonly SessionLine[]): WholeSession | string {
  const [first] = lines;
  const session = first?.session;
  if (first === undefined || session === undefined) return 'session: the first line of a session has it';
  const entries = lines.flatMap((line) => (line.entries ?? []).map((entry) => readEntry(entry as unknown as Record<string, unknown>)));
  if (entries.length !== session.lastSeq) return `entries: there are ${entries.length}, and the session has ${session.lastSeq}; the file is cut, or the session was deleted while it was written`;
  const operations = lines.flatMap((line) => line.operations ?? []).map(ownOperation);
  if (new Set(operations.map(({ id: each }) => each)).size < operations.length) return 'operations: one of them is there twice';
  return {
    id: first.id, entries, beside: besideOf(session), notBegun: notBegunOf(session), operations, wholes: lines.flatMap((line) => line.wholes ?? []),
  };
}

function besideOf({ updatedAtMs, ...row }: ExportedSession): ImportLogCommand['beside'] {
  const { endAfterInactivityMs, endsAtMs, deleteAfterRestMs, deletesAtMs } = row as Partial<typeof row>;
  return { updatedAtMs, endAfterInactivityMs: endAfterInactivityMs ?? null, endsAtMs: endsAtMs ?? null, deleteAfterRestMs: deleteAfterRestMs ?? null, deletesAtMs: deletesAtMs ?? null };
}

function notBegunOf({ turn }: ExportedSession): readonly number[] {
  const calls = turn?.lastStep?.openCalls ?? [];
  return calls.filter(({ dispatchedFence, mayHaveRun, operationId }) => dispatchedFence === undefined && mayHaveRun === undefined && operationId === undefined).map(({ index }) => index);
}

/** Whose it is, the import says. */
function ownOperation(operation: ExportedOperation): Operation {
  return { ...operation, tenant: '', sessionId: '', owner: '', agent: '', worker: null, tokenHashes: [] };
}

/** The same session under new ids: its operations are rows beside it, so they are renamed wherever the log names them. `mint` gives new ids. */
export function withNewIds(session: WholeSession, mint: (prefix: 'ses' | 'op') => string): WholeSession {
  const ids = new Map(session.entries.flatMap((entry) => (entry.kind === 'operation-started' ? [[entry.operationId, mint('op')] as const] : [])));
  const renamed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(renamed);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, name === 'operationId' && typeof member === 'string' ? (ids.get(member) ?? member) : renamed(member)]));
  };
  return {
    ...session, id: mint('ses'),
    entries: ids.size === 0 ? session.entries : (renamed(session.entries) as readonly Entry[]),
    operations: session.operations.map((operation) => ({ ...operation, id: ids.get(operation.id) ?? operation.id })),
  };
}
