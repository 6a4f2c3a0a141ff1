import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, tool } from '../../src/index.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { OperationUpdateRequest, OperationUpdateResult, Store } from '../../src/store/store.ts';
import { StoreError } from '../../src/store/store.ts';
import { realSystem } from '../../src/system.ts';
import { temporaryDatabase } from '../support/open-holdfast.ts';
import { calling, ofKind, runTurn } from '../support/run-turn.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';

const nothing = z.object({});

async function storeWith(overrides: StoreOverrides): Promise<Store> {
  return wrappedStore(await sqliteStore({ path: await temporaryDatabase(), system: realSystem() }), overrides);
}

describe('a call', () => {
  it('that was approved with the input null runs with null, not with what the model wrote', async () => {
    const runs: unknown[] = [];
    const wipe = tool({ inputSchema: z.object({ folder: z.string() }).nullable(), needsApproval: true, execute: (input) => { runs.push(input); return 'ok'; } });
    const { session, turn, result } = await runTurn({ tools: { wipe }, script: [calling(['wipe', { folder: '/' }]), 'done'] });
    await session.approve(result.actions[0]?.id ?? '', { input: null });
    await turn.result;
    expect(runs).toEqual([null]);
  });

  it('that ran has its outcome although the whole of its result could not be kept', async () => {
    const store = await storeWith({ storeWholeResult: () => Promise.reject(new StoreError('store_unavailable', 'disk full')) });
    const read = tool({ inputSchema: nothing, maxResultBytes: 1_000, execute: () => 'x'.repeat(5_000) });
    const { entries } = await runTurn({ store, tools: { read }, script: [calling(['read']), 'done'] });
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'done', wholeBytes: 5_000 }]);
  });

  it('ends as failed where the agent\'s context is never made', async () => {
    const look = tool({ inputSchema: nothing, execute: () => 'seen' });
    const { entries, result } = await runTurn({ tools: { look }, agent: { context: () => new Promise<never>(() => undefined), limits: { toolTimeoutMs: 50 } }, script: [calling(['look']), 'done'] });
    expect(result.reason).toBe('complete');
    expect(ofKind(entries, 'tool-results')[0]?.results).toMatchObject([{ outcome: 'failed', code: 'context_failed' }]);
  });

  it('tells no secret of a context that could not be made', async () => {
    const look = tool({ inputSchema: nothing, execute: () => 'seen' });
    const { entries } = await runTurn({ tools: { look }, agent: { context: () => { throw new Error('refused: Bearer abcdefgh12345678'); } }, script: [calling(['look']), 'done'] });
    expect(ofKind(entries, 'tool-results')[0]?.results[0]?.errorText).toContain('[redacted]');
  });
});

describe('an operation', () => {
  it('ends where the agent\'s context is never made', async () => {
    let made = 0;
    const index = tool({ inputSchema: nothing, background: 'await', timeoutMs: 50, execute: () => 'indexed' });
    const context = () => { made += 1; return made === 1 ? {} : new Promise<never>(() => undefined); };
    const { result, session } = await runTurn({ tools: { index }, agent: { context }, script: [calling(['index']), 'done'] });
    expect(result.reason).toBe('complete');
    expect((await session.operations()).items).toMatchObject([{ status: 'failed', result: { code: 'context_failed' } }]);
  });

  it('whose claim was committed and came back as an error runs, once', async () => {
    let runs = 0;
    let failed = false;
    const store = await storeWith({
      updateOperation: (async (inner: Store, request: OperationUpdateRequest<unknown>) => {
        const result: OperationUpdateResult<unknown> = await inner.updateOperation(request);
        if (failed || result.kind !== 'committed' || result.operation.worker === null) return result;
        failed = true;
        throw new StoreError('store_unavailable', 'the answer was lost');
      }) as never,
    });
    const index = tool({ inputSchema: nothing, background: 'await', execute: () => { runs += 1; return 'indexed'; } });
    const { result, session } = await runTurn({ store, tools: { index }, script: [calling(['index']), 'done'], worker: { pollMs: 50 } });
    expect(result.reason).toBe('complete');
    expect((await session.operations()).items).toMatchObject([{ status: 'succeeded' }]);
    expect(runs).toBe(1);
  });
});

describe('an agent with nobody to ask', () => {
  it('asks nobody what to do with a call that may have run either', () => {
    const wire = tool({ inputSchema: nothing, recovery: 'ask', execute: () => 'sent' });
    expect(agent({ name: 'alone', model: { specificationVersion: 'v4', doStream: () => undefined } as never, tools: { wire }, headless: { allow: [] } }).rules.tools.get('wire')?.recovery).toBe('report');
  });
});
