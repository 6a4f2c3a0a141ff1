import { jsonSchema } from '@ai-sdk/provider-utils';
import type { AgentTool } from '../agent/tool.ts';
import type { ClientTool } from '../core/entry.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';

/**
 * The tools of a session's present step: the agent's own, those of its MCP servers as far as they answer, and those that the turn's client
 * brought. No name shadows another: the agent's own go first.
 */
export async function stepTools(host: WorkerHost, run: SessionRun): Promise<ReadonlyMap<string, AgentTool>> {
  const { agent, session } = run;
  const clientToolsSeq = session.turn?.clientToolsSeq ?? null;
  if (agent.mcp.size === 0 && clientToolsSeq === null) return agent.tools;
  const servers = await Promise.all([...agent.mcp].map(([name, options]) => host.mcp.tools(name, options)));
  const client = clientToolsSeq === null ? new Map<string, AgentTool>() : await clientTools(host, run, clientToolsSeq);
  return new Map([...client, ...servers.flatMap((tools) => [...tools]), ...agent.tools]);
}

async function clientTools(host: WorkerHost, run: SessionRun, seq: number): Promise<ReadonlyMap<string, AgentTool>> {
  if (run.clientTools?.seq !== seq) {
    const [entry] = await host.store.readEntries(run.ref, { afterSeq: seq - 1, limit: 1 });
    const brought = entry?.kind === 'user-message' && entry.seq === seq ? (entry.clientTools ?? []) : [];
    run.clientTools = { seq, tools: new Map(brought.map((brings) => [brings.name, clientTool(brings)])) };
  }
  return run.clientTools.tools;
}

function clientTool({ description, inputSchema }: ClientTool): AgentTool {
  return { type: 'dynamic', inputSchema: jsonSchema(inputSchema), ...(description === undefined ? {} : { description }) };
}
