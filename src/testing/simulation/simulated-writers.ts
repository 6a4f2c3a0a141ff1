import { limits } from '../../core/limits.ts';
import { tool, type AgentTool, type ToolOptions } from '../../agent/tool.ts';
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
        const ms = work.ms ?? 0;
        if (ms % 4 === 1) await odd(state, key, (ms >> 2) % 8);
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
      options.node.enter(['start', 'middle', 'side', 'start', 'middle', 'nowhere'][work.n] ?? 'start', work.n % 2 === 0 ? {} : { reason: `number ${work.n}` });
      return output;
    },
  });
}

/** What state does not take, and what it takes of a call that reads what it has written. */
async function odd(state: ToolOptions['state'], key: string, n: number): Promise<unknown> {
  switch (n) {
    case 0:
      return state.set('actor', '', n);
    case 1:
      return state.increment('conversation', key, Number.MAX_VALUE * 2);
    case 2:
      return state.set('conversation', key, n, { ttlMs: -1 });
    case 3:
      return state.set('conversation', 'key-\uD800', n);
    case 4:
      await state.set('conversation', key, 'a text');
      return state.increment('conversation', key);
    case 5:
      return state.set('conversation', key, n, { ifVersion: 99_999 });
    case 6:
      await state.set('conversation', key, n, { ifVersion: (await state.get('conversation', key))?.version ?? 0 });
      return state.set('conversation', key, n, { ifVersion: 0 });
    default:
      await state.set('conversation', 'own', n);
      await state.delete('conversation', key);
      await state.get('conversation', key);
      return state.list('conversation', { limit: 1, cursor: (await state.list('conversation', { limit: 1 })).nextCursor ?? '' });
  }
}
