import { describe, expect, it } from 'vitest';
import { mcpLimits } from '../../src/mcp/mcp-limits.ts';
import { mcpResult, modelOutput } from '../../src/mcp/mcp-result.ts';
import type { McpServerOptions } from '../../src/mcp/mcp-server-options.ts';
import { mcpTools, type ListedTool } from '../../src/mcp/mcp-tools.ts';

const transport: McpServerOptions['transport'] = { type: 'stdio', command: 'server' };
const listed = (...names: readonly string[]): ListedTool[] => names.map((name) => ({ name, inputSchema: {} }));
const take = (tools: readonly ListedTool[], options: Omit<McpServerOptions, 'transport'> = {}) => mcpTools('git-hub', { transport, ...options }, tools, () => Promise.resolve(null));

describe('the name of a tool', () => {
  it('is that of its server and its own, in characters that providers take', () => {
    expect([...take(listed('get.issue', 'über/alles', 'list_repos')).tools.keys()]).toEqual(['git-hub__get_issue', 'git-hub___ber_alles', 'git-hub__list_repos']);
  });

  it('has 64 characters at most', () => {
    const [name] = take(listed('x'.repeat(100))).tools.keys();
    expect(name).toBe(`git-hub__${'x'.repeat(55)}`);
  });

  it('is nobody\'s when two would have it, whatever their order', () => {
    for (const names of [['a.b', 'a/b', 'c'], ['a/b', 'a.b', 'c'], [`${'y'.repeat(60)}1`, 'c', `${'y'.repeat(60)}2`]]) {
      const { tools, problems } = take(listed(...names));
      expect([...tools.keys()]).toEqual(['git-hub__c']);
      expect([...problems.keys()]).toEqual(names.filter((name) => name !== 'c'));
    }
  });

  it('may be listed twice by the server, and is one tool then', () => {
    const { tools, problems } = take(listed('a', 'a'));
    expect([...tools.keys()]).toEqual(['git-hub__a']);
    expect(problems.size).toBe(0);
  });
});

describe('a tool', () => {
  it('has the policies that were declared for its server', () => {
    const { tools } = take(listed('a'), { recovery: 'rerun-keyed', timeoutMs: 5_000, maxResultBytes: 4_000 });
    expect(tools.get('git-hub__a')).toMatchObject({ recovery: 'rerun-keyed', timeoutMs: 5_000, maxResultBytes: 4_000, needsApproval: false, mcpServer: 'git-hub' });
    expect(take(listed('a')).tools.get('git-hub__a')).not.toHaveProperty('timeoutMs');
  });

  it('asks for approval by the server\'s own name', async () => {
    const needs = (needsApproval: NonNullable<McpServerOptions['needsApproval']>): unknown => take(listed('a.b'), { needsApproval }).tools.get('git-hub__a_b')?.needsApproval;
    expect(needs(true)).toBe(true);
    expect(needs(['a.b'])).toBe(true);
    expect(needs(['b'])).toBe(false);
    const asked: unknown[] = [];
    const decides = needs((call) => asked.push(call) > 0) as (input: unknown) => unknown;
    expect(await decides({ n: 1 })).toBe(true);
    expect(asked).toEqual([{ toolName: 'a.b', input: { n: 1 } }]);
  });

  it('is left out when it is not on the list of those to take', () => {
    expect([...take(listed('a', 'b', 'c'), { tools: ['a', 'c'] }).tools.keys()]).toEqual(['git-hub__a', 'git-hub__c']);
  });

  it('that the options name and the server lacks is told: it may be a misspelt approval', () => {
    const { problems } = take(listed('delete'), { tools: ['delete', 'list'], needsApproval: ['delet'] });
    expect([...problems.keys()]).toEqual(['list', 'delet']);
  });

  it('is left out when its definition is too large', () => {
    const { tools, problems } = take([{ name: 'big', description: 'x'.repeat(mcpLimits.definitionCharsMax), inputSchema: {} }, ...listed('a')]);
    expect([...tools.keys()]).toEqual(['git-hub__a']);
    expect(problems.get('big')).toContain('characters');
  });

  it('has a schema of an object with properties, which some providers insist on', () => {
    expect(take(listed('a')).tools.get('git-hub__a')?.inputSchema).toMatchObject({ jsonSchema: { type: 'object', properties: {} } });
  });
});

describe('a result', () => {
  const image = { type: 'image', mimeType: 'image/png', data: 'A'.repeat(400) };

  it('is the text where there is only text, and the structured content where there is some', () => {
    expect(mcpResult({ content: [{ type: 'text', text: 'one' }, { type: 'text', text: 'two' }] }, 1_000)).toBe('one\ntwo');
    expect(mcpResult({ content: [] }, 1_000)).toBe('');
    expect(mcpResult({ content: [{ type: 'text', text: '{"a":1}' }], structuredContent: { a: 1 } }, 1_000)).toEqual({ a: 1 });
    expect(mcpResult({ toolResult: [1] }, 1_000)).toEqual([1]);
  });

  it('throws where the server says that the call failed', () => {
    expect(() => mcpResult({ isError: true, content: [{ type: 'text', text: 'no such file' }] }, 1_000)).toThrow(expect.objectContaining({ code: 'mcp_tool_failed', message: 'no such file' }));
    expect(() => mcpResult({ isError: true, content: [] }, 1_000)).toThrow('did not say why');
  });

  it('describes bytes that are more than it may hold, of whose beginning and end a model could make nothing', () => {
    const resource = { type: 'resource', resource: { uri: 'file:///a', blob: 'A'.repeat(400) } };
    expect(mcpResult({ content: [image, resource] }, 399)).toEqual([
      { type: 'image', mimeType: 'image/png', note: '300 bytes, left out: a result may have 399' },
      { type: 'resource', resource: { uri: 'file:///a', note: '300 bytes, left out: a result may have 399' } },
    ]);
    expect(mcpResult({ content: [image, resource] }, 400)).toEqual([image, resource]);
  });

  it('is shown to a model as it is, unless there are images or sound in it', () => {
    expect(modelOutput('text')).toBeUndefined();
    expect(modelOutput({ a: 1 })).toBeUndefined();
    expect(modelOutput([{ type: 'resource_link', uri: 'file:///a' }])).toBeUndefined();
    expect(modelOutput([{ type: 'text', text: 'see' }, image, { type: 'audio', mimeType: 'audio/wav', data: 'BBBB' }, { type: 'resource_link', uri: 'file:///a' }])).toEqual({
      type: 'content',
      value: [
        { type: 'text', text: 'see' },
        { type: 'file', mediaType: 'image/png', data: { type: 'data', data: image.data } },
        { type: 'file', mediaType: 'audio/wav', data: { type: 'data', data: 'BBBB' } },
        { type: 'text', text: '{"type":"resource_link","uri":"file:///a"}' },
      ],
    });
  });
});
