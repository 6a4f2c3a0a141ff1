import type { Chance } from './chance.ts';
import type { SimulatedCommand } from './command.ts';

/** By how much a command may be the likelier in a run. */
const factors = [0, 0.5, 1, 1, 1, 3, 8] as const;

/** Each run has commands that it sends often, and such that it never sends ("swarm testing"): what never meets is found where something else is off. */
export function swarmOf(commands: readonly SimulatedCommand[], chance: Chance): readonly SimulatedCommand[] {
  return commands.map((command) => ({ ...command, weight: command.weight * (chance.pick(factors) ?? 1) }));
}
