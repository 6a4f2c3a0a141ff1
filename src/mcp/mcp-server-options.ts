import { HoldfastError } from '../core/errors.ts';
import { mcpLimits } from './mcp-limits.ts';

/** How a server is reached. */
export type McpTransportOptions =
  | {
    /** A program on this machine that speaks on its standard input and output. It gets `env` and a few harmless variables of this process (PATH, HOME, …), no others. */
    readonly type: 'stdio';
    readonly command: string;
    readonly args?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
    /** `inherit` shows what it writes to its standard error on this process's. Default `ignore`. */
    readonly stderr?: 'ignore' | 'inherit';
  }
  | {
    /** A server that speaks MCP's streamable HTTP. Redirects are refused, since they would carry the headers along. */
    readonly type: 'http';
    readonly url: string;
    /** Sent with each request. A function is asked before each request, so that a token may be renewed. */
    readonly headers?: Readonly<Record<string, string>> | (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>);
  };

/** An MCP server whose tools an agent takes. Its tools are named `server__tool`; `tools` and `needsApproval` use the server's own names. */
export interface McpServerOptions {
  readonly transport: McpTransportOptions;
  /** The tools to take, by the server's own names. Default: all that it lists. */
  readonly tools?: readonly string[];
  /** How long connecting and listing the tools may take together, in milliseconds: at most 10,000, which is the default. */
  readonly connectTimeoutMs?: number;
  /** How long a call may take, in milliseconds. Default: the agent's `toolTimeoutMs`. */
  readonly timeoutMs?: number;
  /** How large a result the model and the log see, in UTF-8 bytes. Default: the agent's `toolResultBytesMax`. */
  readonly maxResultBytes?: number;
  /**
   * What happens to a call in flight when its worker dies, for all tools of the server. Default `report`. With `rerun-keyed` the server finds the call's
   * key in the request's `_meta` as `holdfast/callKey`, the same when the call runs again.
   */
  readonly recovery?: 'rerun' | 'rerun-keyed' | 'report' | 'ask';
  /** Whether a person decides before a call runs: for all tools, for some, or as the function says. Default false. */
  readonly needsApproval?: boolean | readonly string[] | ((call: { readonly toolName: string; readonly input: unknown }) => boolean | Promise<boolean>);
}

const recoveries = ['rerun', 'rerun-keyed', 'report', 'ask'];

/**
 * Checks what a user wrote for a server. Throws `HoldfastError` with code `mcp_invalid` for a bad name (`a` to `z`, digits, `-`; at most 32), a transport that cannot be
 * one, a URL with credentials in it, and numbers out of their bounds. The message holds no value that may be secret.
 */
export function checkMcpServer(name: string, options: McpServerOptions): void {
  const invalid = (what: string): never => {
    throw new HoldfastError('mcp_invalid', `MCP server ${JSON.stringify(name.slice(0, 64))}: ${what}`);
  };
  if (!/^[a-z0-9-]{1,32}$/.test(name)) invalid('the name may have a to z, digits and -, at most 32');
  checkTransport(options.transport, invalid);
  const { connectTimeoutMs, timeoutMs, maxResultBytes, recovery, tools, needsApproval } = options;
  for (const [field, value] of Object.entries({ connectTimeoutMs, timeoutMs, maxResultBytes })) {
    if (value !== undefined && !(Number.isFinite(value) && value > 0)) invalid(`${field} is ${String(value)}; it must be a positive number`);
  }
  if (connectTimeoutMs !== undefined && connectTimeoutMs > mcpLimits.connectTimeoutMsMax) invalid(`connectTimeoutMs is ${connectTimeoutMs}; it may be at most ${mcpLimits.connectTimeoutMsMax}`);
  if (recovery !== undefined && !recoveries.includes(recovery)) invalid(`recovery is ${JSON.stringify(recovery)}; it may be ${recoveries.join(', ')}`);
  if (tools !== undefined && !isTextList(tools)) invalid('tools must be a list of names');
  if (needsApproval !== undefined && typeof needsApproval !== 'boolean' && typeof needsApproval !== 'function' && !isTextList(needsApproval)) {
    invalid('needsApproval must be true, false, a list of names or a function');
  }
}

function checkTransport(transport: McpTransportOptions, invalid: (what: string) => never): void {
  if (typeof transport !== 'object' || transport === null) return invalid('transport says how it is reached: {type: "stdio", command} or {type: "http", url}');
  switch (transport.type) {
    case 'stdio':
      if (typeof transport.command !== 'string' || transport.command === '') invalid('transport.command must name a program');
      return;
    case 'http': {
      const url = URL.parse(transport.url);
      if (url === null || !['http:', 'https:'].includes(url.protocol)) return invalid('transport.url must be an http or https URL');
      if (url.username !== '' || url.password !== '') invalid('transport.url must not hold credentials; put them into transport.headers');
      return;
    }
    default:
      invalid('transport.type must be stdio or http');
  }
}

function isTextList(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
