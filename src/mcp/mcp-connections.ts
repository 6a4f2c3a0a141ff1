import type { AgentTool } from '../agent/tool.ts';
import type { Log } from '../core/log.ts';
import type { System } from '../core/system.ts';
import { mcpLimits } from './mcp-limits.ts';
import { checkMcpServer, type McpServerOptions } from './mcp-server-options.ts';
import { McpServer } from './mcp-server.ts';

export interface McpConnectionsOptions {
  readonly system: Pick<System, 'clock'>;
  readonly log: Log;
}

/**
 * The connections of a process to MCP servers: one per server, made at first use, kept, and shared by all who name the same server with the same options object.
 * At most 128; one more ends the one that was not used for longest and has no call under way.
 */
export class McpConnections implements AsyncDisposable {
  readonly #clock: System['clock'];
  readonly #log: Log;
  /** In the order of their last use. */
  readonly #servers = new Set<McpServer>();
  /** Servers that made room, until they have ended. */
  readonly #leaving = new Set<Promise<void>>();
  #closing: Promise<void> | null = null;

  constructor({ system, log }: McpConnectionsOptions) {
    this.#clock = system.clock;
    this.#log = log;
  }

  /**
   * The tools of a server as an agent takes them, by their names `server__tool`. Empty while the server cannot be reached, which the log says once
   * (`mcp-server-unavailable`), and after {@link close}. Takes `connectTimeoutMs` at most; a server that failed twice in a row costs 1 s at most, and that with growing pauses.
   * The same map comes back while nothing changed. Rejects with `HoldfastError` code `mcp_invalid` for options that cannot be right; safe to repeat.
   */
  async tools(name: string, options: McpServerOptions): Promise<ReadonlyMap<string, AgentTool>> {
    const server = this.#closing === null ? this.#serverOf(name, options) : null;
    return server === null ? new Map() : server.tools();
  }

  /** Ends all connections and the processes of stdio servers; calls under way end as errors. Idempotent; takes about 4 s at most. */
  close(): Promise<void> {
    return (this.#closing ??= Promise.all([...this.#leaving, ...[...this.#servers].map((server) => server.close())]).then(() => undefined));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #serverOf(name: string, options: McpServerOptions): McpServer | null {
    let server = [...this.#servers].find((each) => each.name === name && each.options === options);
    if (server === undefined) {
      checkMcpServer(name, options);
      if (!this.#makeRoom()) {
        this.#log('warn', 'mcp-server-unavailable', { server: name, error: `${mcpLimits.connectionsMax} connections are in use` });
        return null;
      }
      server = new McpServer(name, options, this.#clock, this.#log);
    }
    this.#servers.delete(server);
    this.#servers.add(server);
    return server;
  }

  #makeRoom(): boolean {
    if (this.#servers.size < mcpLimits.connectionsMax) return true;
    const unused = [...this.#servers].find(({ idle }) => idle);
    if (unused === undefined) return false;
    this.#servers.delete(unused);
    const leaving = unused.close().finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    return true;
  }
}
