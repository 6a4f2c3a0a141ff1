import { jsonSchema } from '@ai-sdk/provider-utils';
import { HoldfastError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Greeting, NodeRules, OneNodeRules } from '../core/node.ts';
import type { AgentTool } from './tool.ts';

/** A text, or a function that makes it for a step. */
export type Instructions<Scope> = string | ((scope: Scope) => string | Promise<string>);

/** A place in a conversation: what the agent is told and can do there, and where it may go from there. */
export interface NodeOptions<Scope> {
  /** Told to the model after the agent's own instructions. */
  readonly instructions?: Instructions<Scope>;
  /** Tools that are active here. A tool that some node names is active only in nodes that name it; one that none names is active in all of them. */
  readonly tools?: readonly string[];
  /** Nodes that may be entered from here; with when to do so, for the model: `{ billing: 'when the user asks about money' }`. */
  readonly transitions?: readonly string[] | Readonly<Record<string, string>>;
  /** Said without a model when the node is entered for the first time and no turn runs. */
  readonly greeting?: string;
  /** Then the model speaks first. Not together with `greeting`. Default false. */
  readonly greet?: boolean;
  /** The session ends when the turn is complete in which the node is entered. No transition leads from it. Default false. */
  readonly end?: boolean;
}

/** The nodes of an agent as the worker uses them. */
export interface AgentNodes<Scope> {
  readonly rules: NodeRules;
  readonly byName: ReadonlyMap<string, AgentNode<Scope>>;
  /** Tools that some node names. */
  readonly named: ReadonlySet<string>;
}

export interface AgentNode<Scope> {
  readonly instructions: Instructions<Scope> | null;
  readonly tools: ReadonlySet<string>;
  /** For each transition the tool with which the model takes it. */
  readonly transitionTools: ReadonlyMap<string, AgentTool>;
}

/** What an agent has besides nodes, as far as their names are concerned. */
export interface NodeSurroundings {
  readonly agentName: string;
  readonly toolNames: readonly string[];
  readonly servers: readonly string[];
}

/** The name of the tool with which the model goes to a node. */
export function transitionToolName(node: string): string {
  return `go_to_${node}`;
}

/** The nodes of an agent, checked; null: it has none. Throws `HoldfastError` code `agent_invalid`. */
export function agentNodesOf<Scope>(given: Readonly<Record<string, NodeOptions<Scope>>> | undefined, first: string | undefined, around: NodeSurroundings): AgentNodes<Scope> | null {
  if (given === undefined) {
    if (first !== undefined) throw invalid(around, `has firstNode ${JSON.stringify(first)} and no nodes`);
    return null;
  }
  const names = Object.keys(given);
  if (names.length === 0 || names.length > limits.nodesMax) throw invalid(around, `has ${names.length} nodes; it may have 1 to ${limits.nodesMax}`);
  if (first === undefined || !Object.hasOwn(given, first)) throw invalid(around, `has no first node: firstNode is ${JSON.stringify(first)}, and the nodes are ${names.join(', ')}`);
  for (const [name, node] of Object.entries(given)) requireNode(around, names, name, node);
  if (given[first]?.end === true) throw invalid(around, `begins in the end node ${first}: its sessions would end before anything is said`);
  return {
    rules: { first, nodes: new Map(Object.entries(given).map(([name, node]) => [name, nodeRules(node)])) },
    byName: new Map(Object.entries(given).map(([name, node]) => [name, agentNode(node)])),
    named: new Set(Object.values(given).flatMap(({ tools = [] }) => tools)),
  };
}

/** The tools that are active in a node, and those that lead from it. `tools` are all that there are for the step. */
export function toolsInNode(nodes: AgentNodes<never>, node: AgentNode<never>, tools: ReadonlyMap<string, AgentTool>): ReadonlyMap<string, AgentTool> {
  return new Map([...[...tools].filter(([name]) => node.tools.has(name) || !nodes.named.has(name)), ...node.transitionTools]);
}

/** Whether the nodes' own tools may have this name. */
export function isTransitionName({ byName }: AgentNodes<never>, name: string): boolean {
  return [...byName.keys()].some((node) => transitionToolName(node) === name);
}

function requireNode<Scope>(around: NodeSurroundings, names: readonly string[], name: string, { tools = [], transitions, greeting, greet, end }: NodeOptions<Scope>): void {
  const wrong = (what: string): HoldfastError => invalid(around, `has a node ${name} that ${what}`);
  if (!/^[\w-]{1,50}$/.test(name)) throw invalid(around, `has a node ${JSON.stringify(name)}: its name may have letters, digits, _ and -, at most 50`);
  const unknownTool = tools.find((tool) => !around.toolNames.includes(tool) && !around.servers.some((server) => tool.startsWith(`${server}__`)));
  if (unknownTool !== undefined) throw wrong(`names a tool ${unknownTool}, which the agent does not have`);
  const targets = targetsOf(transitions);
  const unknown = targets.find((target) => !names.includes(target));
  if (unknown !== undefined) throw wrong(`leads to ${unknown}, which is no node; the nodes are ${names.join(', ')}`);
  if (targets.includes(name)) throw wrong('leads to itself');
  if (end === true && targets.length > 0) throw wrong(`ends the session and leads to ${targets.join(', ')}`);
  if (greeting !== undefined && (greeting === '' || greet === true)) throw wrong(greeting === '' ? 'has an empty greeting' : 'has both greeting and greet: either a text is said or the model speaks first');
  const transitionName = transitionToolName(name);
  if (around.toolNames.includes(transitionName)) throw wrong(`would be entered by a tool ${transitionName}, and the agent has a tool of that name`);
}

function targetsOf(transitions: NodeOptions<unknown>['transitions'] = []): readonly string[] {
  return Array.isArray(transitions) ? (transitions as readonly string[]) : Object.keys(transitions);
}

function nodeRules({ transitions, greeting, greet, end }: NodeOptions<never>): OneNodeRules {
  const opening: Greeting | null = greeting !== undefined ? { kind: 'text', text: greeting } : greet === true ? { kind: 'model' } : null;
  return { transitions: new Set(targetsOf(transitions)), greeting: opening, ends: end === true };
}

function agentNode<Scope>({ instructions, tools = [], transitions = [] }: NodeOptions<Scope>): AgentNode<Scope> {
  const when = (target: string): string | undefined => (Array.isArray(transitions) ? undefined : (transitions as Readonly<Record<string, string>>)[target]);
  return { instructions: instructions ?? null, tools: new Set(tools), transitionTools: new Map(targetsOf(transitions).map((target) => [transitionToolName(target), transitionTool(target, when(target))])) };
}

function transitionTool(target: string, when: string | undefined): AgentTool {
  return {
    transitionTo: target, description: `Goes on with the conversation in "${target}"${when === undefined || when === '' ? '.' : `: ${when}`}`,
    inputSchema: jsonSchema({ type: 'object', properties: {}, additionalProperties: false }),
  };
}

function invalid({ agentName }: NodeSurroundings, what: string): HoldfastError {
  return new HoldfastError('agent_invalid', `agent ${agentName} ${what}`);
}
