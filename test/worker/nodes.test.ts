import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import type { AgentTool } from '../../src/agent/tool.ts';
import { claim } from '../../src/core/claim.ts';
import { isRefusal, RefusedError } from '../../src/core/errors.ts';
import { tool, type ToolOptions } from '../../src/index.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedCall, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { calling, ofKind, runTurn, toolOutputs } from '../support/run-turn.ts';

const nothing = z.object({});

function nodeTool(execute: (options: ToolOptions) => unknown, rest: Partial<AgentTool> = {}) {
  return tool({ inputSchema: nothing, recovery: 'report', execute: (_input, options) => execute(options), ...(rest as object) });
}

const house = {
  firstNode: 'hall',
  nodes: {
    hall: { instructions: 'You are in the hall.', transitions: { desk: 'when money is spoken of', exit: '' } },
    desk: { instructions: ({ session }) => `You are at the ${session.node}.`, tools: ['pay'], transitions: ['hall'] },
    exit: { end: true },
  },
} satisfies Partial<AgentOptions>;

function run(script: readonly ScriptedGeneration[], tools: Readonly<Record<string, AgentTool>> = { pay: nodeTool(() => 'paid'), look: nodeTool(() => 'seen') }, rest: Partial<AgentOptions> = {}) {
  return runTurn({ script, tools, agent: { instructions: 'Be brief.', ...house, ...rest } });
}

function told({ prompt, options }: ScriptedCall) {
  return { instructions: prompt[0]?.role === 'system' ? prompt[0].content : null, tools: options.tools?.map(({ name }) => name) };
}

describe('in a node', () => {
  it('the model is told its instructions after the agent\'s, and has its tools, those of no node, and its transitions', async () => {
    const { model, session, entries, result } = await run([calling(['go_to_desk']), calling(['pay']), 'done']);
    expect(model.calls.map(told)).toEqual([
      { instructions: 'Be brief.\n\nYou are in the hall.', tools: ['look', 'go_to_desk', 'go_to_exit'] },
      { instructions: 'Be brief.\n\nYou are at the desk.', tools: ['pay', 'look', 'go_to_hall'] },
      { instructions: 'Be brief.\n\nYou are at the desk.', tools: ['pay', 'look', 'go_to_hall'] },
    ]);
    expect(model.calls[0]?.options.tools?.slice(1)).toMatchObject([{ description: 'Goes on with the conversation in "desk": when money is spoken of' }, { description: 'Goes on with the conversation in "exit".' }]);
    expect([result.reason, (await session.get()).node]).toEqual(['complete', 'desk']);
    expect(toolOutputs(model, 1)).toEqual([{ type: 'json', value: { node: 'desk' } }]);
    const hashes = ofKind(entries, 'assistant-step').map(({ attempt }) => attempt.instructionsHash);
    expect(new Set(hashes).size).toBe(2);
  });

  it('without instructions the agent\'s own are all it is told, and without both nothing', async () => {
    const plain = { firstNode: 'one', nodes: { one: {} } };
    expect(told((await run(['done'], {}, plain)).model.calls[0] as ScriptedCall).instructions).toBe('Be brief.');
    expect((await run(['done'], {}, { ...plain, instructions: '' })).model.calls[0]?.prompt.map(({ role }) => role)).toEqual(['user']);
  });

  it('a call of what is not active there ends with an error, and does not run', async () => {
    let ran = 0;
    const { model, session } = await run([calling(['pay'], ['go_to_hall']), 'done'], { pay: nodeTool(() => { ran += 1; }) });
    expect(toolOutputs(model, 1)).toMatchObject([{ type: 'error-text', value: 'there is no tool pay; the tools are go_to_desk, go_to_exit' }, { type: 'error-text', value: expect.stringContaining('there is no tool go_to_hall') as string }]);
    expect([ran, (await session.get()).node]).toEqual([0, 'hall']);
  });

  it('a call that was made before the conversation was moved from outside runs to its end all the same', async () => {
    const held = gate();
    const model = scriptedModel([calling(['pay'], ['go_to_exit']), 'done']);
    const holdfast = await openHoldfast({ agents: [agent({ name: 'tester', model, tools: { pay: nodeTool(() => held.pass().then(() => 'paid')) }, ...house, firstNode: 'desk', nodes: { ...house.nodes, desk: { tools: ['pay'], transitions: ['hall', 'exit'] } } })] });
    const session = await holdfast.sessions.create({ agent: 'tester' });
    const turn = await session.send('go');
    await held.reached;
    expect(await session.enterNode('hall')).toMatchObject({ from: 'desk', turnId: null, status: 'running' });
    held.open();
    expect((await turn.result).status).toBe('ended');
    expect(toolOutputs(model, 1)).toMatchObject([{ type: 'text', value: 'paid' }, { type: 'error-text', value: expect.stringContaining('gone to hall') as string }]);
    expect([(await session.get()).node, (await session.get()).status]).toEqual(['hall', 'idle']);
  });

  it('the generation that runs keeps what it began with, and the next one has the new node', async () => {
    const held = gate();
    const model = scriptedModel([[{ gate: held }, { call: 'look' }, { call: 'go_to_exit' }], 'done']);
    const holdfast = await openHoldfast({ agents: [agent({ name: 'tester', model, tools: { pay: nodeTool(() => 'paid'), look: nodeTool(() => 'seen') }, ...house })] });
    const session = await holdfast.sessions.create({ agent: 'tester' });
    const turn = await session.send('go');
    await held.reached;
    await session.enterNode('desk', { reason: 'a click' });
    held.open();
    await turn.result;
    expect(model.calls.map((call) => told(call).tools)).toEqual([['look', 'go_to_desk', 'go_to_exit'], ['pay', 'look', 'go_to_hall']]);
    expect(toolOutputs(model, 1)).toMatchObject([{ value: 'seen' }, { type: 'error-text' }]);
    expect(ofKind(await session.entries(), 'node-entered').map(({ node, by, reason }) => [node, by, reason])).toEqual([['hall', 'start', undefined], ['desk', 'api', 'a click']]);
  });

  it('nobody is asked about a transition, whatever the agent\'s rules of approval say', async () => {
    const { result, session } = await run([calling(['go_to_desk']), 'done'], {}, { toolApproval: () => 'user-approval', nodes: { ...house.nodes, desk: {} } });
    expect([result.status, (await session.get()).node]).toEqual(['ended', 'desk']);
  });

  it('a client brings no tool of the name of a transition', async () => {
    const { session } = await run(['done']);
    await expect(session.send({ text: 'x', clientTools: [{ name: 'go_to_hall', inputSchema: {} }] })).rejects.toMatchObject({ code: 'client_tool_taken' });
  });
});

describe('a tool that takes a transition', () => {
  it('lands it with its result, and knows where the conversation is', async () => {
    const seen: unknown[] = [];
    const move = nodeTool(({ node }) => {
      seen.push(node.name);
      node.enter('exit');
      node.enter('desk', { reason: 'r'.repeat(600) });
      return 'moved';
    });
    const { session, entries } = await run([calling(['move']), 'done'], { move, pay: nodeTool(() => 'paid') });
    const [results] = ofKind(entries, 'tool-results');
    expect(ofKind(entries, 'node-entered')[1]).toMatchObject({ node: 'desk', from: 'hall', by: 'tool', turnId: results?.turnId, callKey: `${session.id}/${results?.stepSeq}/0`, reason: 'r'.repeat(500), atMs: results?.atMs });
    expect([seen, (await session.get()).node, results?.results[0]]).toMatchObject([['hall'], 'desk', { outcome: 'done', output: 'moved' }]);
    expect(results?.results[0]).not.toHaveProperty('nodeMove');
  });

  it('takes none when it throws, or goes back to where it is', async () => {
    const fails = nodeTool(({ node }) => {
      node.enter('desk');
      throw new Error('no');
    });
    const stays = nodeTool(({ node }) => {
      node.enter('desk');
      node.enter('hall');
    });
    const { entries } = await run([calling(['fails'], ['stays']), 'done'], { fails, stays, pay: nodeTool(() => 'paid') });
    expect(ofKind(entries, 'node-entered').length).toBe(1);
  });

  it('is told why it cannot', async () => {
    const codes: unknown[] = [];
    const tries = (...nodes: readonly string[]) => (options: ToolOptions): void => {
      for (const node of nodes) {
        try {
          options.node.enter(node);
          codes.push('entered');
        } catch (error) {
          codes.push(error instanceof RefusedError ? error.code : error);
        }
      }
    };
    let late: ToolOptions | null = null;
    const move = nodeTool((options) => {
      late = options;
      tries('nowhere', 'hall', 'exit')(options);
    });
    const { entries } = await run([calling(['move'], ['slow']), 'done'], { move, slow: nodeTool(tries('exit'), { background: 'await' }), pay: nodeTool(() => 'paid') });
    expect(late).not.toBe(null);
    tries('exit')(late as unknown as ToolOptions);
    expect(codes.filter((code) => code !== 'invalid_request')).toEqual(['node_unknown', 'entered', 'entered']);
    expect(codes.length).toBe(5);
    expect(ofKind(entries, 'node-entered').at(-1)?.node).toBe('exit');
    const none = await runTurn({ script: [calling(['move']), 'done'], tools: { move: nodeTool((options) => { codes.push(options.node.name); tries('hall')(options); }) } });
    expect(codes.slice(-2)).toEqual([null, 'nodes_not_used']);
    expect((await none.session.get()).node).toBe(null);
  });

  it('moves nothing when its worker is taken for dead between the tool and the commit, and once when its outcome was stored', async () => {
    for (const isStored of [false, true]) {
      const endless = gate();
      const ran = gate();
      const move = nodeTool(async ({ node }) => {
        node.enter('desk');
        if (!isStored) await ran.pass();
        return 'moved';
      });
      const one = agent({ name: 'tester', model: scriptedModel([calling(['move'], ['stuck'])], { otherwise: 'done' }), tools: { move, stuck: nodeTool(() => endless.pass()), pay: nodeTool(() => 'paid') }, ...house });
      const holdfast = await openHoldfast({ agents: [one] });
      const session = await holdfast.sessions.create({ agent: 'tester', message: { text: 'go' } });
      await (isStored ? endless.reached : ran.reached);
      const taken = await eventually('the session to be taken over', async () => {
        const result = await holdfast.store.update({
          key: { tenant: 'default', id: session.id }, reads: { outcomes: true },
          transition: (loaded) => {
            if (isStored && loaded.outcomes.length === 0) return { refused: 'not_claimable', message: 'not yet' };
            return claim({ worker: 'wrk_other', solo: true, isDead: () => true }, one.rules, { nowMs: holdfast.store.nowMs(), mintId: (prefix) => `${prefix}_of_another` })(loaded);
          },
        });
        return result.kind === 'committed' ? result : undefined;
      });
      expect(isRefusal(taken.reply)).toBe(false);
      endless.open();
      ran.open();
      await session.stop();
      const entries = await session.entries();
      expect(ofKind(entries, 'tool-results')[0]?.results.map(({ outcome }) => outcome)).toEqual([isStored ? 'done' : 'unknown', 'unknown']);
      expect(ofKind(entries, 'node-entered').map(({ node }) => node)).toEqual(isStored ? ['hall', 'desk'] : ['hall']);
      expect((await session.get()).node).toBe(isStored ? 'desk' : 'hall');
    }
  });
});

describe('an agent with nodes', () => {
  const make = (options: Partial<AgentOptions>) => () => agent({ name: 'tester', model: scriptedModel([]), tools: { pay: nodeTool(() => 'paid') }, ...options });
  const broken: readonly (readonly [why: string, options: Partial<AgentOptions>, says: string])[] = [
    ['has no first node', { nodes: { a: {} } }, 'has no first node'],
    ['has a first node that is none', { nodes: { a: {} }, firstNode: 'toString' }, 'has no first node'],
    ['has a first node and no nodes', { firstNode: 'a' }, 'no nodes'],
    ['has an empty list of nodes', { nodes: {}, firstNode: 'a' }, '1 to 64'],
    ['leads to an unknown node', { nodes: { a: { transitions: ['b'] } }, firstNode: 'a' }, 'leads to b'],
    ['leads to itself', { nodes: { a: { transitions: { a: 'always' } } }, firstNode: 'a' }, 'leads to itself'],
    ['names an unknown tool', { nodes: { a: { tools: ['steal'] } }, firstNode: 'a' }, 'a tool steal'],
    ['leads on from an end', { nodes: { a: {}, b: { end: true, transitions: ['a'] } }, firstNode: 'a' }, 'ends the session and leads to a'],
    ['begins in an end', { nodes: { a: { end: true } }, firstNode: 'a' }, 'begins in the end node a'],
    ['has a name that no tool may have', { nodes: { 'a b': {} }, firstNode: 'a b' }, 'letters, digits'],
    ['has an empty greeting', { nodes: { a: { greeting: '' } }, firstNode: 'a' }, 'empty greeting'],
    ['has both greetings', { nodes: { a: { greeting: 'hi', greet: true } }, firstNode: 'a' }, 'both greeting and greet'],
    ['has a tool of the name of a transition', { nodes: { a: {} }, firstNode: 'a', tools: { go_to_a: nodeTool(() => 1) } }, 'a tool of that name'],
  ];

  it.each(broken)('that %s is refused as it is declared', (_why, options, says) => {
    expect(make(options)).toThrow(expect.objectContaining({ code: 'agent_invalid', message: expect.stringContaining(says) as string }));
  });

  it('may name a tool of an MCP server, whatever tools that has', () => {
    const { nodes } = make({ nodes: { a: { tools: ['files__read'] } }, firstNode: 'a', mcp: { files: { transport: { type: 'http', url: 'http://127.0.0.1:9' } } } })();
    expect(nodes?.named).toEqual(new Set(['files__read']));
  });
});
