import { parentPort, workerData } from 'node:worker_threads';
import { HoldfastError } from '../../core/errors.ts';
import { versionIn } from '../../testing/simulation/engine-version.ts';
import { simulate, type SimulateOptions, type SimulationReport } from '../../testing/simulation/simulate.ts';
import { loadSimulation } from './load-simulation.ts';

/** What a thread is asked for: its share of the seeds. */
export interface SeedOrder extends Pick<SimulateOptions, 'seeds' | 'firstSeed' | 'seedStep' | 'only' | 'shrinks' | 'failuresMax'> {
  /** A module that exports agents; null: the simulation's own. */
  readonly agentsFile: string | null;
  /** Folder with the sources of the version that some processes run; null: all run this one. */
  readonly previousFolder: string | null;
  readonly traces: boolean;
}

export type SeedMessage =
  | { readonly kind: 'seed' }
  | { readonly kind: 'trace'; readonly line: string }
  | { readonly kind: 'report'; readonly report: SimulationReport }
  /** It cannot be run: what a `HoldfastError` says, which does not cross threads as one. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string };

function tell(message: SeedMessage): void {
  parentPort?.postMessage(message);
}

async function run({ agentsFile, previousFolder, traces, ...options }: SeedOrder): Promise<void> {
  const report = await simulate({
    ...options, ...(await loadSimulation(agentsFile)), ...(previousFolder === null ? {} : { previousVersion: await versionIn(previousFolder) }),
    onSeed: () => tell({ kind: 'seed' }),
    ...(traces ? { onTrace: (line: string) => tell({ kind: 'trace', line }) } : {}),
  });
  tell({ kind: 'report', report });
}

try {
  await run(workerData as SeedOrder);
} catch (error) {
  if (!(error instanceof HoldfastError)) throw error;
  tell({ kind: 'refused', code: error.code, message: error.message });
}
