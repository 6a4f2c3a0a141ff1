import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { examineStore } from '../../src/cli/examine-store.ts';
import { tool } from '../../src/index.ts';
import { openDatabase, type Database } from '../../src/store/sqlite/open-database.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { closeHoldfast, openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { calling } from '../support/run-turn.ts';

const silent = { onSessions: () => undefined, onSession: () => undefined };

/** Lets a turn come to its pause, and its process end in order; finds nothing wrong; then changes the store by hand. */
async function expectFindings(step: ScriptedGeneration, change: (database: Database) => void, codes: readonly string[], message: string): Promise<void> {
  const path = await temporaryDatabase();
  const system = fakeSystem();
  const run = { inputSchema: z.object({}), recovery: 'rerun' as const };
  const tools = { refund: tool({ ...run, needsApproval: true, execute: () => 'ok' }), index: tool({ ...run, background: 'detach', execute: () => new Promise(() => undefined) }) };
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([step, 'done']), tools })], store: `sqlite:${path}`, system });
  const session = await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
  await system.runUntil(async () => ['requires_action', 'idle'].includes((await session.get()).status));
  await closeHoldfast(holdfast, system);
  expect((await examineStore(`sqlite:${path}`, silent)).findings).toEqual([]);
  const database = await openDatabase(path);
  change(database);
  database.close();
  const { findings } = await examineStore(`sqlite:${path}`, silent);
  expect([...new Set(findings.map(({ code }) => code))].sort()).toEqual(codes);
  expect(findings.map((finding) => finding.message).join('\n')).toContain(message);
}

const setInBody = (table: string, field: string, value: unknown) => (database: Database): void => {
  database.prepare(`UPDATE ${table} SET body = json_set(body, ?, json(?))`).run(`$.${field}`, JSON.stringify(value));
};

describe('the doctor', () => {
  it.each<[string, readonly string[], string, (database: Database) => void]>([
    ['an open action whose call is answered', ['action_without_call', 'projection_mismatch', 'row_mismatch', 'stuck'], 'action act_3_0 waits', (database) => setInBody('session', 'turn.lastStep.openCalls[0].index', 5)(database)],
    ['an open action that another step asked for', ['action_without_call', 'projection_mismatch'], 'action act_9_0 waits', (database) => setInBody('session', 'turn.actions[0].id', 'act_9_0')(database)],
    ['an action that its row does not know of', ['projection_mismatch', 'row_mismatch', 'stuck'], 'actions', (database) => setInBody('session', 'turn.actions', [])(database)],
    ['a call that has ended with an outcome that is nowhere', ['action_without_call', 'outcome_missing', 'row_mismatch', 'stuck'], 'its outcome is nowhere', (database) => setInBody('session', 'turn.lastStep.openCalls[0].ended', true)(database)],
    ['a call whose operation has ended and left nothing', ['projection_mismatch', 'stuck'], 'operation op_gone, which has ended', (database) => setInBody('session', 'turn.lastStep.openCalls[0].operationId', 'op_gone')(database)],
  ])('finds, of a turn that needs an action, %s', async (_what, codes, message, change) => {
    await expectFindings(calling(['refund']), change, codes, message);
  });

  it.each<[string, readonly string[], string, (database: Database) => void]>([
    ['an operation that its session names and that is gone', ['operation_mismatch'], 'which does not live', (database) => database.exec('DELETE FROM operation')],
    ['an operation that lives and that its session does not name', ['operation_mismatch', 'projection_mismatch'], 'its session does not name it', (database) => setInBody('session', 'operations', [])(database)],
    ['an operation whose columns its body contradicts', ['row_mismatch'], 'column live_key of operation', (database) => database.exec("UPDATE operation SET live_key = 'x'")],
    ['an operation of a session that is gone', ['stray_rows'], 'rows of table operation', (database) => database.exec('DELETE FROM session; DELETE FROM entry; DELETE FROM idempotency')],
  ])('finds, of a session with an operation, %s', async (_what, codes, message, change) => {
    await expectFindings(calling(['index']), change, codes, message);
  });
});
