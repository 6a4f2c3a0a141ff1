import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import type { AgentTool } from '../../src/agent/tool.ts';
import type { Log } from '../../src/core/log.ts';
import type { System } from '../../src/core/system.ts';
import { McpConnections } from '../../src/mcp/mcp-connections.ts';
import type { McpServerOptions } from '../../src/mcp/mcp-server-options.ts';
import { realSystem } from '../../src/system.ts';
import type { ServerScript } from '../mcp/children/scripted-server.ts';
import { eventually } from './eventually.ts';
import { temporaryFolder } from './temporary-folder.ts';

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Connections, closed when the test ends, and what they said. */
export function openConnections({ system = realSystem() }: { readonly system?: System } = {}): { readonly connections: McpConnections; readonly lines: readonly LogLine[] } {
  const lines: LogLine[] = [];
  const log: Log = (level, event, fields) => {
    lines.push({ level, event, fields });
  };
  const connections = new McpConnections({ system, log });
  onTestFinished(() => connections.close());
  return { connections, lines };
}

/** Calls a tool as a worker does. */
export async function callTool(tools: ReadonlyMap<string, AgentTool>, name: string, input: object = {}, { signal = new AbortController().signal, callKey = 'ses_1/2/0' } = {}): Promise<unknown> {
  const tool = tools.get(name);
  if (tool?.execute === undefined) throw new Error(`there is no tool ${name}; there are ${[...tools.keys()].join(', ')}`);
  return tool.execute(input as never, { abortSignal: signal, callKey } as never);
}

/** What the processes of a server wrote down, line by line. */
export interface Journal {
  readonly path: string;
  lines(): readonly string[];
  /** The ids of all processes so far, in the order of their start. */
  pids(): readonly number[];
  /** Resolves when a line with this beginning is there for the given time. */
  holds(beginning: string, times?: number): Promise<void>;
}

async function journal(): Promise<Journal> {
  const folder = await temporaryFolder();
  const file = path.join(folder.path, 'journal');
  const lines = (): readonly string[] => (existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter((line) => line !== '') : []);
  const those = (beginning: string): readonly string[] => lines().filter((line) => line.startsWith(beginning));
  const pids = (): readonly number[] => those('started ').map((line) => Number(line.slice('started '.length)));
  onTestFinished(async () => {
    for (const pid of pids()) endProcess(pid);
    await folder.remove();
  });
  return { path: file, lines, pids, holds: async (beginning, times = 1) => { await eventually(`"${beginning}" in the server's journal`, () => those(beginning).length >= times); } };
}

/** Whether a process is there. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

function endProcess(pid: number): void {
  if (isAlive(pid)) process.kill(pid, 'SIGKILL');
}

const children = path.join(import.meta.dirname, '..', 'mcp', 'children');

/** A server of the test's own, as a process of each connection. */
export async function scriptedServer(script: Omit<ServerScript, 'journal'> = {}, env: Readonly<Record<string, string>> = {}): Promise<{ readonly transport: McpServerOptions['transport']; readonly journal: Journal }> {
  const written = await journal();
  const args = [path.join(children, 'scripted-server.ts'), JSON.stringify({ journal: written.path, ...script })];
  return { transport: { type: 'stdio', command: process.execPath, args, env }, journal: written };
}

/** The reference server, as a process of each connection. */
export async function everythingServer(): Promise<{ readonly transport: McpServerOptions['transport']; readonly journal: Journal }> {
  const written = await journal();
  return { transport: { type: 'stdio', command: process.execPath, args: [path.join(children, 'everything-stdio.ts')], env: { JOURNAL: written.path } }, journal: written };
}
