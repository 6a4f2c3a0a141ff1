/** Durable conversations for AI agents. */
export { agent, type Agent, type AgentOptions, type ModelSettings, type StepScope } from './agent/agent.ts';
export {
  question, tool, type AgentTool, type ApprovalOptions, type ExternalCompletion, type Principal, type ProbeFinding, type QuestionOptions, type RecoveryProbe, type Tool,
  type ToolOptions, type ToolPolicy, type TransactionToolOptions,
} from './agent/tool.ts';
export type { SqlResult, SqlTransaction } from './agent/sql-transaction.ts';
export type { ToolApproval, ToolApprovalStatus } from './agent/tool-approval.ts';
export type { McpServerOptions, McpTransportOptions } from './mcp/mcp-server-options.ts';
export { createHoldfast, localPrincipal, type CreateSessionOptions, type DrainOptions, type Holdfast, type HoldfastOptions, type WorkerTuning } from './create-holdfast.ts';
export type { Exchange, ImportOptions } from './library/exchange.ts';
export type { ExportFormat } from './exchange/export-lines.ts';
export type { LineOutcome } from './exchange/line-outcome.ts';
export type { SessionLine } from './exchange/session-lines.ts';
export type { StateLine } from './exchange/state-lines.ts';
export { postgres, type PostgresOptions, type StoreSource } from './store-url.ts';
export { listen, type ListenOptions } from './server/listen.ts';
export type { Authenticate } from './server/app.ts';
export { HoldfastError, RefusedError, type RefusalCode } from './core/errors.ts';
export { SessionHandle, type Decision } from './library/handles.ts';
export { TurnHandle, type TurnResult } from './library/turn-handle.ts';
export { StateHandle, type StateIdentityOptions, type StateWriteOptions } from './library/state-handle.ts';
export type { StateListing, StateView } from './commands/state.ts';
export type { StatePage, StatePageQuery, StateSnapshot } from './store/state-reader.ts';
export type { StateItem, StateProvenance, StateScope } from './core/state.ts';
export type { ToolState, ToolStateItem } from './agent/tool-state.ts';
export type { StateOptions } from './agent/state-policy.ts';
export type { CallOptions, SendOptions } from './library/handle-host.ts';
export type { TurnPart } from './library/turn-parts.ts';
export type { Drained } from './worker/drain.ts';
export type { Hooks, HookEvent } from './worker/hooks.ts';
export type { Log } from './worker/log.ts';
export type { SessionView } from './feed/session-view.ts';
export type { ActionView } from './feed/action-view.ts';
export type { QueuedMessageView } from './feed/queue-view.ts';
export type { TurnView } from './feed/turn-view.ts';
export type { TranscriptMessage, TranscriptPart, TranscriptToolPart } from './core/transcript.ts';
export type { ResolvedAction, ResolveReply } from './core/accept/resolve.ts';
export type { OperationViewPage } from './commands/operations.ts';
export type { ActionAnswer, ActionResolution, ActionType } from './core/action.ts';
export type { OperationMode, OperationProgress, OperationStatus, OperationView } from './core/operation.ts';
export type { FeedEvent } from './core/feed-event.ts';
export type * from './core/entry.ts';
