import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tool } from '../../src/index.ts';
import { gate } from '../../src/testing/gate.ts';
import { calling, ofKind, startTurn } from '../support/run-turn.ts';
import { stores } from '../support/stores.ts';

describe.each(stores)('a call beyond the parallel limit ($name)', (kind) => {
  it('begins when another has ended, while the rest still run', async () => {
    const long = gate();
    const last = gate();
    const inputSchema = z.object({});
    const tools = {
      long: tool({ inputSchema, execute: () => long.pass() }),
      short: tool({ inputSchema, execute: () => 'done' }),
      // Of a tool that is not `rerun`: a commit names it first.
      last: tool({ inputSchema, recovery: 'report', execute: () => last.pass() }),
    };
    const { session, turn } = await startTurn({ store: await kind.newUrl(), tools, agent: { limits: { parallelCalls: 2 } }, script: [calling(['long', {}], ['short', {}], ['last', {}]), 'done'] });
    await long.reached;
    await last.reached;
    last.open();
    long.open();
    expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(ofKind(await session.entries(), 'tool-results')).toHaveLength(1);
  });
});
