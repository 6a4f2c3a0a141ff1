import { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { JSONRPCMessage, MCPClient, MCPTransport, MCPTransportSendOptions } from '@ai-sdk/mcp';
import type { StdioMCPTransport } from '@ai-sdk/mcp/mcp-stdio';
import { keyedParams, type LinkHost, type McpLink } from './mcp-link.ts';
import { mcpLimits } from './mcp-limits.ts';
import type { McpTransportOptions } from './mcp-server-options.ts';
import { settlesWithin } from './settles-within.ts';

type StdioOptions = Extract<McpTransportOptions, { readonly type: 'stdio' }>;

/** Makes the link to a server that is a program of this machine. The program is started when the client starts the transport. */
export async function openStdioLink(options: StdioOptions, host: LinkHost): Promise<McpLink> {
  const { StdioMCPTransport } = await import('@ai-sdk/mcp/mcp-stdio');
  const { command, args = [], env, cwd, stderr = 'ignore' } = options;
  const inner = new StdioMCPTransport({ command, args: [...args], stderr, ...(env === undefined ? {} : { env: { ...env } }), ...(cwd === undefined ? {} : { cwd }) });
  const transport = new WatchedStdio(inner, host);
  // Tokens are passed as arguments too; shorter ones are names and switches.
  const secrets = [...Object.values(env ?? {}), ...args.flatMap((arg) => [arg, arg.slice(arg.indexOf('=') + 1)]).filter(({ length }) => length >= 12)];
  return {
    transport,
    get ending() {
      return transport.ending;
    },
    secrets: () => secrets,
    close: (client) => transport.end(client),
  };
}

/**
 * The AI SDK's stdio transport, and what it leaves out: a bound on the size of a message, the server's word that its tools changed, `notifications/cancelled`
 * for a call that is aborted, and an end that also ends a process which does not listen to SIGTERM.
 */
class WatchedStdio implements MCPTransport {
  readonly supportsProtocolVersionDiscovery = true;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;
  protocolVersion?: string;
  ending: string | null = null;
  readonly #inner: StdioMCPTransport;
  readonly #host: LinkHost;
  /** Calls without an answer: what stops listening for their abort. */
  readonly #sent = new Map<string | number, () => void>();
  #child: ChildProcess | null = null;
  #lineBytes = 0;

  constructor(inner: StdioMCPTransport, host: LinkHost) {
    this.#inner = inner;
    this.#host = host;
  }

  async start(): Promise<void> {
    this.#inner.onmessage = (message) => this.#received(message);
    this.#inner.onclose = () => this.onclose?.();
    this.#inner.onerror = (error) => this.onerror?.(error as Error);
    const started = this.#inner.start();
    // The transport keeps its process to itself; without it there is no bound, and no end but SIGTERM.
    const child: unknown = Reflect.get(this.#inner, 'process');
    if (child instanceof ChildProcess) this.#watch(child);
    await started;
  }

  async send(message: JSONRPCMessage, options?: MCPTransportSendOptions): Promise<void> {
    if (!('method' in message) || !('id' in message) || message.method !== 'tools/call') return this.#inner.send(message);
    const { id } = message;
    const signal = options?.signal;
    const cancel = (): void => {
      this.#sent.delete(id);
      const cancelled: JSONRPCMessage = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } };
      this.#inner.send(cancelled).catch((error: unknown) => this.onerror?.(error as Error));
    };
    signal?.addEventListener('abort', cancel, { once: true });
    this.#sent.set(id, () => signal?.removeEventListener('abort', cancel));
    const params = keyedParams(message.params);
    return this.#inner.send(params === undefined ? message : { ...message, params });
  }

  /** Tells the process to end (SIGTERM). */
  close(): Promise<void> {
    return this.#inner.close();
  }

  /** Ends the process, by SIGKILL where SIGTERM does not. */
  async end(client: MCPClient | null): Promise<void> {
    await client?.close();
    await this.close();
    const child = this.#child;
    if (child?.pid === undefined || hasExited(child)) return;
    const exited = once(child, 'exit');
    if (await settlesWithin(exited, this.#host.clock, mcpLimits.endGraceMs)) return;
    child.kill('SIGKILL');
    await settlesWithin(exited, this.#host.clock, mcpLimits.endGraceMs);
  }

  #received(message: JSONRPCMessage): void {
    if ('method' in message && !('id' in message)) {
      // The client takes no notifications; this is the one that matters here.
      if (message.method === 'notifications/tools/list_changed') this.#host.toolsChanged();
      return;
    }
    if (!('method' in message) && message.id !== undefined) {
      this.#sent.get(message.id)?.();
      this.#sent.delete(message.id);
    }
    this.onmessage?.(message);
  }

  #watch(child: ChildProcess): void {
    this.#child = child;
    child.once('exit', (code, signal) => {
      this.ending ??= `its process ended (${signal ?? `exit code ${code}`})`;
    });
    child.once('close', () => {
      if (this.ending !== null) this.#host.ended(this.ending);
    });
    child.stdout?.on('data', (chunk: Buffer) => {
      const lineEnd = chunk.lastIndexOf('\n');
      this.#lineBytes = lineEnd === -1 ? this.#lineBytes + chunk.length : chunk.length - lineEnd - 1;
      if (this.#lineBytes <= mcpLimits.messageBytesMax) return;
      this.#lineBytes = 0;
      this.ending ??= `it sent a message of more than ${mcpLimits.messageBytesMax} bytes`;
      child.kill('SIGKILL');
      child.stdout?.destroy();
      this.#inner.close().catch((error: unknown) => this.onerror?.(error as Error));
    });
  }
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
