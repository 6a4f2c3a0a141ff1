import { describe, expect, it } from 'vitest';
import type { Child } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { watch, type AskedSession, type Watcher } from '../support/paused-sessions.ts';
import { ofKind } from '../support/run-turn.ts';

const approvals = 200;
const delegated = 200;
const longRunning = 50;

interface Workers {
  /** Has the turns, and runs no operation. */
  readonly turns: Child;
  /** Runs operations, and no turn. */
  readonly operations: Child;
}

/** So long that no heartbeat comes and mends what a commit has left wrong. */
const leaseMs = 120_000;

async function start(watcher: Watcher): Promise<Workers> {
  const workers = { turns: watcher.worker({ leaseMs, operationsMax: 0 }), operations: watcher.worker({ leaseMs, runsMax: 0, holds: true }) };
  await Promise.all([workers.turns.hears('ready'), workers.operations.hears('ready')]);
  return workers;
}

function times(count: number, ask: () => Promise<AskedSession>): Promise<readonly AskedSession[]> {
  return Promise.all(Array.from({ length: count }, ask));
}

async function waits(asked: readonly AskedSession[], status: string): Promise<void> {
  for (const { session } of asked) await eventually(`a session that is ${status}`, async () => (await session.get()).status === status);
}

async function expectNoClaim({ holdfast }: Watcher, { turns }: Workers, asked: readonly AskedSession[]): Promise<void> {
  for (const { session } of asked) expect((await holdfast.store.readSession({ tenant: 'default', id: session.id }))?.claim).toBe(null);
  const told = await eventually('the worker to have no run', () => {
    turns.tell({ event: 'who' });
    return turns.said.findLast(({ event, runs }) => event === 'worker' && runs === 0);
  });
  expect(told).toMatchObject({ ready: true });
}

describe('450 sessions that wait', () => {
  it('hold no worker, outlive the death of every process, and go on when they are answered, each once', { timeout: 60_000 }, async () => {
    const watcher = await watch();
    const before = await start(watcher);
    const approved = await times(approvals, () => watcher.ask(['refund']));
    const completed = await times(delegated, () => watcher.ask(['delegate']));
    const indexed = await times(longRunning, () => watcher.ask(['rerun', { hold: 'end' }]));
    const all = [...approved, ...completed, ...indexed];
    await waits(approved, 'requires_action');
    await waits([...completed, ...indexed], 'waiting');
    await eventually('all of them to be handed on, or to run', () => watcher.journal().length === delegated + longRunning);
    await expectNoClaim(watcher, before, all);
    for (const { operation } of completed) await eventually('nobody to run it', async () => (await operation()).external);
    const completions = before.operations.said.filter(({ event }) => event === 'delegated');
    expect(completions).toHaveLength(delegated);

    await Promise.all([before.turns.signal('SIGKILL'), before.operations.signal('SIGKILL')]);
    // Half of the answers come while nobody works.
    const approve = async ({ session }: AskedSession): Promise<void> => { await session.approve((await session.actions())[0]?.id ?? ''); };
    const complete = async ({ operationId, token }: (typeof completions)[number]): Promise<void> => {
      const completion = { token: String(token), output: `made ${String(operationId)}` };
      const replies = await Promise.all([watcher.holdfast.operations.complete(String(operationId), completion), watcher.holdfast.operations.complete(String(operationId), completion)]);
      expect(replies.map(({ status }) => status)).toEqual(['succeeded', 'succeeded']);
    };
    await Promise.all(approved.slice(0, approvals / 2).map(approve));
    await Promise.all(completions.slice(0, delegated / 2).map(complete));
    const after = await start(watcher);
    await eventually('what may run again to run again', () => watcher.journal().filter(({ phase, tool }) => phase === 'begin' && tool === 'rerun').length === 2 * longRunning);
    await expectNoClaim(watcher, after, indexed);
    await Promise.all(approved.slice(approvals / 2).map(approve));
    await Promise.all(completions.slice(delegated / 2).map(complete));
    after.operations.tell({ event: 'release', name: 'end' });

    for (const { session, turn } of all) {
      expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
      const entries = await session.entries();
      expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'done' }] }]);
      expect(ofKind(entries, 'turn-ended')).toHaveLength(1);
      expect(ofKind(entries, 'operation-ended').length + ofKind(entries, 'action-resolved').length).toBe(1);
    }
    const runs = new Map<string, number>();
    for (const { phase, tool, callKey } of watcher.journal()) if (phase === 'begin') runs.set(`${tool} ${callKey}`, (runs.get(`${tool} ${callKey}`) ?? 0) + 1);
    const counts = (tool: string): readonly number[] => [...runs].filter(([key]) => key.startsWith(`${tool} `)).map(([, count]) => count);
    expect(counts('refund')).toEqual(approved.map(() => 1));
    expect(counts('delegate')).toEqual(completed.map(() => 1));
    expect(counts('rerun')).toEqual(indexed.map(() => 2));
  });
});
