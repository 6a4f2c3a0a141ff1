/** Durable conversations for AI agents. */
export { agent, type Agent, type AgentOptions, type ModelSettings, type StepScope } from './agent/agent.ts';
export { tool, type AgentTool, type Principal, type Tool, type ToolOptions, type ToolPolicy } from './agent/tool.ts';
export { createHoldfast, localPrincipal, type CreateSessionOptions, type Holdfast, type HoldfastOptions, type WorkerTuning } from './create-holdfast.ts';
export { listen, type ListenOptions } from './server/listen.ts';
export type { Authenticate } from './server/app.ts';
export { HoldfastError, RefusedError, type RefusalCode } from './core/errors.ts';
export { SessionHandle, TurnHandle, type CallOptions, type TurnResult } from './library/handles.ts';
export type { TurnPart } from './library/turn-parts.ts';
export type { Hooks, HookEvent } from './worker/hooks.ts';
export type { Log } from './worker/log.ts';
export type { SessionView } from './feed/session-view.ts';
export type { FeedEvent } from './core/feed-event.ts';
export type * from './core/entry.ts';
