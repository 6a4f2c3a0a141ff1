import path from 'node:path';
import { onTestFinished } from 'vitest';
import { checkHistory, type HistoryCheck } from '../../src/cli/processes/check-history.ts';
import type { RegisterValue } from '../../src/cli/processes/check-register.ts';
import { HistoryFile, type ClientCall, type ClientCommand, type ClientReply } from '../../src/cli/processes/client-history.ts';
import { ClientRun } from '../../src/cli/processes/client-run.ts';
import type { LoggedSession } from '../../src/cli/processes/history-finding.ts';
import { agentNameOf, plannedAgent, type PlannedTool } from '../../src/cli/processes/planned-agent.ts';
import { RunEvidence } from '../../src/cli/replay/evidence.ts';
import { ExecutionJournal, readJournals, type ExecutionLine, type JournalLine } from '../../src/cli/replay/execution-journal.ts';
import { atOnce } from '../../src/cli/replay/pace.ts';
import type { CallResult, Entry, EntryKind, EntryOf, Outcome } from '../../src/core/entry.ts';
import { createHoldfast } from '../../src/create-holdfast.ts';
import { listen } from '../../src/server/listen.ts';
import { temporaryFolder } from './temporary-folder.ts';

export type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] };
type Call = Mutable<Omit<ClientCall, 'reply' | 'cuts'>> & { reply: Mutable<ClientReply> | null; cuts: string[] };

/** What clients saw and what is left, to plant a fault in. */
export interface PlantedHistory {
  calls: Call[];
  sessions: { session: Mutable<LoggedSession['session']>; entries: Mutable<Entry>[] }[];
  journal: JournalLine[];
  readonly growing: string;
  readonly counters: Map<string, number>;
  readonly registers: Map<string, RegisterValue>;
}

/** Eight clients of one process that nobody kills, and all that they saw. */
export async function observeClients(seed: number): Promise<PlantedHistory> {
  const folder = await temporaryFolder();
  const runId = 'observed';
  const journal = new ExecutionJournal(folder.path, { worker: 1, pid: process.pid });
  const agent = plannedAgent({ runId, journal, pace: { ...atOnce, modelMs: 10, toolMsMin: 2, toolMsMax: 20, operationMsMin: 5, operationMsMax: 40 }, seed });
  const holdfast = await createHoldfast({ agents: [agent], store: `sqlite:${path.join(folder.path, 'observed.db')}` });
  const listener = await listen({ fetch: holdfast.fetch, port: 0 });
  try {
    using history = new HistoryFile(path.join(folder.path, 'clients.jsonl'));
    const run = new ClientRun({ clients: 8, seed, agent: agentNameOf(runId), history, urls: () => [listener.url], signal: new AbortController().signal });
    await run.open();
    let more = 400;
    await run.run(() => (more -= 1) > 0);
    const restless = await run.settle(holdfast, 40_000);
    if (restless.length > 0) throw new Error(`sessions did not come to rest: ${JSON.stringify(restless.map(({ id, status, queue, operations, actions, lastSeq }) => ({ id, status, queue, operations, actions, lastSeq })))}`);
    const shared = await run.shared(holdfast);
    const { items } = await holdfast.sessions.list({ limit: 100 });
    const sessions = await Promise.all(items.map(async ({ id }) => {
      const session = await holdfast.store.readSession({ tenant: 'default', id });
      if (session === null) throw new Error(`session ${id} is there`);
      return { session, entries: [...(await holdfast.store.readEntries({ tenant: 'default', id }, { limit: 100_000 }))] };
    }));
    return { calls: history.read() as Call[], sessions, journal: [...readJournals(folder.path)], growing: shared.growing, counters: new Map(shared.counters), registers: new Map(shared.registers) };
  } finally {
    const closed = listener.close();
    await holdfast.close();
    await closed;
    journal[Symbol.dispose]();
    await folder.remove();
  }
}

/** The check of a copy in which a fault was planted. */
export function checkPlanted(real: PlantedHistory, plant: (planted: PlantedHistory) => void = () => undefined): HistoryCheck {
  const planted = structuredClone(real);
  plant(planted);
  return checkHistory({ ...planted, run: new RunEvidence(planted.journal, []) });
}

/** A call of the history that fits; throws where the clients made none. */
export function callOf({ calls }: PlantedHistory, command: ClientCommand, fits: (call: Call) => boolean = () => true): Call & { reply: Mutable<ClientReply> } {
  const found = calls.find((call) => call.request.command === command && call.reply !== null && call.reply.status < 300 && fits(call));
  if (found === undefined) throw new Error(`the clients made a call ${command}`);
  return found as Call & { reply: Mutable<ClientReply> };
}

/** The log in which an entry is, and its place there; throws where there is none. */
export function entryIn<Kind extends EntryKind>({ sessions }: PlantedHistory, kind: Kind, fits: (entry: EntryOf<Kind>) => boolean = () => true): { readonly entries: Mutable<Entry>[]; readonly entry: Mutable<EntryOf<Kind>>; readonly sessionId: string } {
  for (const { session, entries } of sessions) {
    const entry = entries.find((each) => each.kind === kind && each.copied !== true && fits(each as EntryOf<Kind>));
    if (entry !== undefined) return { entries, entry: entry as unknown as Mutable<EntryOf<Kind>>, sessionId: session.id };
  }
  throw new Error(`some log has an entry ${kind}`);
}

/** A call's result in some log, by its tool and outcome; throws where there is none. */
export function resultIn(planted: PlantedHistory, toolName: PlannedTool, outcome: Outcome): { readonly entries: Mutable<Entry>[]; readonly result: Mutable<CallResult>; readonly callKey: string } {
  const fits = (result: CallResult): boolean => result.toolName === toolName && result.outcome === outcome;
  const { entries, entry, sessionId } = entryIn(planted, 'tool-results', ({ results }) => results.some(fits));
  const result = entry.results.find(fits) as Mutable<CallResult>;
  return { entries, result, callKey: `${sessionId}/${entry.stepSeq}/${result.index}` };
}

/** Puts another in the place of an entry that is not missed, so that seqs stay dense. */
export function blank(entries: Mutable<Entry>[], fits: (entry: Entry) => boolean): void {
  for (const [place, entry] of entries.entries()) if (fits(entry)) entries[place] = { kind: 'queue-held', seq: entry.seq, v: 1, atMs: entry.atMs };
}

/** The begin of a tool's real run. */
export function runOf({ journal }: PlantedHistory, fits: (line: ExecutionLine) => boolean): Mutable<ExecutionLine> {
  const line = journal.find((each) => each.kind === 'tool' && each.phase === 'begin' && fits(each));
  if (line === undefined) throw new Error('a tool ran');
  return line as Mutable<ExecutionLine>;
}

/** A folder that is gone when the test ends. */
export async function newFolder(): Promise<string> {
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  return folder.path;
}
