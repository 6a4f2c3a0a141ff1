import { agent, type Agent } from '../../agent/agent.ts';
import type { ExecutionJournal } from './execution-journal.ts';
import type { Pace } from './pace.ts';
import { recordingModel } from './recording-model.ts';
import { recordingTools } from './recording-tools.ts';
import { toolNamesOf, type Recording } from './recording.ts';

/** What a process needs to play its part in a run. */
export interface ReplayPart {
  /** Names the run in agents and external ids, so that two runs on one store never meet. */
  readonly runId: string;
  readonly recordings: readonly Recording[];
  readonly journal: ExecutionJournal;
  readonly pace: Pace;
  readonly seed: number;
}

/** Calls that run side by side: fewer than a generated step has, so that some are dispatched by a later commit. */
const parallelCalls = 4;

/** The run's agents: one whose conversations a person opens, and one that speaks first. */
export function replayAgents(part: ReplayPart): readonly Agent[] {
  const model = recordingModel(part);
  const tools = recordingTools({ ...part, toolNames: toolNamesOf(part.recordings) });
  return [false, true].map((greet) => agent({
    name: agentName(part.runId, greet),
    model,
    tools,
    greet,
    instructions: ({ session }) => JSON.stringify(session.metadata['conversation']),
    // Recorded turns and results are taken as long as they are.
    limits: { maxSteps: 1_000_000, toolResultBytesMax: 1_000_000_000, parallelCalls },
  }));
}

export function agentName(runId: string, greet: boolean): string {
  return greet ? `replay-${runId}-greeting` : `replay-${runId}`;
}
