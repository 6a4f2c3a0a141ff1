import { expect, test } from 'vitest';
import { z } from 'zod';
import { agent, tool } from '../../src/index.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { OperationUpdateRequest, OperationUpdateResult, Store, UpdateRequest, UpdateResult } from '../../src/store/store.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { calling, ofKind } from '../support/run-turn.ts';
import { wrappedStore } from '../support/wrapped-store.ts';

const leaseMs = 1_000;

/** A process whose first claim of a kind is committed, and hears of it only after its lease is lost. */
async function lateClaim(held: 'session' | 'operation', script: readonly ScriptedGeneration[]) {
  const system = fakeSystem();
  const answer = gate();
  const runs: string[] = [];
  let renews = true;
  let claimed = false;
  const once = async <Result extends { readonly kind: string }>(kind: typeof held, worker: (result: Result) => unknown, write: () => Promise<Result>): Promise<Result> => {
    const result = await write();
    if (kind === held && result.kind === 'committed' && typeof worker(result) === 'string' && !claimed) {
      claimed = true;
      await answer.pass();
    }
    return result;
  };
  const store = wrappedStore(await sqliteStore({ path: await temporaryDatabase(), system }), {
    update: ((inner: Store, request: UpdateRequest<unknown>) => once('session', (result: UpdateResult<unknown>) => result.kind === 'committed' && result.session.claim?.worker, () => inner.update(request))) as never,
    updateOperation: ((inner: Store, request: OperationUpdateRequest<unknown>) =>
      once('operation', (result: OperationUpdateResult<unknown>) => result.kind === 'committed' && result.operation.worker, () => inner.updateOperation(request))) as never,
    renewWorker: (inner, ...renewal) => (renews ? inner.renewWorker(...renewal) : Promise.resolve('lost')),
  });
  const index = tool({ inputSchema: z.object({}), background: 'await', execute: (_input, { callKey }) => { runs.push(callKey); return 'indexed'; } });
  const model = scriptedModel(script);
  const log: string[] = [];
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model, tools: { index } })], store, system, worker: { leaseMs, pollMs: 100 }, log: (_level, event) => log.push(event) });
  const session = await holdfast.sessions.create({ agent: 'one' });
  const sent = session.send('go');
  return {
    system, model, runs, session,
    /** Loses the lease, then lets the process hear of its claim, and lets it go on under its new id. */
    goOn: async (): Promise<void> => {
      await system.runUntil(() => claimed);
      renews = false;
      await system.runUntil(() => log.includes('lease-lost'));
      renews = true;
      answer.open();
      await sent;
      await system.runUntil(async () => (await session.get()).status === 'idle');
    },
  };
}

test('a session whose claim comes back after the lease was lost is not begun on: whoever takes it over generates', async () => {
  const { goOn, model, session } = await lateClaim('session', ['done']);
  await goOn();
  expect(model.calls).toHaveLength(1);
  expect(ofKind(await session.entries(), 'assistant-step')).toMatchObject([{ attempt: { number: 2 } }]);
});

test('an operation whose claim comes back after the lease was lost does not run', async () => {
  const { goOn, runs, session } = await lateClaim('operation', [calling(['index', {}]), 'done']);
  await goOn();
  expect(runs).toEqual([]);
  // A commit has named it as begun, and nobody reported: what came of it is not known.
  expect(ofKind(await session.entries(), 'tool-results')[0]?.results).toMatchObject([{ outcome: 'unknown' }]);
});
