import { createHash } from 'node:crypto';
import type { CallToolResult, MCPClient } from '@ai-sdk/mcp';
import type { AgentTool, ToolOptions } from '../agent/tool.ts';
import { HoldfastError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Clock } from '../core/system.ts';
import { failureText } from './failure-text.ts';
import { callScope, type LinkHost, type McpLink } from './mcp-link.ts';
import { mcpLimits } from './mcp-limits.ts';
import { mcpResult } from './mcp-result.ts';
import type { McpServerOptions } from './mcp-server-options.ts';
import { mcpTools, type ListedTool } from './mcp-tools.ts';
import { openLink } from './open-link.ts';
import { settlesWithin } from './settles-within.ts';

interface Connection {
  readonly client: MCPClient;
  readonly link: McpLink;
  readonly sinceMs: number;
  tools: ReadonlyMap<string, AgentTool>;
  /** The next use asks for the tools again, which also shows whether the connection still works. */
  doubtful: boolean;
  /** Calls under way. */
  calls: number;
  /** Out of use; it is closed when its last call has ended. */
  retired: boolean;
}

const noTools: ReadonlyMap<string, AgentTool> = new Map();

/**
 * One server and the one connection to it, made at its first use, shared by all users, and made again when it is needed after it was lost. Its state is either
 * connected or not; each change is said once in the log.
 */
export class McpServer {
  readonly name: string;
  readonly options: McpServerOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #connectTimeoutMs: number;
  readonly #ended = new AbortController();
  readonly #open = new Set<Connection>();
  readonly #closing = new Set<Promise<void>>();
  #connection: Connection | null = null;
  #attempt: Promise<void> | null = null;
  /** Failures since it last worked for a while. */
  #failures = 0;
  #failedAtMs = 0;
  /** What the log was told last; null while it works. */
  #failure: string | null = null;
  /** What was listed last, and made of it. */
  #listed: { readonly hash: string; readonly tools: ReadonlyMap<string, AgentTool> } = { hash: '', tools: noTools };
  #problems: ReadonlyMap<string, string> = new Map();

  constructor(name: string, options: McpServerOptions, clock: Clock, log: Log) {
    this.name = name;
    this.options = options;
    this.#clock = clock;
    this.#log = log;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? mcpLimits.connectTimeoutMsMax;
  }

  /** Whether nobody would miss it. */
  get idle(): boolean {
    return this.#attempt === null && [...this.#open].every(({ calls }) => calls === 0);
  }

  /** Its tools, or none while it cannot be reached. Never rejects; takes `connectTimeoutMs` at most. */
  async tools(): Promise<ReadonlyMap<string, AgentTool>> {
    await this.#prepare();
    return this.#connection?.tools ?? noTools;
  }

  /** Closes the connection and ends the server's process. Calls under way end as errors. Idempotent; takes twice `endGraceMs` at most. */
  async close(): Promise<void> {
    this.#ended.abort(new HoldfastError('mcp_closed', 'the connections are being closed'));
    this.#connection = null;
    for (const connection of this.#open) this.#close(connection.link, connection.client);
    this.#open.clear();
    await this.#attempt;
    await Promise.all(this.#closing);
  }

  /** Connects, or asks for the tools again, if that is due. Concurrent users wait for the same attempt. */
  async #prepare(): Promise<void> {
    if (this.#attempt === null) {
      const isDue = this.#connection === null ? !this.#mustWait() : this.#connection.doubtful;
      if (this.#ended.signal.aborted || !isDue) return;
      this.#attempt = this.#renew().finally(() => {
        this.#attempt = null;
      });
    }
    // Who failed twice in a row is no longer waited for: the attempt goes on, and a later use finds what came of it.
    await settlesWithin(this.#attempt, this.#clock, this.#failures < 2 ? this.#connectTimeoutMs : Math.min(mcpLimits.retryWaitMs, this.#connectTimeoutMs));
  }

  #mustWait(): boolean {
    if (this.#failures < 2) return false;
    const delayMs = Math.min(mcpLimits.retryDelayMsMax, mcpLimits.retryDelayMsFirst * 2 ** (this.#failures - 2));
    const sinceMs = this.#clock.nowMs() - this.#failedAtMs;
    // A clock that was set back must not make the wait longer.
    return sinceMs >= 0 && sinceMs < delayMs;
  }

  async #renew(): Promise<void> {
    const deadline = new AbortController();
    const cancel = this.#clock.after(this.#connectTimeoutMs, () => deadline.abort(new HoldfastError('mcp_timeout', `it did not answer within ${this.#connectTimeoutMs} ms`)));
    const signal = AbortSignal.any([deadline.signal, this.#ended.signal]);
    try {
      if (this.#connection !== null && (await this.#listAgain(this.#connection, signal))) return;
      if (!signal.aborted && !this.#mustWait()) await this.#connect(signal);
    } finally {
      cancel();
    }
  }

  async #listAgain(connection: Connection, signal: AbortSignal): Promise<boolean> {
    connection.doubtful = false;
    try {
      connection.tools = await this.#list(connection.client, signal);
      return true;
    } catch (error) {
      // What is connected again at once was never away; what is not is said there.
      this.#lose(connection);
      if (signal.aborted || this.#mustWait()) this.#say(signal.aborted ? signal.reason : error, connection.link);
      return false;
    }
  }

  async #connect(signal: AbortSignal): Promise<void> {
    let changed = false;
    let connection: Connection | null = null;
    const host: LinkHost = {
      clock: this.#clock,
      toolsChanged: () => {
        changed = true;
        if (connection !== null) connection.doubtful = true;
      },
      doubtful: () => {
        if (connection !== null) connection.doubtful = true;
      },
      ended: (reason) => {
        if (connection !== null && this.#lose(connection)) this.#say(new HoldfastError('mcp_ended', reason), connection.link);
      },
    };
    let link: McpLink | null = null;
    let client: MCPClient | null = null;
    try {
      link = await openLink(this.options.transport, host);
      const { createMCPClient } = await import('@ai-sdk/mcp');
      // What the client cannot attribute to a request is of no use: the links see what matters.
      client = await createMCPClient({ transport: link.transport, clientName: 'holdfast', initializationOptions: { signal }, onUncaughtError: () => undefined });
      changed = false;
      const tools = await this.#list(client, signal);
      if (link.ending !== null) throw new HoldfastError('mcp_ended', link.ending);
      signal.throwIfAborted();
      connection = { client, link, sinceMs: this.#clock.nowMs(), tools, doubtful: changed, calls: 0, retired: false };
      this.#open.add(connection);
      this.#connection = connection;
      if (this.#failure !== null) this.#log('info', 'mcp-server-available', { server: this.name });
      this.#failure = null;
    } catch (error) {
      const ending = link?.ending ?? null;
      if (link !== null) this.#close(link, client);
      this.#failures += 1;
      this.#failedAtMs = this.#clock.nowMs();
      this.#say(signal.aborted ? signal.reason : ending === null ? error : new HoldfastError('mcp_ended', ending), link);
    }
  }

  async #list(client: MCPClient, signal: AbortSignal): Promise<ReadonlyMap<string, AgentTool>> {
    const listed: ListedTool[] = [];
    let cursor = client.initializeResult.capabilities.tools === undefined ? undefined : '';
    for (let page = 0; cursor !== undefined && page < mcpLimits.listPagesMax && listed.length < mcpLimits.toolsMax; page += 1) {
      const answer = await client.listTools({ ...(cursor === '' ? {} : { params: { cursor } }), options: { signal } });
      listed.push(...answer.tools);
      cursor = answer.nextCursor;
    }
    const isWhole = cursor === undefined && listed.length <= mcpLimits.toolsMax;
    return this.#toolsOf(listed.slice(0, mcpLimits.toolsMax), isWhole);
  }

  /** The same list makes the same tools, so that nobody has to describe them to a model anew. */
  #toolsOf(listed: readonly ListedTool[], isWhole: boolean): ReadonlyMap<string, AgentTool> {
    const hash = createHash('sha256').update(JSON.stringify([listed, isWhole])).digest('base64');
    if (hash === this.#listed.hash) return this.#listed.tools;
    const { tools, problems } = mcpTools(this.name, this.options, listed, (...call) => this.#call(...call));
    const found = new Map(problems);
    if (!isWhole) found.set('', `it lists more than ${mcpLimits.toolsMax} tools or ${mcpLimits.listPagesMax} pages; the rest is left out`);
    for (const [tool, problem] of found) {
      if (this.#problems.get(tool) !== problem) this.#log('warn', 'mcp-tool-left-out', { server: this.name, tool: failureText(new Error(tool), []), error: problem });
    }
    this.#problems = found;
    this.#listed = { hash, tools };
    return tools;
  }

  async #call(toolName: string, input: unknown, { abortSignal, callKey }: ToolOptions, bytesMax: number): Promise<unknown> {
    const connection = await this.#connectionFor(abortSignal);
    const call = { callKey, ended: false };
    connection.calls += 1;
    let result: CallToolResult;
    try {
      const args = input as Record<string, unknown>;
      result = await callScope.run(call, () => connection.client.callTool({ name: toolName, arguments: args, options: { signal: abortSignal } }));
    } catch (error) {
      if (abortSignal.aborted) throw error;
      const { ending } = connection.link;
      const reason = ending === null ? failureText(error, connection.link.secrets()) : ending;
      throw new HoldfastError('mcp_call_failed', `the call to the MCP server ${this.name} failed: ${reason}`, { cause: error });
    } finally {
      call.ended = true;
      connection.calls -= 1;
      this.#closeIfUnused(connection);
    }
    return mcpResult(result, bytesMax);
  }

  /** The connection for a call, made if there is none: nothing has been sent yet, so that is safe. */
  async #connectionFor(abortSignal: AbortSignal): Promise<Connection> {
    if (this.#connection === null) {
      abortSignal.throwIfAborted();
      const aborted = Promise.withResolvers<void>();
      abortSignal.addEventListener('abort', () => aborted.resolve(), { once: true });
      await Promise.race([this.#prepare(), aborted.promise]);
      abortSignal.throwIfAborted();
    }
    if (this.#connection !== null) return this.#connection;
    throw new HoldfastError('mcp_unavailable', `the MCP server ${this.name} cannot be reached, so the call did not run: ${this.#failure ?? 'its connections are closed'}`);
  }

  /** Takes a connection out of use. False when it was already. */
  #lose(connection: Connection): boolean {
    if (this.#connection !== connection) return false;
    this.#connection = null;
    const nowMs = this.#clock.nowMs();
    // One that worked for a while starts anew; one that keeps breaking does not.
    this.#failures = nowMs - connection.sinceMs >= mcpLimits.retryDelayMsMax ? 1 : this.#failures + 1;
    this.#failedAtMs = nowMs;
    connection.retired = true;
    this.#closeIfUnused(connection);
    return true;
  }

  #closeIfUnused(connection: Connection): void {
    if (!connection.retired || connection.calls > 0 || !this.#open.delete(connection)) return;
    this.#close(connection.link, connection.client);
  }

  #close(link: McpLink, client: MCPClient | null): void {
    const closing = link.close(client)
      .catch((error: unknown) => this.#log('warn', 'mcp-close-failed', { server: this.name, error: failureText(error, link.secrets()) }))
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** Names a failure in the log, once for as long as it lasts. */
  #say(error: unknown, link: McpLink | null): void {
    const text = failureText(error, link?.secrets() ?? []);
    if (text === this.#failure || this.#ended.signal.aborted) return;
    this.#failure = text;
    this.#log('warn', 'mcp-server-unavailable', { server: this.name, error: text });
  }
}
