import type { Agent } from '../agent/agent.ts';
import type { OperationLease } from '../core/operation-transitions.ts';
import type { Operation } from '../core/operation.ts';

/** A claimed operation in the hands of this process. */
export interface OperationRun {
  readonly agent: Agent;
  readonly operation: Operation;
  readonly lease: OperationLease;
  /** It may have run before: its tool finds out first. */
  readonly probes: boolean;
  readonly abort: AbortController;
  /** Its tool may have been called: from here on its recovery decides what becomes of it elsewhere. */
  begun: boolean;
}
