import { HoldfastError } from '../../core/errors.ts';
import type { SimulateOptions } from '../../testing/simulation/simulate.ts';
import { importAgents, requireAgents } from '../load-agents.ts';

/**
 * What a module says of a simulation: its export `agents` or its default, one agent, a list, or a function that makes them for one simulated process; and `commands` and `checks`, where it has them. Nothing without a module. Rejects as `loadAgents`.
 */
export async function loadSimulation(module: string | null): Promise<Pick<SimulateOptions, 'agents' | 'commands' | 'checks'>> {
  if (module === null) return {};
  const { file, exported, found } = await importAgents(module);
  const lists = Object.fromEntries(['commands', 'checks'].flatMap((name) => (exported[name] === undefined ? [] : [[name, requireList(file, name, exported[name])]])));
  if (typeof found !== 'function') return { agents: requireAgents(file, found), ...lists };
  return { agents: (surroundings) => requireAgents(file, (found as (given: unknown) => unknown)(surroundings)), ...lists };
}

function requireList(file: string, name: string, found: unknown): unknown {
  if (!Array.isArray(found)) throw new HoldfastError('agents_invalid', `${file} exports ${name}, which must be a list, as simulate({ ${name} }) takes it`);
  return found;
}
