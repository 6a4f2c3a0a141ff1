import type { Agent } from '../agent/agent.ts';
import type { AgentTool } from '../agent/tool.ts';
import type { PromptHistory } from '../agent/prompt.ts';
import type { Entry, EntryOf } from '../core/entry.ts';
import type { Lease } from '../core/settle.ts';
import type { Session } from '../core/session.ts';
import type { System } from '../core/system.ts';
import type { SpentBudgets } from '../store/spent-budgets.ts';
import type { SessionRef, Store } from '../store/store.ts';
import type { McpConnections } from '../mcp/mcp-connections.ts';
import type { Log } from './log.ts';

/** What a worker works with. */
export interface WorkerHost {
  readonly store: Store;
  readonly system: System;
  readonly chunkIntervalMs: number;
  readonly log: Log;
  /** How often to look for what no hint told of, in milliseconds. */
  readonly pollMs: number;
  readonly mcp: McpConnections;
  /** Before the path of an address that somebody outside is given; '' where it is not known. */
  readonly publicUrl: string;
  /** Absent: there are none. */
  readonly budgets?: SpentBudgets | undefined;
  /** Tells of entries after their commit, for hooks. */
  readonly committed: (ref: SessionRef, entries: readonly Entry[]) => void;
}

/** A claimed session in the hands of this process. */
export interface SessionRun {
  readonly ref: SessionRef;
  readonly agent: Agent;
  readonly lease: Lease;
  /** As of the last commit that this process saw. */
  session: Session;
  history: PromptHistory;
  /** The last assistant step that this process committed. */
  lastStep: EntryOf<'assistant-step'> | null;
  /** The client's own tools, as the message at this seq brought them. */
  clientTools: { readonly seq: number; readonly tools: ReadonlyMap<string, AgentTool> } | null;
  /** What failed of the agent's context in a turn, by provider: it is not asked again in it. */
  contextFailures: { readonly turnId: string; readonly warnings: ReadonlyMap<string, string> } | null;
  /** Aborted when the fence is lost, and when the process must give the session back. */
  readonly abort: AbortController;
  /** Set when the process is going away: the session is handed over at the next step's end. */
  handingOver: boolean;
  /** Told of an entry in the session's history that this version cannot read, before the session is given back. */
  readonly notUnderstood: (session: Session, entry: Entry) => void;
}

/** Why a run was aborted. */
export type AbortReason = 'fence-lost' | 'hand-over';
