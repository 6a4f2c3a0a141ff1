import Sqlite from 'better-sqlite3';
import { expect, onTestFinished, test } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import { acceptTransition } from '../../src/core/accept/transition.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import type { SessionHandle } from '../../src/index.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ownPostgresServer } from '../support/postgres-database.ts';
import { PostgresProbe } from './postgres-probe.ts';

const agents = [agent({ name: 'one', model: scriptedModel([]) })];

/** What is asked of the state of a conversation, each by itself. */
const verbs: Readonly<Record<string, (session: SessionHandle, place: number) => Promise<unknown>>> = {
  'sets a value': ({ state }, place) => state.set('conversation', 'k', place),
  'adds to a number': ({ state }) => state.increment('conversation', 'k'),
  'makes and deletes a key': async ({ state }, place) => (await state.set('conversation', 'other', place), state.delete('conversation', 'other')),
  'reads a value': ({ state }) => state.get('conversation', 'k'),
  'lists the values': ({ state }) => state.list('conversation'),
  'reads a snapshot': ({ state }) => state.snapshot(),
};

/** So many more writes of one key, as entries of one commit. */
async function writeOften({ store }: Holdfast, id: string, times: number): Promise<void> {
  const writing = acceptTransition((draft) => {
    for (let place = 0; place < times; place += 1) draft.append({ kind: 'state-changed', scope: 'conversation', key: 'k', value: place, by: 'api' });
    return null;
  }, { nowMs: 1, mintId: () => 'turn_none' });
  expect((await store.update({ key: { tenant: 'default', id }, transition: writing })).kind).toBe('committed');
}

/** What each verb costs when a key has been written ten times, and ten thousand times. */
async function measured<Cost>(holdfast: Holdfast, costOf: (verb: () => Promise<unknown>) => Promise<Cost>): Promise<readonly (readonly [verb: string, early: Cost, late: Cost])[]> {
  const session = await holdfast.sessions.create({ agent: 'one' });
  const all = async (): Promise<readonly Cost[]> => {
    const costs: Cost[] = [];
    for (const verb of Object.values(verbs)) {
      await verb(session, 0);
      costs.push(await costOf(() => verb(session, 1)));
    }
    return costs;
  };
  await writeOften(holdfast, session.id, 10);
  const early = await all();
  await writeOften(holdfast, session.id, 10_000);
  const late = await all();
  console.log(JSON.stringify(Object.fromEntries(Object.keys(verbs).map((verb, place) => [verb, { early: early[place], late: late[place] }]))));
  return Object.keys(verbs).map((verb, place) => [verb, early[place] as Cost, late[place] as Cost]);
}

test('on SQLite what a conversation\'s state costs does not grow with the writes that there have been (G11)', async () => {
  const path = await temporaryDatabase();
  const ran: string[] = [];
  const store = await sqliteStore({ path, system: realSystem(), onStatement: (sql) => ran.push(sql) });
  const probe = new Sqlite(path, { readonly: true });
  onTestFinished(async () => {
    probe.close();
    await store.close();
  });
  const holdfast = await openHoldfast({ agents, store, worker: false });
  const costs = await measured(holdfast, async (verb) => {
    ran.length = 0;
    await verb();
    const statements = ran.filter((sql) => !sql.includes('data_version'));
    const reads = statements.filter((sql) => /^\s*(SELECT|WITH)/.test(sql) && sql.includes('FROM entry'));
    // By a seq or by a mark, or on to the next mark: never over all entries of a session.
    const looks = reads.flatMap((sql) => (probe.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]).map(({ detail }) => detail)).filter((detail) => /\bentry\b/.test(detail));
    for (const look of looks) expect(look).toMatch(/^SEARCH entry USING (PRIMARY KEY \(tenant=\? AND session_id=\? AND seq=\?|COVERING INDEX entry_mark \(tenant=\? AND session_id=\? AND mark)/);
    return { statements: statements.length, looks: looks.length };
  });
  for (const [verb, early, late] of costs) expect([verb, late]).toEqual([verb, early]);
  expect(costs.map(([, { looks }]) => looks > 0)).toEqual(Object.keys(verbs).map(() => true));
}, 60_000);

test('on Postgres what a conversation\'s state costs does not grow with the writes that there have been (G11)', async () => {
  const server = await ownPostgresServer({ settings: { autovacuum: 'off' } });
  const probe = await PostgresProbe.open(server.url);
  onTestFinished(() => probe[Symbol.asyncDispose]());
  const holdfast = await openHoldfast({ agents, store: server.url, worker: false });
  const costs = await measured(holdfast, async (verb) => {
    await probe.forgetStatements();
    await verb();
    const ran = (await probe.statements()).filter(({ text }) => /\b(entry|session)\b/.test(text));
    return ran.reduce((cost, { calls, rows, pages }) => ({ statements: cost.statements + calls, rows: cost.rows + rows, pages: cost.pages + pages }), { statements: 0, rows: 0, pages: 0 });
  });
  for (const [verb, early, late] of costs) {
    expect([verb, late.statements, late.rows]).toEqual([verb, early.statements, early.rows]);
    // An index of ten thousand entries is a level or two deeper than one of ten.
    expect([verb, late.pages <= 3 * early.pages]).toEqual([verb, true]);
  }
}, 60_000);
