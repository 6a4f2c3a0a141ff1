import { historyScenarios } from './history-scenarios.ts';
import { lifeScenarios } from './life-scenarios.ts';
import { operationScenarios } from './operation-scenarios.ts';
import { pauseScenarios } from './pause-scenarios.ts';
import type { FailpointScenario } from './scenario.ts';
import { toolScenarios } from './tool-scenarios.ts';
import { turnScenarios } from './turn-scenarios.ts';

/** Everything that is failed at each call of the store. */
export const allScenarios: readonly FailpointScenario[] = [...turnScenarios, ...toolScenarios, ...pauseScenarios, ...operationScenarios, ...historyScenarios, ...lifeScenarios];
