import type { Chance } from './chance.ts';
import type { SimulatedCommand } from './command.ts';

/** By how much a command may be the likelier in a run. */
const factors = [0, 0.5, 1, 1, 1, 3, 8] as const;
/** Where there are no more commands than these, none is left out: a run without messages is none. */
const fewCommands = 8;

/** Each run has commands that it sends often, and such that it never sends ("swarm testing"): what never meets is found where something else is off. */
export function swarmOf(commands: readonly SimulatedCommand[], chance: Chance): readonly SimulatedCommand[] {
  const among = commands.length > fewCommands ? factors : factors.filter((factor) => factor > 0);
  return commands.map((command) => ({ ...command, weight: command.weight * (chance.pick(among) ?? 1) }));
}
