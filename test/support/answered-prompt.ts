import { PromptHistory } from '../../src/agent/prompt.ts';
import type { Entry, Interval } from '../../src/core/entry.ts';
import { promptFault } from '../../src/testing/simulation/checks/prompt-checks.ts';

/** What is wrong with the prompt that these entries make: a call without its one result right after it, or a result without its call. null: nothing. */
export function unansweredIn(log: readonly Entry[], visible: readonly Interval[]): string | null {
  const history = new PromptHistory(visible);
  history.append(log);
  return promptFault(history.prompt('be kind'));
}
