import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import { median } from '../src/cli/bench/turn-bench.ts';
import { createHoldfast, type Holdfast } from '../src/create-holdfast.ts';
import { agent, type SessionHandle } from '../src/index.ts';
import { scriptedModel } from '../src/testing/scripted-model.ts';
import { PostgresServer } from '../test/support/postgres-server.ts';

interface HistoryCost {
  readonly store: string;
  readonly messages: number;
  readonly branches: number;
  readonly rowBytes: number;
  readonly rewind: Took;
  readonly redo: Took;
  readonly restore: Took;
  /** With the turn that it opens, to its end. */
  readonly retry: Took;
  readonly fork: Took;
  readonly lastPage: Took;
}

/** On a machine that others use, the fastest says more than the median. */
interface Took {
  readonly medianMs: number;
  readonly fastestMs: number;
}

/** `npm run bench -- history`: what moving through a long conversation costs, on SQLite and on a Postgres server of its own. */
export function historyCommand(): Command {
  return new Command('history')
    .description('measure rewind, redo, restore, retry and fork in a long conversation with many branches')
    .option('--messages <count>', 'how long the conversation is', '5000')
    .option('--branches <count>', 'how many futures were discarded along it', '50')
    .option('--rounds <count>', 'how often each is measured', '50')
    .option('--sqlite-only', 'leave Postgres out')
    .option('--json', 'print one JSON value')
    .action(async ({ messages, branches, rounds, sqliteOnly, json }: { messages: string; branches: string; rounds: string; sqliteOnly?: boolean; json?: boolean }) => {
      const sizes = { messages: Number(messages), branches: Number(branches), rounds: Number(rounds) };
      const measured = [await onSqlite(sizes), ...(sqliteOnly === true ? [] : [await onPostgres(sizes)])];
      process.stdout.write(json === true ? `${JSON.stringify(measured)}\n` : measured.map(describe).join(''));
    });
}

interface Sizes {
  readonly messages: number;
  readonly branches: number;
  readonly rounds: number;
}

async function onSqlite(sizes: Sizes): Promise<HistoryCost> {
  const folder = mkdtempSync(path.join(tmpdir(), 'holdfast-bench-'));
  try {
    return await measure('SQLite', `sqlite:${path.join(folder, 'bench.db')}`, sizes);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function onPostgres(sizes: Sizes): Promise<HistoryCost> {
  const server = new PostgresServer();
  try {
    await server.start();
    return await measure('Postgres', server.url, sizes);
  } finally {
    await server.stop({ remove: true });
  }
}

async function measure(name: string, store: string, { messages, branches, rounds }: Sizes): Promise<HistoryCost> {
  const model = scriptedModel([], { otherwise: () => forgetting() });
  const forgetting = (): string => {
    (model.calls as unknown[]).length = 0;
    return 'An answer of a sentence or two, as they come.';
  };
  await using holdfast = await createHoldfast({ agents: [agent({ name: 'talker', model })], store });
  const session = await holdfast.sessions.create({ agent: 'talker' });
  const turnIds = await converse(session, messages / 2, branches);
  const middle = turnIds[Math.floor(turnIds.length / 2)] ?? null;
  const [rewind, redo] = await took(rounds, () => session.rewind(middle), () => session.redo());
  let branchId = '';
  const [, restore] = await took(rounds, async () => { branchId = (await session.branches.list({ limit: 1 })).items[0]?.id ?? ''; }, () => session.branches.restore(branchId));
  const [retry] = await took(Math.min(10, rounds), async () => (await session.retry()).result);
  const [lastPage] = await took(rounds, () => session.messages({ limit: 50 }));
  const [fork] = await took(Math.min(20, rounds), () => session.fork());
  const none: Took = { medianMs: 0, fastestMs: 0 };
  return {
    store: name, messages, branches: (await session.get()).branches.count, rowBytes: await rowBytes(holdfast, session),
    rewind: rewind ?? none, redo: redo ?? none, restore: restore ?? none, retry: retry ?? none, fork: fork ?? none, lastPage: lastPage ?? none,
  };
}

/** A conversation in which the last message was said anew now and then: as many stretches are visible as there are branches. */
async function converse(session: SessionHandle, turns: number, branches: number): Promise<readonly string[]> {
  const turnIds: string[] = [];
  const every = Math.max(1, Math.floor(turns / Math.max(1, branches)));
  for (let turn = 1; turn <= turns; turn += 1) {
    let sent = await session.send(`message ${turn}, of about as many words as a person writes`);
    await sent.result;
    if (turn % every === 0 && turn / every <= branches) {
      sent = await session.edit(sent.id, `message ${turn}, in other words`);
      await sent.result;
    }
    turnIds.push(sent.id);
  }
  return turnIds;
}

/** What each of these takes, done in turn. */
async function took(rounds: number, ...works: readonly (() => Promise<unknown>)[]): Promise<readonly Took[]> {
  const times = works.map((): number[] => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [place, work] of works.entries()) {
      const startedAtMs = performance.now();
      await work();
      times[place]?.push(performance.now() - startedAtMs);
    }
  }
  return times.map((each) => ({ medianMs: median(each), fastestMs: Math.min(...each) }));
}

/** As both stores keep it. */
async function rowBytes({ store }: Holdfast, { id }: SessionHandle): Promise<number> {
  return JSON.stringify(await store.readSession({ tenant: 'default', id })).length;
}

function describe({ store, messages, branches, rowBytes: bytes, ...costs }: HistoryCost): string {
  const words = Object.entries(costs).map(([what, { medianMs, fastestMs }]) => `${what === 'lastPage' ? 'last page' : what} ${medianMs.toFixed(1)} (${fastestMs.toFixed(1)})`);
  return `${store}, ${messages} messages, ${branches} branches, median (fastest) in ms: ${words.join(', ')}; the session's row has ${bytes} bytes\n`;
}
