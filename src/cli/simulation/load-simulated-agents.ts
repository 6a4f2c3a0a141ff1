import type { AgentsOf } from '../../testing/simulation/observed-agents.ts';
import { importAgents, requireAgents } from '../load-agents.ts';

/**
 * The agents of a module as a simulation takes them: its export `agents` or its default, one agent, a list, or a function that makes them for one simulated process. null without a module. Rejects as `loadAgents`.
 */
export async function loadSimulatedAgents(module: string | null): Promise<AgentsOf | null> {
  if (module === null) return null;
  const { file, found } = await importAgents(module);
  if (typeof found !== 'function') {
    const agents = requireAgents(file, found);
    return () => agents;
  }
  return (surroundings) => requireAgents(file, (found as (given: unknown) => unknown)(surroundings));
}
