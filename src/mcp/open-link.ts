import { HttpLink } from './http-link.ts';
import type { LinkHost, McpLink } from './mcp-link.ts';
import type { McpTransportOptions } from './mcp-server-options.ts';
import { openStdioLink } from './stdio-link.ts';

/** Opens the link that the options ask for. Nothing is sent or started yet. */
export async function openLink(options: McpTransportOptions, host: LinkHost): Promise<McpLink> {
  return options.type === 'http' ? new HttpLink(options, host) : openStdioLink(options, host);
}
