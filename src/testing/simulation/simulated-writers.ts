import { limits } from '../../core/limits.ts';
import { tool, type AgentTool } from '../../agent/tool.ts';
import { act, workSchema, type ToolSurroundings } from './simulated-tools.ts';

/** Tools that write state: set, counted up, on a condition, deleted; what they write lands with their result or not at all. */
export function writingTools(around: ToolSurroundings): Readonly<Record<string, AgentTool>> {
  return {
    remember: tool({
      inputSchema: workSchema, recovery: 'rerun',
      execute: async (work, options) => {
        const { state } = options;
        const key = `key-${work.n % 4}`;
        if (work.n % 2 === 0) await state.set('conversation', key, { from: options.callKey }, work.n === 4 ? { ttlMs: 5_000 } : {});
        else await state.increment('actor', 'count');
        return act(around, work, options);
      },
    }),
    update: tool({
      inputSchema: workSchema, recovery: 'rerun-keyed',
      execute: async (work, options) => {
        const { state } = options;
        const key = `key-${work.n % 4}`;
        // More than there may be, than fits, and what is no value.
        if (work.pages === 3) for (let count = 0; count <= limits.stateWritesPerCallMax; count += 1) await state.increment('conversation', key);
        if (work.pages === 2) await state.set('actor', key, work.n < 3 ? () => key : 'x'.repeat(limits.stateValueBytesMax + 1));
        const before = await state.get('conversation', key);
        const output = await act(around, work, options);
        if (work.n === 5) await state.delete('conversation', key);
        else await state.set('conversation', key, work.n, { ifVersion: before?.version ?? 0 });
        await state.increment('agent', 'updates', 2);
        return output;
      },
    }),
    recall: tool({ inputSchema: workSchema, recovery: 'rerun', execute: async (_work, { state }) => ({ ...(await state.snapshot()), listed: (await state.list('actor')).items.length }) }),
  };
}

/** A tool that takes a transition between nodes. */
export function wanderingTool(around: ToolSurroundings): AgentTool {
  return tool({
    inputSchema: workSchema, recovery: 'rerun',
    execute: async (work, options) => {
      const output = await act(around, work, options);
      options.node.enter(['start', 'middle', 'side'][work.n % 3] ?? 'start', { reason: `number ${work.n}` });
      return output;
    },
  });
}
