import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError } from '../../core/errors.ts';
import { createHoldfast } from '../../create-holdfast.ts';
import { isPostgresUrl } from '../../store-url.ts';
import { examineStore } from '../examine-store.ts';
import { openAdministration } from '../open-store.ts';
import { RunEvidence } from '../replay/evidence.ts';
import { ExecutionJournal, notesIn, readJournals } from '../replay/execution-journal.ts';
import { Faults } from '../replay/faults.ts';
import type { Pace } from '../replay/pace.ts';
import { WorkerPool } from '../replay/worker-pool.ts';
import { checkHistory } from './check-history.ts';
import { HistoryFile, verdictOf, type ClientCall } from './client-history.ts';
import { ClientRun, type SharedValues } from './client-run.ts';
import type { HistoryFinding } from './history-finding.ts';
import { agentNameOf, plannedAgent } from './planned-agent.ts';
import type { ProcessOrder, ProcessRole } from './process-order.ts';
import { RestartRun } from './restart-run.ts';

/** How often each thing goes wrong in a run. */
export interface FaultTotals {
  /** Processes killed with SIGKILL. */
  readonly kills: number;
  /** Processes stopped for longer than their lease. */
  readonly pauses: number;
  /** Connections to Postgres ended. */
  readonly terminations: number;
  /** Restarts of the database, as after a crash. */
  readonly restarts: number;
}

export interface ProcessesOptions {
  /** Store URL; null: a file in a temporary folder, removed at the end. */
  readonly store: string | null;
  /** Processes that work, at least two; all but one of them also answer requests, and one more only does that. */
  readonly workers: number;
  /** Clients side by side. */
  readonly clients: number;
  /** Of what clients do, of how long tools take, and of who is killed. */
  readonly seed: number;
  readonly wanted: FaultTotals;
  /** Time between two kills, in milliseconds. Default 300. */
  readonly killEveryMs?: number;
  /** Time between two restarts of the database, in milliseconds. Default 4,000. */
  readonly restartEveryMs?: number;
  /** In milliseconds. Default 1,500. */
  readonly leaseMs?: number;
  /** How each restart is done; needed where some are wanted. */
  readonly restart?: () => Promise<void>;
  /** Where the history and the journals are written, to be looked at later; null: in the temporary folder. It must be new or empty. */
  readonly keepIn?: string | null;
  /** Ends the run early: nothing is left running, and the promise rejects. */
  readonly signal?: AbortSignal;
  readonly onNote?: (text: string) => void;
}

/** The line that machines read. */
export interface ProcessesSummary extends FaultTotals {
  readonly store: 'sqlite' | 'postgres';
  /** Requests of clients. */
  readonly operations: number;
  /** Of these, commands that were acknowledged. */
  readonly acknowledged: number;
  /** Acknowledged effects, entries once read, and runs of tools, that the store does not have. */
  readonly lost: number;
  /** Effects that are there twice or although they were refused, replies to one key that differ, and tools that ran twice and may not. */
  readonly duplicated: number;
  /** Replies and effects that no order of one at a time explains. */
  readonly unordered: number;
  /** Calls that ended `unknown` because their process was cut off. */
  readonly unknown: number;
  readonly sessions: number;
  readonly atRest: number;
  /** Of the SQLite file, one after each kill. */
  readonly integrityChecks: number;
  readonly seconds: number;
}

export interface ProcessesReport {
  readonly summary: ProcessesSummary;
  readonly findings: readonly HistoryFinding[];
  /** What else is wrong: sessions not at rest, what the doctor found, processes that ended by themselves, faults that did not happen. */
  readonly problems: readonly string[];
  /** What the processes warned of, each once with its count: no fault by itself where things go wrong on purpose. */
  readonly notes: readonly string[];
  readonly passed: boolean;
}

const killEveryMsDefault = 300;
const leaseMsDefault = 1_500;
const restartEveryMsDefault = 4_000;
const every = { pauseMs: 3_000, terminationMs: 300 } as const;
const pace: Pace = { modelMs: 40, toolMsMin: 5, toolMsMax: 50, operationMsMin: 20, operationMsMax: 200, answerMsMax: 0, pauseMs: 0 };
const restMsMax = 60_000;
/** So many times as long as planned the faults may take, and this much more: new processes take long to start on a slow machine. */
const patience = { share: 10, moreMs: 60_000 } as const;
const silent = { onSessions: () => undefined, onSession: () => undefined };

/**
 * Kills, stops and cuts off real processes that work on one store, while clients send them commands over HTTP, and holds what the clients saw and what really ran against what is in the store afterwards. Rejects with
 * `options_invalid`, with the signal's reason when it is aborted, with what a restart rejects with, and with `StoreError`. What is wrong in the store is no error: the report has it.
 */
export async function runProcesses(options: ProcessesOptions): Promise<ProcessesReport> {
  if (options.wanted.restarts > 0 && options.restart === undefined) throw new HoldfastError('options_invalid', 'restarts of the database are wanted, and it is not said how one is done');
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-processes-'));
  try {
    return await new ProcessesRun(options, folder).run();
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

class ProcessesRun {
  readonly #options: ProcessesOptions;
  readonly #store: string;
  readonly #journals: string;
  readonly #runId = Array.from({ length: 10 }, () => Math.floor(Math.random() * 36).toString(36)).join('');
  readonly #problems: string[] = [];
  readonly #ended = new AbortController();
  #integrityChecks = 0;

  constructor(options: ProcessesOptions, folder: string) {
    this.#options = options;
    this.#store = options.store ?? `sqlite:${join(folder, 'processes.db')}`;
    this.#journals = options.keepIn ?? join(folder, 'journals');
  }

  async run(): Promise<ProcessesReport> {
    mkdirSync(this.#journals, { recursive: true });
    if (readdirSync(this.#journals).length > 0) throw new HoldfastError('options_invalid', `${this.#journals} is not empty; the journals of another run would be taken for this one's`);
    const { signal } = this.#options;
    const leave = (): void => this.#ended.abort(signal?.reason);
    signal?.addEventListener('abort', leave, { once: true });
    const startedAtMs = performance.now();
    using history = new HistoryFile(join(this.#journals, 'clients.jsonl'));
    const pool = this.#pool();
    const faults = this.#faults(pool);
    const { wanted, restartEveryMs = restartEveryMsDefault, restart = async () => undefined } = this.#options;
    const restarts = new RestartRun({ everyMs: restartEveryMs, atMost: wanted.restarts, restart });
    try {
      await pool.start();
      const { counts, shared } = await this.#clients(pool, history, faults, restarts);
      await pool.stop();
      signal?.throwIfAborted();
      return await this.#report(history.read(), shared, faults, counts, performance.now() - startedAtMs);
    } finally {
      // What failed of them has been said; the processes end whatever it was.
      await Promise.allSettled([faults.stop(), restarts.stop()]);
      await pool.stop();
      signal?.removeEventListener('abort', leave);
    }
  }

  #pool(): WorkerPool<ProcessOrder> {
    const { workers, seed, leaseMs = leaseMsDefault } = this.#options;
    const roles: readonly ProcessRole[] = ['server', 'worker', ...Array.from({ length: workers - 1 }, () => 'both' as const)];
    return new WorkerPool<ProcessOrder>({
      program: new URL('./run-process', import.meta.url),
      orders: roles.map((role) => ({ runId: this.#runId, store: this.#store, folder: this.#journals, role, pace, seed, leaseMs })),
      onUnexpectedEnd: ({ worker }, reason) => this.#problems.push(`process ${worker} ended by itself: ${reason}`),
    });
  }

  #faults(pool: WorkerPool<ProcessOrder>): Faults {
    const { wanted, seed, killEveryMs = killEveryMsDefault, leaseMs = leaseMsDefault } = this.#options;
    const ifWanted = (count: number, everyMs: number): number | null => (count > 0 ? everyMs : null);
    return new Faults(pool, {
      killEveryMs: ifWanted(wanted.kills, killEveryMs), pauseEveryMs: ifWanted(wanted.pauses, every.pauseMs), terminateEveryMs: ifWanted(wanted.terminations, every.terminationMs),
      store: this.#store, folder: this.#journals, seed, leaseMs, atMost: wanted,
      // Some find a generation under way and some a tool, also where chance would find few.
      needed: { kills: wanted.kills, killsInModel: wanted.kills / 4, killsInTool: wanted.kills / 4 },
      onKilled: () => this.#checkFile(),
    });
  }

  /** Runs the clients until all has gone wrong that should, and lets everything come to rest. */
  async #clients(pool: WorkerPool<ProcessOrder>, history: HistoryFile, faults: Faults, restarts: RestartRun): Promise<{ readonly counts: FaultTotals; readonly shared: SharedValues }> {
    const { clients, seed } = this.#options;
    const run = new ClientRun({ clients, seed, agent: agentNameOf(this.#runId), history, urls: () => pool.ready.flatMap(({ url }) => url ?? []), signal: this.#ended.signal });
    await run.open();
    faults.start();
    restarts.start();
    const counts = (): FaultTotals => ({ ...faults.counts, restarts: restarts.restarts });
    const goesOn = this.#untilReached(counts);
    await run.run(() => goesOn() && !faults.isOver && !restarts.isOver);
    await Promise.all([faults.stop(), restarts.stop()]);
    // This process knows the agent, so that it may read what it keeps, and does none of its work.
    using journal = new ExecutionJournal(this.#journals, { worker: 0, pid: process.pid });
    await using holdfast = await createHoldfast({ agents: [plannedAgent({ runId: this.#runId, journal, pace, seed })], store: this.#store, worker: false });
    const restless = await run.settle(holdfast, restMsMax);
    this.#problems.push(...restless.map(({ id, status }) => `session ${id} did not come to rest in ${restMsMax} ms: it is ${status}`));
    return { counts: counts(), shared: await run.shared(holdfast) };
  }

  /** Whether something is still to go wrong, and there is time for it. */
  #untilReached(counts: () => FaultTotals): () => boolean {
    const { wanted, killEveryMs = killEveryMsDefault, restartEveryMs = restartEveryMsDefault } = this.#options;
    const plannedMs = wanted.kills * killEveryMs + wanted.pauses * every.pauseMs + wanted.terminations * every.terminationMs + wanted.restarts * restartEveryMs;
    const untilMs = performance.now() + plannedMs * patience.share + patience.moreMs;
    return () => shortfallsOf(counts(), wanted).length > 0 && performance.now() < untilMs;
  }

  /** Whether a kill has left the file sound: on SQLite. */
  async #checkFile(): Promise<void> {
    if (isPostgresUrl(this.#store)) return;
    await using administration = await openAdministration(this.#store);
    const checks = await administration.examineEngine();
    this.#integrityChecks += 1;
    this.#problems.push(...checks.flatMap(({ faults }) => faults).map(({ code, message }) => `after kill ${this.#integrityChecks}: ${code}: ${message}`));
  }

  async #report(calls: readonly ClientCall[], shared: SharedValues, faults: Faults, counts: FaultTotals, ms: number): Promise<ProcessesReport> {
    const { findings: examined } = await examineStore(this.#store, silent);
    const agent = agentNameOf(this.#runId);
    await using administration = await openAdministration(this.#store);
    const journal = readJournals(this.#journals);
    const run = new RunEvidence(journal, faults.kills, faults.pauses);
    const checked = await administration.inSnapshot(async (snapshot) => {
      const rows = [];
      for await (const { session, entries } of snapshot.sessions()) if (session.agent === agent) rows.push({ session, entries });
      return { rows, ...checkHistory({ calls, sessions: rows, run, ...shared }) };
    });
    const { findings, unknown, rows } = checked;
    const count = (name: HistoryFinding['count']): number => findings.filter((finding) => finding.count === name).length;
    const problems = [
      ...this.#problems, ...examined.map(({ code, message, sessionId }) => `doctor: ${code}: ${sessionId ?? ''} ${message}`), ...shortfallsOf(counts, this.#options.wanted),
    ];
    const { kills, pauses, terminations, restarts } = counts;
    const summary: ProcessesSummary = {
      store: isPostgresUrl(this.#store) ? 'postgres' : 'sqlite', kills, pauses, terminations, restarts, operations: calls.length,
      acknowledged: calls.filter((call) => call.request.method !== 'GET' && verdictOf(call) === 'acknowledged').length,
      lost: count('lost'), duplicated: count('duplicated'), unordered: count('unordered'), unknown, sessions: rows.length,
      atRest: rows.filter(({ session }) => session.turn === null && session.queue.length === 0 && session.operations.length === 0).length,
      integrityChecks: this.#integrityChecks, seconds: Math.round(ms) / 1000,
    };
    return { summary, findings, problems, notes: notesIn(journal), passed: findings.length === 0 && problems.length === 0 && summary.atRest === summary.sessions };
  }
}

function shortfallsOf(counts: FaultTotals, wanted: FaultTotals): readonly string[] {
  return (['kills', 'pauses', 'terminations', 'restarts'] as const).filter((name) => counts[name] < wanted[name]).map((name) => `${counts[name]} ${name}, and ${wanted[name]} were wanted`);
}
