import { Hono } from 'hono';
import type { Principal } from '../agent/tool.ts';
import type { CommandHost } from '../commands/command-host.ts';
import type { Feed } from '../feed/feed.ts';

export type Authenticate = (request: Request) => Principal | null | Promise<Principal | null>;

export interface ServerHost {
  readonly commands: CommandHost;
  readonly feed: Feed;
  readonly waiters: { wait(ref: { readonly tenant: string; readonly id: string }, turnId: string, signal?: AbortSignal): Promise<void> };
  readonly authenticate: Authenticate;
  readonly isReady: () => boolean;
  readonly log: (level: 'info' | 'warn' | 'error', event: string, fields: Readonly<Record<string, string | number | boolean | null>>) => void;
}

export function createApp(_host: ServerHost): Hono {
  return new Hono();
}
