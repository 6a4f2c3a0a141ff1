import { parentPort, workerData } from 'node:worker_threads';
import { versionIn } from '../../testing/simulation/engine-version.ts';
import { simulate, type SimulateOptions, type SimulationReport } from '../../testing/simulation/simulate.ts';
import { loadSimulatedAgents } from './load-simulated-agents.ts';

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
  | { readonly kind: 'report'; readonly report: SimulationReport };

async function run({ agentsFile, previousFolder, traces, ...options }: SeedOrder): Promise<void> {
  const tell = (message: SeedMessage): void => parentPort?.postMessage(message);
  const agents = await loadSimulatedAgents(agentsFile);
  const report = await simulate({
    ...options, ...(agents === null ? {} : { agents }), ...(previousFolder === null ? {} : { previousVersion: await versionIn(previousFolder) }),
    onSeed: () => tell({ kind: 'seed' }),
    ...(traces ? { onTrace: (line: string) => tell({ kind: 'trace', line }) } : {}),
  });
  tell({ kind: 'report', report: report });
}

await run(workerData as SeedOrder);
