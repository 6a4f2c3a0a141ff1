import type { LanguageModelV4, LanguageModelV4CallOptions } from '@ai-sdk/provider';
import type { AgentRules, ToolRules } from '../core/decide.ts';
import { HoldfastError } from '../core/errors.ts';
import { agentLimitsDefault, type AgentLimits } from '../core/limits.ts';
import type { LabelKind } from '../core/label-entry.ts';
import type { ModelPrice } from '../core/price.ts';
import type { Session } from '../core/session.ts';
import type { StatePolicy } from '../core/state.ts';
import { agentNodesOf, type AgentNodes, type NodeOptions } from './agent-node.ts';
import { labelMaking, type LabelMaking, type LabelOptions } from './labels.ts';
import { statePolicyOf, type StateOptions } from './state-policy.ts';
import { checkContextProviders, type CompactionOptions, type ContextProvider } from './context-provider.ts';
import { windowTokensOf } from './context-window.ts';
import { pricesOf } from './prices.ts';
import type { StateReading } from './tool-state.ts';
import { checkMcpServer, type McpServerOptions } from '../mcp/mcp-server-options.ts';
import type { ToolApproval } from './tool-approval.ts';
import { isProviderExecuted, transactionProblem, type AgentTool, type Principal } from './tool.ts';

/** What an agent's functions are given for a step. */
export interface StepScope<Context = unknown> {
  readonly session: Session;
  readonly principal: Principal;
  /** What the agent keeps between turns, as it is now. */
  readonly state: StateReading;
  readonly context: Context;
}

/** Settings passed on to the model with each call, as the AI SDK names them. */
export type ModelSettings = Pick<
  LanguageModelV4CallOptions,
  'maxOutputTokens' | 'temperature' | 'stopSequences' | 'topP' | 'topK' | 'presencePenalty' | 'frequencyPenalty' | 'seed' | 'toolChoice' | 'reasoning' | 'headers' | 'providerOptions'
>;

export interface AgentOptions<Context = unknown> {
  /** Names the agent in sessions for ever: letters, digits, `_`, `-`, `.`; at most 64. */
  readonly name: string;
  /** Recorded with each attempt. Change it when the agent changes. Default `1`. */
  readonly version?: string;
  /** An AI SDK language model (`specificationVersion: 'v4'`). */
  readonly model: LanguageModelV4;
  /** Further models that a message may ask for by name. A name not in here is refused. */
  readonly models?: Readonly<Record<string, LanguageModelV4>>;
  /** The system message, or a function that makes it for a step. Its hash is recorded with each attempt. */
  readonly instructions?: string | ((scope: StepScope<Context>) => string | Promise<string>);
  /** Makes what tools and instructions need for a step (clients, credentials). Never stored. */
  readonly context?: (scope: Omit<StepScope, 'context'>) => Context | Promise<Context>;
  /** What the model is told beside the conversation (files, skills, who the user is), by name: once for each version of it, as an entry of the log. */
  readonly contextProviders?: Readonly<Record<string, ContextProvider<StepScope<Context>>>>;
  /** How a summary is written that stands in place of a history which grows too long; when, say `limits.compactAtShare` and `limits.contextWindowTokens`. */
  readonly compaction?: CompactionOptions<LanguageModelV4>;
  readonly tools?: Readonly<Record<string, AgentTool>>;
  /** MCP servers whose tools the agent uses, as `name__tool`. */
  readonly mcp?: Readonly<Record<string, McpServerOptions>>;
  /** The AI SDK's rule of which calls need a person's approval, or are denied; it goes before a tool's own `needsApproval`. */
  readonly toolApproval?: ToolApproval;
  /** The agent runs with nobody to ask: what would wait for a person or a client is denied, except approvals of the tools named here, which run; the recovery `ask` is `report`. Default: it asks. */
  readonly headless?: { readonly allow: readonly string[] };
  /** A new session opens with a turn that has no user message. Default false. */
  readonly greet?: boolean;
  /** Places in its conversations, each with instructions, tools and transitions of its own. Default: it has none. */
  readonly nodes?: Readonly<Record<string, NodeOptions<StepScope<Context>>>>;
  /** With `nodes`: where a conversation begins. */
  readonly firstNode?: string;
  /** What the agent keeps between turns: which scopes, and what old keys are called now (`{ old: 'new' }`). false: nothing. Default: all four scopes. */
  readonly state?: StateOptions | false;
  /** Gives sessions a title after their first reply, in the background: by a model, or by a rule. It never overwrites a person's. Default: none. */
  readonly titles?: LabelOptions;
  /** Gives each turn a short summary, in the background. Default: none. */
  readonly summaries?: LabelOptions;
  readonly limits?: Partial<AgentLimits>;
  readonly settings?: ModelSettings;
  /**
   * What its models ask for a million tokens, by model id, so that the cost of each attempt is recorded with it. All prices of a store are in one currency, whichever it is. Cost is not known of a model that is not in here;
   * a price that changes changes nothing of what was recorded. Default: none.
   */
  readonly prices?: Readonly<Record<string, ModelPrice>>;
}

/** An agent as the engine uses it: checked, with its defaults filled. Made by {@link agent}. */
export interface Agent<Context = unknown> {
  readonly name: string;
  readonly version: string;
  readonly model: LanguageModelV4;
  readonly models: Readonly<Record<string, LanguageModelV4>>;
  readonly instructions: AgentOptions<Context>['instructions'];
  context?(scope: Omit<StepScope, 'context'>): unknown;
  readonly contextProviders: ReadonlyMap<string, ContextProvider<StepScope>>;
  readonly compaction: CompactionOptions<LanguageModelV4>;
  readonly tools: ReadonlyMap<string, AgentTool>;
  readonly mcp: ReadonlyMap<string, McpServerOptions>;
  readonly toolApproval: ToolApproval | undefined;
  readonly headless: { readonly allow: readonly string[] } | null;
  readonly greet: boolean;
  /** null: it has none. */
  readonly nodes: AgentNodes<StepScope> | null;
  /** null: it has no state. */
  readonly state: StatePolicy | null;
  /** What is made of a turn after its end, and how. */
  readonly labels: ReadonlyMap<LabelKind, LabelMaking>;
  readonly limits: AgentLimits;
  readonly settings: ModelSettings;
  readonly prices: ReadonlyMap<string, ModelPrice>;
  readonly rules: AgentRules;
}

/**
 * Declares an agent. Throws `HoldfastError` with code `agent_invalid` for a bad name, a model that is not of the AI SDK's v4
 * specification, a limit that is no positive number, a price that is negative or no number, a tool whose policies cannot go together, and nodes that do not fit together: an unknown target, tool or first node, an end from which a transition
 * leads, a name that a tool has.
 */
export function agent<Context = unknown>(options: AgentOptions<Context>): Agent {
  const { name, version = '1', model, models = {}, tools = {}, mcp = {}, contextProviders = {}, compaction = {} } = options;
  if (!/^[\w.-]{1,64}$/.test(name)) throw invalid(`the name ${JSON.stringify(name)} may have letters, digits, _, - and ., at most 64`);
  for (const [modelName, candidate] of [['model', model], ...Object.entries(models)] as const) requireModel(name, modelName, candidate);
  for (const [toolName, definition] of Object.entries(tools)) requireRunnable(name, toolName, definition);
  for (const [server, definition] of Object.entries(mcp)) {
    checkMcpServer(server, definition);
    requireOwnNames(name, server, Object.keys(tools));
  }
  if (compaction.model !== undefined) requireModel(name, 'compaction.model', compaction.model);
  checkContextProviders(name, contextProviders);
  const limits: AgentLimits = { ...agentLimitsDefault, ...options.limits };
  for (const [limit, value] of Object.entries(limits)) {
    if (value !== null && !(Number.isFinite(value) && value > 0)) throw invalid(`the limit ${limit} of agent ${name} is ${String(value)}; it must be a positive number`);
  }
  if (limits.compactAtShare !== null && limits.compactAtShare > 1) throw invalid(`the limit compactAtShare of agent ${name} is ${limits.compactAtShare}; it is a share of the model's window, at most 1`);
  const toolMap = new Map(Object.entries(tools));
  const nodes = agentNodesOf(options.nodes, options.firstNode, { agentName: name, toolNames: Object.keys(tools), servers: Object.keys(mcp) }) as AgentNodes<StepScope> | null;
  const labels = labelsOf(options);
  return {
    name, version, model, models, limits, labels, tools: toolMap,
    mcp: new Map(Object.entries(mcp)),
    toolApproval: options.toolApproval,
    headless: options.headless ?? null,
    greet: options.greet ?? false,
    nodes,
    state: statePolicyOf(name, options.state),
    // Called with the context that `context` of the same options made.
    instructions: options.instructions as AgentOptions['instructions'],
    ...(options.context === undefined ? {} : { context: options.context }),
    contextProviders: new Map(Object.entries(contextProviders)) as Agent['contextProviders'],
    compaction,
    settings: options.settings ?? {},
    prices: pricesOf(name, options.prices ?? {}),
    rules: {
      ...rulesOf(name, version, limits, toolMap, mcp, options.headless !== undefined), labels: [...labels.keys()],
      ...(nodes === null ? {} : { nodes: nodes.rules }),
    },
  };
}

function labelsOf({ name, model, titles, summaries }: Pick<AgentOptions<never>, 'name' | 'model' | 'titles' | 'summaries'>): ReadonlyMap<LabelKind, LabelMaking> {
  const declared = Object.entries({ title: titles, summary: summaries }) as [LabelKind, LabelOptions | undefined][];
  return new Map(declared.flatMap(([label, options]): [LabelKind, LabelMaking][] => {
    if (options === undefined) return [];
    const making = labelMaking(label, options, model);
    if (making.kind === 'model') requireModel(name, `the model of each ${label}`, making.model);
    return [[label, making]];
  }));
}

function rulesOf(name: string, version: string, limits: AgentLimits, tools: ReadonlyMap<string, AgentTool>, mcp: Readonly<Record<string, McpServerOptions>>, isHeadless: boolean): AgentRules {
  // Nobody is there to say whether what may have run is to run again: the model is told that it may have.
  const unasked = (own: ToolRules): ToolRules => (isHeadless && own.recovery === 'ask' ? { ...own, recovery: 'report' } : own);
  return {
    agent: name, version, maxSteps: limits.maxSteps, parallelCalls: limits.parallelCalls, endAfterInactivityMs: limits.endAfterInactivityMs,
    deleteAfterRestMs: limits.deleteAfterRestMs,
    tools: new Map([...tools].filter(([, definition]) => !isProviderExecuted(definition)).map(([toolName, definition]) => [toolName, unasked(toolRulesOf(definition))])),
    servers: new Map(Object.entries(mcp).map(([server, { recovery = 'report' }]) => [server, unasked({ recovery, exclusive: false, stopAfter: false })])),
  };
}

/** What the engine knows of a tool. */
export function toolRulesOf({ transaction, recovery = transaction === true ? 'rerun' : 'report', exclusive = false, stopAfter = false, background, timeoutMs, actionRoles }: AgentTool): ToolRules {
  return {
    exclusive, stopAfter, recovery: typeof recovery === 'function' ? 'probe' : recovery,
    ...(actionRoles === undefined ? {} : { actionRoles }),
    ...(transaction === true ? { inTransaction: true as const } : {}),
    ...(background !== undefined && timeoutMs !== undefined ? { operationTimeoutMs: timeoutMs } : {}),
  };
}

function requireModel(agentName: string, modelName: string, model: LanguageModelV4): void {
  const found = (model as Partial<LanguageModelV4> | undefined)?.specificationVersion;
  if (found !== 'v4' || typeof model.doStream !== 'function') {
    throw invalid(`${modelName} of agent ${agentName} is not an AI SDK language model of specification v4 (found ${String(found)}); use the provider packages of ai@7`);
  }
}

function requireRunnable(agentName: string, toolName: string, definition: AgentTool): void {
  if (!/^[\w-]{1,128}$/.test(toolName)) throw invalid(`the tool name ${JSON.stringify(toolName)} of agent ${agentName} may have letters, digits, _ and -, at most 128`);
  if (isProviderExecuted(definition)) return;
  const { background, recovery, isQuestion } = definition;
  const isRun = typeof definition.execute === 'function';
  const wrong = (what: string): HoldfastError => invalid(`tool ${toolName} of agent ${agentName} ${what}`);
  for (const name of ['timeoutMs', 'maxResultBytes', 'actionExpiresAfterMs'] as const) {
    const value = definition[name];
    if (value !== undefined && value !== null && !(Number.isFinite(value) && value > 0)) throw wrong(`has ${name} ${String(value)}; it must be a positive number`);
  }
  if (isQuestion === true && isRun) throw wrong('is a question and has execute: a person answers it');
  if (background !== undefined && !isRun) throw wrong('has background and no execute: what a client runs is no operation');
  if (background === undefined && definition.operationKey !== undefined) throw wrong('has operationKey and no background: only operations have keys');
  const outOfTransaction = transactionProblem(definition);
  if (outOfTransaction !== null) throw wrong(outOfTransaction);
  if (background !== undefined && recovery === 'ask') throw wrong('has background and the recovery ask: an operation that may have run ends as unknown (report), runs again, or probes');
}

function requireOwnNames(agentName: string, server: string, toolNames: readonly string[]): void {
  const taken = toolNames.find((name) => name.startsWith(`${server}__`));
  if (taken !== undefined) throw invalid(`tool ${taken} of agent ${agentName} has a name as the tools of its MCP server ${server} have them`);
}

function invalid(message: string): HoldfastError {
  return new HoldfastError('agent_invalid', message);
}

/** How many tokens a model of the agent takes in: as its limits say, else as the model's id does. */
export function windowOf({ limits }: Pick<Agent, 'limits'>, { modelId }: Pick<LanguageModelV4, 'modelId'>): number {
  return limits.contextWindowTokens ?? windowTokensOf(modelId);
}

/** The model of a turn: the one its message asked for, else the agent's. undefined: the agent does not have it (any more). */
export function modelOf(definition: Agent, requested: string | null): LanguageModelV4 | undefined {
  return requested === null ? definition.model : definition.models[requested];
}
