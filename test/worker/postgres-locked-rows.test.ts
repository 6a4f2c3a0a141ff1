import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { agent, tool } from '../../src/index.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { postgresUrlParts } from '../../src/store-url.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { postgresSchemas } from '../support/stores.ts';

const tools = { index: tool({ inputSchema: z.object({}), background: 'await', recovery: 'rerun', execute: () => 'indexed' }) };
const model = () => scriptedModel([], { otherwise: ({ prompt }) => (prompt.at(-1)?.role === 'user' && JSON.stringify(prompt.at(-1)).includes('index') ? [{ call: 'index' }] : 'done') });

function open(store: string, worker: boolean, tuning: { readonly runsMax?: number; readonly operationsMax?: number } = {}): Promise<Holdfast> {
  return openHoldfast({ agents: [agent({ name: 'one', model: model(), tools })], store, worker: worker && { pollMs: 50, ...tuning } });
}

/** Somebody's transaction that has the session's row locked, as one with a message in it has, until it ends. */
async function locked(url: string, id: string): Promise<{ readonly end: () => Promise<void> }> {
  const { connection, schema = '' } = postgresUrlParts(url);
  const client = new pg.Client({ connectionString: connection });
  await client.connect();
  onTestFinished(() => client.end());
  await client.query('BEGIN');
  await client.query(`SELECT 1 FROM ${schema}.session WHERE id = $1 FOR NO KEY UPDATE`, [id]);
  return { end: async () => void await client.query('COMMIT') };
}

describe('a session that somebody\'s transaction keeps locked', () => {
  it('keeps no other from being taken, and is taken itself when the transaction ends', async () => {
    const url = await postgresSchemas.newUrl();
    const sender = await open(url, false);
    const kept = await sender.sessions.create({ agent: 'one', message: { text: 'go' } });
    const transaction = await locked(url, kept.id);
    const others = await Promise.all([1, 2, 3].map(() => sender.sessions.create({ agent: 'one', message: { text: 'go' } })));
    const holdfast = await open(url, true);
    for (const { firstTurn } of others) expect(await firstTurn?.result).toMatchObject({ reason: 'complete' });
    // Again and again it is found, and asked for once.
    const { schema = '', connection } = postgresUrlParts(url);
    const client = new pg.Client({ connectionString: connection });
    await client.connect();
    onTestFinished(() => client.end());
    const more = await others[0]?.send('more');
    expect(await more?.result).toMatchObject({ reason: 'complete' });
    const { rows } = await client.query<{ count: string }>(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%${schema}%'`);
    expect(Number(rows[0]?.count)).toBe(1);
    await transaction.end();
    expect(await kept.firstTurn?.result).toMatchObject({ reason: 'complete' });
    expect(await sender.store.readSession({ tenant: 'default', id: kept.id })).toMatchObject({ crashes: 0, claim: null });
    expect(ofKind(await kept.entries(), 'assistant-step')).toHaveLength(1);
    expect(holdfast.worker?.runs).toBe(0);
  });

  it('keeps no operation of another from being begun', async () => {
    const url = await postgresSchemas.newUrl();
    const turns = await open(url, true, { operationsMax: 0 });
    const kept = await turns.sessions.create({ agent: 'one', message: { text: 'index' } });
    const other = await turns.sessions.create({ agent: 'one', message: { text: 'index' } });
    for (const session of [kept, other]) await eventually('its operation to wait', async () => (await session.get()).status === 'waiting');
    const transaction = await locked(url, kept.id);
    await open(url, true, { runsMax: 0 });
    expect(await other.firstTurn?.result).toMatchObject({ reason: 'complete' });
    await transaction.end();
    expect(await kept.firstTurn?.result).toMatchObject({ reason: 'complete' });
    expect(ofKind(await kept.entries(), 'operation-ended')).toHaveLength(1);
  });
});
