import { Worker } from 'node:worker_threads';
import { HoldfastError } from '../../core/errors.ts';
import { Met } from '../../testing/simulation/met.ts';
import type { SimulationReport } from '../../testing/simulation/simulate.ts';
import type { SeedMessage, SeedOrder } from './seed-thread.ts';

export interface SimulationRun extends Omit<SeedOrder, 'seedStep'> {
  readonly seeds: number;
  readonly firstSeed: number;
  /** Threads that share the seeds. */
  readonly threads: number;
  readonly signal: AbortSignal;
  readonly onSeed: () => void;
  readonly onTrace: (line: string) => void;
}

/** Runs seeds on several threads, each with a database of its own. Rejects with `HoldfastError` as `simulate`, when a thread dies, and with the signal's reason when it is aborted. */
export async function runSimulation(run: SimulationRun): Promise<SimulationReport> {
  const startedAtMs = performance.now();
  const reports = await Promise.all(Array.from({ length: run.threads }, (_, thread) => runThread(run, thread)));
  const met = new Met();
  for (const report of reports) met.add(report.met);
  const seeds = reports.reduce((sum, report) => sum + report.seeds, 0);
  const failures = reports.flatMap((report) => report.failures).sort((left, right) => left.seed - right.seed);
  return {
    seeds, failures, met, failed: failures.length, operations: met.operations, crashes: met.crashes,
    seedsPerMinute: Math.round((seeds * 60_000) / (performance.now() - startedAtMs)),
  };
}

function runThread({ threads, signal, onSeed, onTrace, firstSeed, seeds, ...order }: SimulationRun, thread: number): Promise<SimulationReport> {
  const share: SeedOrder = { ...order, firstSeed: firstSeed + thread, seedStep: threads, seeds: Math.floor((seeds - thread + threads - 1) / threads) };
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(`./seed-thread${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url), { workerData: share });
    const abort = (): void => {
      reject(signal.reason as Error);
      void worker.terminate();
    };
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    worker.on('message', (message: SeedMessage) => {
      if (message.kind === 'seed') onSeed();
      else if (message.kind === 'trace') onTrace(message.line);
      else if (message.kind === 'refused') reject(new HoldfastError(message.code, message.message));
      else resolve(message.report);
    });
    worker.on('error', reject);
    worker.on('exit', (code) => {
      signal.removeEventListener('abort', abort);
      reject(new Error(`a thread of the simulation ended with code ${code} before its report`));
    });
  });
}
