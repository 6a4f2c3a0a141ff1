import type { ListToolsResult } from '@ai-sdk/mcp';
import { jsonSchema } from '@ai-sdk/provider-utils';
import type { AgentTool, ToolOptions } from '../agent/tool.ts';
import { wellFormedText } from '../core/json.ts';
import { agentLimitsDefault } from '../core/limits.ts';
import { mcpLimits } from './mcp-limits.ts';
import { modelOutput } from './mcp-result.ts';
import type { McpServerOptions } from './mcp-server-options.ts';

export type ListedTool = ListToolsResult['tools'][number];

/** Runs a tool by the server's own name for it. */
export type McpCall = (toolName: string, input: unknown, options: ToolOptions, bytesMax: number) => Promise<unknown>;

export interface McpTools {
  /** By the names under which a model calls them. */
  readonly tools: ReadonlyMap<string, AgentTool>;
  /** What a person should know of: the server's own name of a tool, and why it is not there. */
  readonly problems: ReadonlyMap<string, string>;
}

/**
 * The tools of a server as an agent takes them, named `server__tool`. A tool that cannot be taken is left out and its problem told: two that would have one name
 * are both left out, since which of them a call means must not depend on the order of a list.
 */
export function mcpTools(server: string, options: McpServerOptions, listed: readonly ListedTool[], call: McpCall): McpTools {
  const problems = new Map<string, string>();
  const byOwnName = new Map(listed.map((tool) => [tool.name, tool]));
  for (const name of [...(options.tools ?? []), ...(Array.isArray(options.needsApproval) ? options.needsApproval as readonly string[] : [])]) {
    if (!byOwnName.has(name)) problems.set(name, 'the options name it, but the server does not list it');
  }
  const byName = new Map<string, ListedTool[]>();
  for (const tool of byOwnName.values()) {
    if (options.tools !== undefined && !options.tools.includes(tool.name)) continue;
    const name = offeredName(server, tool.name);
    byName.set(name, [...(byName.get(name) ?? []), tool]);
  }
  const tools = new Map<string, AgentTool>();
  for (const [name, [tool, ...others]] of byName) {
    if (tool === undefined) continue;
    if (others.length > 0) {
      for (const each of [tool, ...others]) problems.set(each.name, `it would be called ${name}, like another tool of the server`);
    } else if (JSON.stringify([tool.description, tool.inputSchema]).length > mcpLimits.definitionCharsMax) {
      problems.set(tool.name, `its definition has more than ${mcpLimits.definitionCharsMax} characters`);
    } else {
      tools.set(name, agentTool(server, options, tool, call));
    }
  }
  return { tools, problems };
}

/** Providers refuse other characters in names, and longer names. */
function offeredName(server: string, toolName: string): string {
  return `${server}__${toolName.replaceAll(/[^\w-]/g, '_')}`.slice(0, mcpLimits.toolNameCharsMax);
}

function agentTool(server: string, options: McpServerOptions, { name, description, inputSchema }: ListedTool, call: McpCall): AgentTool {
  const { timeoutMs, maxResultBytes, recovery } = options;
  const bytesMax = maxResultBytes ?? agentLimitsDefault.toolResultBytesMax;
  return {
    type: 'dynamic',
    mcpServer: server,
    ...(description === undefined ? {} : { description: wellFormedText(description) }),
    // Some providers refuse an object without a type or properties; the server checks the input.
    inputSchema: jsonSchema({ properties: {}, ...inputSchema, type: 'object' } as Parameters<typeof jsonSchema>[0]),
    execute: (input: unknown, toolOptions: ToolOptions) => call(name, input, toolOptions, bytesMax),
    toModelOutput: ({ output }: { readonly output: unknown }) => modelOutput(output),
    needsApproval: needsApproval(options, name),
    recovery: recovery ?? 'report',
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(maxResultBytes === undefined ? {} : { maxResultBytes }),
  };
}

function needsApproval({ needsApproval: needs = false }: McpServerOptions, toolName: string): boolean | ((input: unknown) => boolean | Promise<boolean>) {
  if (typeof needs === 'boolean') return needs;
  if (typeof needs === 'function') return (input) => needs({ toolName, input });
  return needs.includes(toolName);
}
