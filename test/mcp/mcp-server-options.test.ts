import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { checkMcpServer, type McpServerOptions } from '../../src/mcp/mcp-server-options.ts';
import { openConnections } from '../support/mcp.ts';

const stdio: McpServerOptions = { transport: { type: 'stdio', command: 'server' } };

describe('what is declared for a server', () => {
  it.each<[what: string, name: string, options: McpServerOptions]>([
    ['a program', 'a', stdio],
    ['a URL with a query', 'git-hub-2', { transport: { type: 'http', url: 'https://example.com/mcp?a=b' } }],
    ['everything', 'x'.repeat(32), { ...stdio, tools: ['a'], connectTimeoutMs: 10_000, timeoutMs: 1, maxResultBytes: 1, recovery: 'ask', needsApproval: ['a'] }],
  ])('is taken: %s', (_what, name, options) => {
    expect(() => checkMcpServer(name, options)).not.toThrow();
  });

  it.each<[what: string, name: string, options: unknown]>([
    ['no name', '', stdio],
    ['a name with an underscore', 'git_hub', stdio],
    ['a name in capitals', 'GitHub', stdio],
    ['a name of 33 characters', 'x'.repeat(33), stdio],
    ['no transport', 'a', {}],
    ['an unknown transport', 'a', { transport: { type: 'sse', url: 'https://example.com' } }],
    ['no command', 'a', { transport: { type: 'stdio', command: '' } }],
    ['what is no URL', 'a', { transport: { type: 'http', url: 'example.com' } }],
    ['a URL of another kind', 'a', { transport: { type: 'http', url: 'file:///etc/passwd' } }],
    ['a connect timeout over the limit', 'a', { ...stdio, connectTimeoutMs: 10_001 }],
    ['a timeout of nothing', 'a', { ...stdio, timeoutMs: 0 }],
    ['a size that is no number', 'a', { ...stdio, maxResultBytes: Number.NaN }],
    ['an unknown recovery', 'a', { ...stdio, recovery: 'again' }],
    ['tools that are no list', 'a', { ...stdio, tools: 'a' }],
    ['an approval that is none', 'a', { ...stdio, needsApproval: 'always' }],
  ])('is refused: %s', (_what, name, options) => {
    expect(() => checkMcpServer(name, options as McpServerOptions)).toThrow(expect.objectContaining({ code: 'mcp_invalid' }));
  });

  it('must not hold credentials in its URL, and the refusal does not repeat them', () => {
    const refused = (): void => checkMcpServer('a', { transport: { type: 'http', url: 'https://user:sk-live-4711@example.com' } });
    expect(refused).toThrow('transport.headers');
    expect(refused).not.toThrow('4711');
  });

  it('is checked at its first use too', async () => {
    const { connections } = openConnections();
    await expect(connections.tools('git_hub', stdio)).rejects.toMatchObject({ code: 'mcp_invalid' });
  });
});

it('who uses no server does not load the client', async () => {
  const room = path.join(import.meta.dirname, '..', '..', 'src', 'mcp');
  const script = `
    import { registerHooks } from 'node:module';
    const asked = [];
    registerHooks({ resolve(specifier, context, next) { asked.push(specifier); return next(specifier, context); } });
    await import(${JSON.stringify(path.join(room, 'mcp-connections.ts'))});
    const before = asked.filter((each) => each.startsWith('@ai-sdk/mcp')).length;
    const { McpConnections } = await import(${JSON.stringify(path.join(room, 'mcp-connections.ts'))});
    const { realSystem } = await import(${JSON.stringify(path.join(room, '..', 'system.ts'))});
    const connections = new McpConnections({ system: realSystem(), log: () => undefined });
    await connections.tools('gone', { transport: { type: 'stdio', command: 'no-such-command-of-anybody' } });
    await connections.close();
    console.log(JSON.stringify([before, asked.filter((each) => each.startsWith('@ai-sdk/mcp')).length > 0]));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  expect(JSON.parse(stdout)).toEqual([0, true]);
});
