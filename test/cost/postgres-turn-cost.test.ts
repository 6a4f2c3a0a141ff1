import { expect, onTestFinished, test } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import { benchAgent, userText } from '../../src/cli/bench/bench-agent.ts';
import type { SessionHandle } from '../../src/index.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ownPostgresServer } from '../support/postgres-database.ts';
import { median, PostgresProbe, type StatementCount } from './postgres-probe.ts';

/** What comes with time or with hints and not with turns. A hint stands for all that was committed in ten milliseconds, so that how many there are is the machine's matter. */
const uncounted: readonly (readonly [name: string, text: RegExp])[] = [
  ['sets a connection up', /^(SELECT set_config|LISTEN)/],
  ['announces commits', /^SELECT pg_notify/],
  ['renews the lease', /^WITH renewed AS/],
  ['looks what it holds', /^SELECT tenant, id, fence FROM \S+ WHERE worker/],
  ['looks for dead workers', /AS stray/],
  ['looks for due work', /AS reason, tenant/],
  ['looks whether a turn has ended', /^SELECT body FROM \S+session WHERE tenant = \$1 AND id = \$2/],
];

const windowTurns = 50;

interface Cost {
  readonly commits: number;
  /** Each of them is a round trip: none is part of a transaction of several. */
  readonly statements: number;
  readonly rowsWritten: number;
  readonly rowsLeft: number;
  readonly logBytes: number;
}

/** A server on which nobody else writes, and nothing that the server does by itself. */
async function measuredServer(): Promise<{ readonly url: string; readonly probe: PostgresProbe }> {
  const server = await ownPostgresServer({ settings: { autovacuum: 'off', checkpoint_timeout: '1h', max_wal_size: '4GB' } });
  const probe = await PostgresProbe.open(server.url);
  onTestFinished(() => probe[Symbol.asyncDispose]());
  return { url: server.url, probe };
}

async function turn(session: SessionHandle): Promise<void> {
  const { reason } = await (await session.send(userText)).result;
  expect(reason).toBe('complete');
}

/** Per turn, over a window of turns. Of the log the median turn counts: now and then a page is full, or a lease is renewed. Of statements and rows the whole window does. */
async function measure(session: SessionHandle, probe: PostgresProbe, name: string): Promise<Cost> {
  const rowsBefore = await probe.countRows();
  await probe.forgetStatements();
  const places = [await probe.logPlace()];
  for (let count = 0; count < windowTurns; count += 1) {
    await turn(session);
    places.push(await probe.logPlace());
  }
  const all = await probe.statements();
  const rowsLeft = (await probe.countRows() - rowsBefore) / windowTurns;
  const stretches = await probe.logBetween(places);
  const counted = all.filter(({ text }) => !uncounted.some(([, pattern]) => pattern.test(text)));
  const beside = uncounted.map(([what, pattern]) => [what, all.filter(({ text }) => pattern.test(text)).reduce((calls, statement) => calls + statement.calls, 0)] as const);
  const cost = {
    commits: median(stretches.map(({ commits }) => commits)),
    statements: callsOf(counted) / windowTurns,
    rowsWritten: median(stretches.map(({ rowsWritten }) => rowsWritten)),
    rowsLeft,
    logBytes: median(stretches.map(({ bytes }) => bytes)),
  };
  console.log(`${name}: ${JSON.stringify(cost)} a turn; beside them in ${windowTurns} turns: ${beside.filter(([, calls]) => calls > 0).map(([what, calls]) => `${what} ${calls}`).join(', ')}\n`
    + counted.map(({ text, calls }) => `  ${(calls / windowTurns).toFixed(2)} × ${text.slice(0, 140)}`).join('\n'));
  expect(all.filter(({ text }) => /^(BEGIN|COMMIT|START)/.test(text))).toEqual([]);
  return cost;
}

function callsOf(statements: readonly StatementCount[]): number {
  return statements.reduce((calls, statement) => calls + statement.calls, 0);
}

function expectSameLog(late: Cost, early: Cost): void {
  expect(late.logBytes / early.logBytes).toBeGreaterThan(0.95);
  expect(late.logBytes / early.logBytes).toBeLessThan(1.05);
}

test('a turn with one tool call is four round trips, four commits and less than 8 KB of log where one process accepts and works, its 500th as its 2nd (G11)', async () => {
  const { url, probe } = await measuredServer();
  const holdfast = await openHoldfast({ agents: [benchAgent()], store: url });
  const session = await holdfast.sessions.create({ agent: 'bench' });
  await turn(session);
  const early = await measure(session, probe, 'one process, from turn 2');
  for (let count = windowTurns + 1; count < 499; count += 1) await turn(session);
  const late = await measure(session, probe, 'one process, from turn 500');
  for (const cost of [early, late]) {
    // Two of the rows are counters of usage: each attempt is counted in the commit that records it.
    expect(cost).toMatchObject({ commits: 4, statements: 4, rowsWritten: 11, rowsLeft: 5 });
    expect(cost.logBytes).toBeLessThanOrEqual(8 * 1024);
  }
  expectSameLog(late, early);
}, 60_000);

test('with the worker in another process it is five commits, less than 9 KB of log, and what they have to read, its 500th turn as its 2nd', async () => {
  const { url, probe } = await measuredServer();
  const worker = await openHoldfast({ agents: [benchAgent()], store: url });
  const api = await openHoldfast({ agents: [benchAgent()], store: url, worker: false });
  const session = await api.sessions.create({ agent: 'bench' });
  await turn(session);
  const early = await measure(session, probe, 'two processes, from turn 2');
  const sameSession = await worker.sessions.get(session.id);
  for (let count = windowTurns + 1; count < 499; count += 1) await turn(sameSession);
  await turn(session);
  const late = await measure(session, probe, 'two processes, from turn 500');
  for (const cost of [early, late]) {
    expect(cost).toMatchObject({ commits: 5, rowsWritten: 12, rowsLeft: 5 });
    // Besides its five commits: what accepting and claiming read, the history's new entries, and the turn for who waits for it. A hint that comes late makes one of them another.
    expect(cost.statements).toBeLessThanOrEqual(9.5);
    expect(cost.logBytes).toBeLessThanOrEqual(9 * 1024);
  }
  expectSameLog(late, early);
}, 60_000);

test('live output has rows only while an answer streams', async () => {
  const { url, probe } = await measuredServer();
  const rest = gate();
  const model = scriptedModel([[{ text: 'the first of it' }, { gate: rest }, { text: 'and the rest' }]]);
  const holdfast = await openHoldfast({ agents: [agent({ name: 'streams', model })], store: url });
  const session = await holdfast.sessions.create({ agent: 'streams' });
  const chunks = async (): Promise<number> => Number((await probe.query('SELECT count(*) AS chunks FROM holdfast.chunk'))[0]?.['chunks']);
  const sent = await session.send('go on');
  for await (const part of sent.stream) if (part.type === 'text') break;
  expect(await chunks()).toBe(1);
  rest.open();
  await sent.result;
  expect(await chunks()).toBe(0);
}, 30_000);
