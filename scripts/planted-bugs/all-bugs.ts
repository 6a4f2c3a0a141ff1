import { accessBugs } from './access-bugs.ts';
import { commitBugs } from './commit-bugs.ts';
import { fenceBugs } from './fence-bugs.ts';
import { historyBugs } from './history-bugs.ts';
import type { PlantedBug } from './planted-bug.ts';
import { toolBugs } from './tool-bugs.ts';

export const allBugs: readonly PlantedBug[] = [...fenceBugs, ...commitBugs, ...toolBugs, ...historyBugs, ...accessBugs];
