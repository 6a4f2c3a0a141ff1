import type { AgentsOf } from '../simulation/observed-agents.ts';
import type { Stage } from './stage.ts';

/** Something that clients do with an agent, step by step, and what must hold of it wherever a call of the store fails. */
export interface FailpointScenario {
  /** Names it in failpoints: `plain-turn`. */
  readonly name: string;
  /** What it shows. */
  readonly fact: string;
  /** Processes that share the store, one of which dies. Default 1, which is started again. */
  readonly processes?: number;
  /** Failing begins with the start of the first process, in place of the first request. Default false. */
  readonly fromStart?: boolean;
  /** `outside`: what tools have done to the world outside, which outlives their processes. */
  readonly agents: (outside: string[]) => AgentsOf;
  /** Plays it to its end, and says of what is not as it must be ({@link Stage.holds}). */
  readonly play: (stage: Stage) => Promise<void>;
}
