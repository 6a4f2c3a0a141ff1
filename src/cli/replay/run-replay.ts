import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHoldfast, type Holdfast } from '../../create-holdfast.ts';
import { dayOf } from '../../core/calendar.ts';
import type { Entry } from '../../core/entry.ts';
import { HoldfastError } from '../../core/errors.ts';
import type { Operation } from '../../core/operation.ts';
import { addCounts, countOf, noCount, sumCounts } from '../../core/usage.ts';
import { checkCounters } from './check-counters.ts';
import { compareConversation } from './compare.ts';
import { RunEvidence, type Difference, type Kill, type Pause } from './evidence.ts';
import { ExecutionJournal, notesIn, readJournals, type JournalLine } from './execution-journal.ts';
import { generateConversations } from './generated-conversations.ts';
import { Faults, noFaults, type FaultCounts, type FaultRates } from './faults.ts';
import type { KillCounts } from './kill-run.ts';
import { atOnce, killPlan, type KillPlan } from './pace.ts';
import { readRecordings, type Recording } from './recording.ts';
import { replayAgents } from './replay-agents.ts';
import { ownerOf, sendConversation, type SentConversation } from './send-conversation.ts';
import { whileStoreRefuses } from './while-store-refuses.ts';
import type { WorkOrder } from './worker-order.ts';
import { WorkerPool } from './worker-pool.ts';

/** What a run does. Times in milliseconds. */
export interface ReplayOptions extends FaultRates {
  readonly source: { readonly file: string } | { readonly generate: number; readonly writeTo: string | null };
  /** At most so many conversations; null: all. */
  readonly limit: number | null;
  /** Of what is generated, of the times that tools take, of when and how actions are answered, and of who is killed. */
  readonly seed: number;
  /** Store URL; null: a file in a temporary folder, removed at the end. */
  readonly store: string | null;
  /** Where the journals are written, to be looked at later; null: in the temporary folder. The folder must be new or empty. */
  readonly journalFolder?: string | null;
  /** Conversations side by side. */
  readonly concurrency: number;
  /** Processes that do the work; 0: this one does, and nothing goes wrong on purpose. */
  readonly workers: number;
  /** What a kill run has to reach. Default: 30 kills, 10 in a generation, 10 in a tool. Lower ones are for tests. */
  readonly thresholds?: KillCounts;
  /** Lease of the workers of a kill run, in milliseconds. Default 1,000. */
  readonly leaseMs?: number;
  readonly turnTimeoutMs?: number;
  /** Ends the run early: nothing is left running, and the promise rejects. */
  readonly signal?: AbortSignal;
  /** Told of what a person should know before and while it runs. */
  readonly onNote?: (text: string) => void;
  /** Told of each turn that has ended, and of how many there are in all. */
  readonly onProgress?: (ofTurns: number) => void;
}

/** The line that machines read. */
export interface ReplaySummary extends FaultCounts {
  readonly conversations: number;
  readonly turns: number;
  readonly toolCalls: number;
  /** Messages, calls, answers, results, turn ends and attempts that are not as recorded. */
  readonly mismatches: number;
  /** Acknowledged messages and answers, entries once read, results of operations, and runs of tools, that the log does not have. */
  readonly lost: number;
  /** Turns, results, answers and attempts that the log has twice, and tools that ran twice, or at all, and may not. */
  readonly duplicated: number;
  /** Calls of tools that may not run twice whose outcome is `unknown` because their process was killed. */
  readonly unknown: number;
  /** From the first message to the last turn's end. */
  readonly seconds: number;
  readonly turnsPerSecond: number;
  /** Approvals, results of client tools, and answers that somebody gave; kills that were asked about too. */
  readonly actions: number;
  readonly operations: number;
  readonly steered: number;
  /** Results that came after their calls had been given up. */
  readonly late: number;
  /** Generations that the logs record, and those of them that died with their process. */
  readonly attempts: number;
  readonly attemptsLost: number;
}

export interface ReplayReport {
  readonly summary: ReplaySummary;
  readonly differences: readonly Difference[];
  /** What a kill run did not reach. */
  readonly shortfalls: readonly string[];
  /** Warnings and errors of the workers. */
  readonly notes: readonly string[];
  readonly passed: boolean;
}

export const killThresholds: KillCounts = { kills: 30, killsInModel: 10, killsInTool: 10 };
const leaseMsDefault = 1_000;
const turnTimeoutMsDefault = 60_000;
const unexpectedEndsMax = 10;
/** So many times the kills in tools that are needed should be expected, as chance has it. */
const toolKillsMarginShare = 1.5;
/** How far the kills may be behind the messages before these wait. */
const killsBehindMax = 3;

/**
 * Replays conversations through the engine and compares what is in the store afterwards with the recording. Rejects with `recording_invalid` when they cannot
 * be read, with the signal's reason when it is aborted, with `replay_failed` when worker processes end by themselves again and again, and with `StoreError`. Differences are no
 * errors: the report has them.
 */
export async function runReplay(options: ReplayOptions): Promise<ReplayReport> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-replay-'));
  try {
    return await new ReplayRun(options, folder).run();
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

class ReplayRun {
  readonly #options: ReplayOptions;
  readonly #folder: string;
  readonly #store: string;
  readonly #runId = Array.from({ length: 10 }, () => Math.floor(Math.random() * 36).toString(36)).join('');
  readonly #ended = new AbortController();
  readonly #differences: Difference[] = [];
  #unexpectedEnds = 0;

  constructor(options: ReplayOptions, folder: string) {
    this.#options = options;
    this.#folder = folder;
    this.#store = options.store ?? `sqlite:${join(folder, 'replay.db')}`;
  }

  async run(): Promise<ReplayReport> {
    const file = this.#file();
    const { limit, workers } = this.#options;
    const recordings = readRecordings(file, limit ?? undefined);
    const plan = this.#plan(recordings);
    const journals = this.#journalFolder();
    return workers === 0 ? this.#inThisProcess(recordings, journals) : this.#inProcesses(recordings, journals, plan);
  }

  async #inThisProcess(recordings: readonly Recording[], journals: string): Promise<ReplayReport> {
    using journal = new ExecutionJournal(journals, { worker: 0, pid: process.pid });
    const agents = replayAgents({ runId: this.#runId, recordings, journal, pace: atOnce, seed: this.#options.seed });
    const log = (level: string, event: string, fields: object): void => journal.note(level, event, JSON.stringify(fields));
    await using holdfast = await createHoldfast({ agents, store: this.#store, log });
    const { sent, seconds } = await this.#send(holdfast, recordings, atOnce, async () => undefined);
    return await this.#report(holdfast, sent, seconds, readJournals(journals), { kills: [], pauses: [], counts: noFaults });
  }

  async #inProcesses(recordings: readonly Recording[], journals: string, plan: KillPlan): Promise<ReplayReport> {
    const { seed, workers, leaseMs = leaseMsDefault, thresholds: needed = killThresholds } = this.#options;
    const { pace } = plan;
    const recordingsFile = join(this.#folder, 'recordings.json');
    writeFileSync(recordingsFile, JSON.stringify(recordings));
    // This process knows the agents, so that it may create their sessions, and does none of their work.
    using journal = new ExecutionJournal(journals, { worker: 0, pid: process.pid });
    const agents = replayAgents({ runId: this.#runId, recordings, journal, pace, seed });
    await using holdfast = await createHoldfast({ agents, store: this.#store, worker: false });
    const order: Omit<WorkOrder, 'worker'> = { runId: this.#runId, recordings: recordingsFile, store: this.#store, folder: journals, pace, seed, leaseMs };
    const pool = new WorkerPool<WorkOrder>({
      program: new URL('./worker-process', import.meta.url),
      orders: Array.from({ length: workers }, () => order),
      onUnexpectedEnd: ({ worker }, reason) => this.#workerEnded(worker, reason),
    });
    const killAll = (): void => pool.killAll();
    this.#ended.signal.addEventListener('abort', killAll, { once: true });
    this.#options.signal?.addEventListener('abort', killAll, { once: true });
    const faults = new Faults(pool, { ...this.#options, store: this.#store, folder: journals, leaseMs, needed });
    try {
      await pool.start();
      faults.start();
      const { sent, seconds } = await this.#send(holdfast, recordings, pace, (share, signal) => faults.reached(this.#killsBy(share, plan), signal));
      await faults.stop();
      await pool.stop();
      this.#throwIfEnded();
      return await this.#report(holdfast, sent, seconds, readJournals(journals), faults);
    } finally {
      // What failed of them has been said; the processes end whatever it was.
      await Promise.allSettled([faults.stop()]);
      await pool.stop();
      this.#options.signal?.removeEventListener('abort', killAll);
    }
  }

  /** Where the conversations are: the file, or what is generated into one that the workers can read too. */
  #file(): string {
    const { source } = this.#options;
    if ('file' in source) return source.file;
    const file = source.writeTo ?? join(this.#folder, 'generated.jsonl');
    writeFileSync(file, generateConversations(source.generate, this.#options.seed).map((each) => `${JSON.stringify(each)}\n`).join(''));
    return file;
  }

  #journalFolder(): string {
    const folder = this.#options.journalFolder ?? join(this.#folder, 'journals');
    mkdirSync(folder, { recursive: true });
    if (readdirSync(folder).length > 0) throw new HoldfastError('options_invalid', `${folder} is not empty; the journals of another run would be taken for this one's`);
    return folder;
  }

  #plan(recordings: readonly Recording[]): KillPlan {
    const { concurrency, killEveryMs, pauseEveryMs = null, terminateEveryMs = null, workers, seed, thresholds = killThresholds, leaseMs = leaseMsDefault, onNote = () => undefined } = this.#options;
    onNote(`run ${this.#runId}, seed ${seed}: ${recordings.length} conversations, ${concurrency} side by side`);
    const faults = ([['kill', killEveryMs], ['pause', pauseEveryMs], ['termination', terminateEveryMs]] as const).flatMap(([name, everyMs]) => (everyMs === null ? [] : [{ everyMs, text: `a ${name} every ${everyMs} ms` }]));
    const [first] = faults;
    if (first === undefined) return { pace: atOnce, killsPlanned: 0, expectedMs: 0, expectedKillsInTool: 0 };
    // Where nobody is killed, the run is as long as if it were.
    const plan = killPlan(recordings, { concurrency, killEveryMs: first.everyMs, killsNeeded: thresholds.kills, workers });
    const { pace, expectedMs, expectedKillsInTool } = plan;
    const inTools = killEveryMs === null ? '' : `, about ${expectedKillsInTool.toFixed(0)} kills in tools`;
    onNote(`${workers} worker processes, lease ${leaseMs} ms, ${faults.map(({ text }) => text).join(', ')}; each generation ${pace.modelMs} ms, each tool ${pace.toolMsMin} to ${pace.toolMsMax} ms, ${pace.pauseMs} ms before each message: at least ${(expectedMs / 1000).toFixed(1)} s${inTools}`);
    if (killEveryMs !== null && expectedKillsInTool < thresholds.killsInTool * toolKillsMarginShare) onNote(`that may be too few: ${thresholds.killsInTool} are needed; replay more conversations, or kill more often`);
    return plan;
  }

  async #send(holdfast: Holdfast, recordings: readonly Recording[], pace: KillPlan['pace'], mayGoOn: (share: number, signal: AbortSignal) => Promise<void>): Promise<{ readonly sent: readonly SentConversation[]; readonly seconds: number }> {
    const { concurrency, seed, turnTimeoutMs = turnTimeoutMsDefault, onProgress } = this.#options;
    const ofTurns = recordings.reduce((sum, { turns }) => sum + turns.length, 0);
    const onTurn = (): void => onProgress?.(ofTurns);
    const signal = AbortSignal.any([this.#ended.signal, ...(this.#options.signal === undefined ? [] : [this.#options.signal])]);
    let messages = 0;
    const next = (): Promise<void> => {
      messages += 1;
      return mayGoOn(messages / ofTurns, signal);
    };
    const sent: SentConversation[] = [];
    const waiting = [...recordings];
    const startedAtMs = performance.now();
    await Promise.all(Array.from({ length: concurrency }, async () => {
      for (let recording = waiting.shift(); recording !== undefined && !signal.aborted; recording = waiting.shift()) {
        sent.push(await sendConversation({ holdfast, runId: this.#runId, pace, seed, turnTimeoutMs, signal, mayGoOn: next, onTurn }, recording));
      }
    }));
    this.#throwIfEnded();
    return { sent, seconds: (performance.now() - startedAtMs) / 1000 };
  }

  async #report(holdfast: Holdfast, sent: readonly SentConversation[], seconds: number, journal: readonly JournalLine[], { kills, pauses, counts }: { readonly kills: readonly Kill[]; readonly pauses: readonly Pause[]; readonly counts: FaultCounts }): Promise<ReplayReport> {
    const run = new RunEvidence(journal, kills, pauses);
    let used = noCount;
    let attemptsLost = 0;
    const totals = { turns: 0, toolCalls: 0, unknown: 0, actions: 0, operations: 0, steered: 0, late: 0 };
    const differences = [...this.#differences, ...sent.flatMap(({ problems }) => problems)];
    for (const { sessionId, ...known } of sent) {
      const session = sessionId === null ? null : await whileStoreRefuses(() => holdfast.store.readSession({ tenant: 'default', id: sessionId }));
      const entries = session === null ? [] : await whileStoreRefuses(() => wholeLog(holdfast, session.id));
      const operations = session === null ? [] : await whileStoreRefuses(() => allOperations(holdfast, session.id));
      used = addCounts(used, sumCounts(entries.flatMap((entry) => countOf(entry) ?? [])));
      attemptsLost += entries.filter(({ kind }) => kind === 'attempt-lost').length;
      const comparison = compareConversation({ ...known, session, entries, operations }, run);
      for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += comparison[name];
      differences.push(...comparison.differences);
    }
    const today = dayOf(holdfast.store.nowMs());
    differences.push(...checkCounters(await whileStoreRefuses(() => holdfast.store.usage.readDays({ tenant: 'default', owner: ownerOf(this.#runId), fromDay: today - 30, toDay: today + 1 })), used));
    const count = (name: Difference['count']): number => differences.filter((difference) => difference.count === name).length;
    const { turns, toolCalls, unknown, ...beside } = totals;
    const { pauses: paused, terminations, ...killed } = counts;
    const summary: ReplaySummary = {
      conversations: sent.length, turns, toolCalls, mismatches: count('mismatches'), lost: count('lost'), duplicated: count('duplicated'), unknown, ...killed,
      seconds: Math.round(seconds * 1000) / 1000, turnsPerSecond: Math.round((turns / seconds) * 10) / 10, ...beside, attempts: used.attempts, attemptsLost, pauses: paused, terminations,
    };
    const shortfalls = this.#options.killEveryMs === null ? [] : shortfallsOf(killed, this.#options.thresholds ?? killThresholds);
    return { summary, differences, shortfalls, notes: notesIn(journal), passed: differences.length === 0 && shortfalls.length === 0 };
  }

  /** The kills that must have been before this share of the messages is sent: on a slow machine, where new processes take long to start, the messages wait for them. */
  #killsBy(share: number, { killsPlanned }: KillPlan): number {
    const { killEveryMs, thresholds = killThresholds } = this.#options;
    return killEveryMs === null ? 0 : Math.floor(share * killsPlanned) - Math.min(killsBehindMax, killsPlanned - thresholds.kills);
  }

  #workerEnded(worker: number, reason: string): void {
    this.#unexpectedEnds += 1;
    this.#differences.push({ count: 'mismatches', conversation: '', where: `worker process ${worker}`, problem: 'ended by itself', found: reason });
    if (this.#unexpectedEnds > unexpectedEndsMax) this.#ended.abort(new HoldfastError('replay_failed', `worker processes end by themselves; the last one: ${reason}`));
  }

  #throwIfEnded(): void {
    this.#options.signal?.throwIfAborted();
    this.#ended.signal.throwIfAborted();
  }
}

async function wholeLog({ store }: Holdfast, id: string): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (;;) {
    const page = await store.readEntries({ tenant: 'default', id }, { afterSeq: entries.at(-1)?.seq ?? 0, limit: 1_000 });
    if (page.length === 0) return entries;
    entries.push(...page);
  }
}

async function allOperations({ store }: Holdfast, id: string): Promise<readonly Operation[]> {
  const operations: Operation[] = [];
  for (let before: string | null = null; ;) {
    const { items, nextCursor } = await store.listOperations({ tenant: 'default', id }, { limit: 100, before: before ?? undefined });
    operations.push(...items);
    if (nextCursor === null) return operations;
    before = nextCursor;
  }
}

function shortfallsOf(counts: KillCounts, thresholds: KillCounts): readonly string[] {
  const names = { kills: 'kills', killsInModel: 'kills in a generation', killsInTool: 'kills in a tool' } as const;
  return (['kills', 'killsInModel', 'killsInTool'] as const)
    .filter((name) => counts[name] < thresholds[name])
    .map((name) => `${counts[name]} ${names[name]}, and ${thresholds[name]} are needed: the conversations ended too soon for this rate of kills; replay more of them, or kill more often`);
}
