import { AsyncLocalStorage } from 'node:async_hooks';
import type { MCPClient, MCPClientConfig } from '@ai-sdk/mcp';
import type { Clock } from '../core/system.ts';

/** What a link tells of its server. */
export interface LinkHost {
  readonly clock: Clock;
  /** The server said that its tools changed. */
  toolsChanged(): void;
  /** Something went wrong that may be the end of the connection, or only of one request: the next use should ask. */
  doubtful(): void;
  /** The connection ended by itself. */
  ended(reason: string): void;
}

/** The way to one server, around a transport of the AI SDK: what the transport does not do, the link adds (bounds, cancelling, an end in order). */
export interface McpLink {
  /** What the AI SDK's client is given. */
  readonly transport: MCPClientConfig['transport'];
  /** Why the connection ended by itself; null while it has not. */
  readonly ending: string | null;
  /** Texts that must not reach a log: as configured, and as made since. */
  secrets(): readonly string[];
  /** Ends the connection, and a server's process with it, within twice `endGraceMs`. Never rejects. */
  close(client: MCPClient | null): Promise<void>;
}

/** A call on its way. */
export interface SentCall {
  readonly callKey: string | undefined;
  ended: boolean;
}

/** Which call the code that runs now sends: the AI SDK's client has no place for that, so the links look here on the way out. */
export const callScope = new AsyncLocalStorage<SentCall>();

/** The params of a `tools/call` with the call's key in `_meta`. */
export function keyedParams<Params extends object>(params: Params | undefined): Params | undefined {
  const callKey = callScope.getStore()?.callKey;
  if (params === undefined || callKey === undefined) return params;
  return { ...params, _meta: { ...('_meta' in params ? (params._meta as object) : {}), 'holdfast/callKey': callKey } };
}
