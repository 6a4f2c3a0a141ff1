import { Command } from 'commander';
import { benchAgent } from '../src/cli/bench/bench-agent.ts';
import { median } from '../src/cli/bench/turn-bench.ts';
import { PostgresFloor } from '../src/cli/bench/postgres-floor.ts';
import { measureTurns } from '../src/cli/bench/turn-bench.ts';
import { createHoldfast, type Holdfast } from '../src/create-holdfast.ts';
import type { Dialect } from '../src/store/index.ts';
import { postgres } from '../src/store-url.ts';
import { PostgresProbe } from '../test/cost/postgres-probe.ts';
import { PostgresServer } from '../test/support/postgres-server.ts';

const forms: readonly { readonly name: string; readonly schema: string; readonly dialect: Partial<Dialect> }[] = [
  { name: 'statement, grouped', schema: 'grouped', dialect: {} },
  { name: 'statement', schema: 'single', dialect: { skipLocked: false } },
  { name: 'transaction', schema: 'pipelined', dialect: { commit: 'transaction' } },
];
const concurrencies = [1, 16, 64];

interface FormRun {
  readonly turnsPerSecond: number;
  readonly p50Ms: number;
  /** These per turn; those of the sessions, a tenth of one, are in it. */
  readonly statements: number;
  readonly commits: number;
  readonly logBytes: number;
  readonly cpuMs: number;
}

/** `npm run bench -- commit-forms`: the ways in which a step can be written to Postgres, turn about in one run (docs/decisions/0009). */
export function commitFormsCommand(): Command {
  return new Command('commit-forms')
    .description('measure the ways to write a step to Postgres, turn about')
    .option('--seconds <seconds>', 'how long each measurement takes', '0.5')
    .option('--rounds <rounds>', 'how often each is repeated; the best tenth counts for what takes time, the median for what is counted', '20')
    .action(async ({ seconds, rounds }: { seconds: string; rounds: string }) => {
      const server = new PostgresServer({ settings: { max_wal_size: '4GB', checkpoint_timeout: '1h' } });
      await server.start();
      try {
        await measureForms(server.url, Number(seconds) * 1000, Number(rounds));
      } finally {
        await server.stop({ remove: true });
      }
    });
}

async function measureForms(url: string, forMs: number, rounds: number): Promise<void> {
  await using probe = await PostgresProbe.open(url);
  await using floor = await PostgresFloor.open(url, 'bare', Math.max(...concurrencies));
  const opened: { readonly name: string; readonly holdfast: Holdfast }[] = [];
  try {
    for (const { name, schema, dialect } of forms) opened.push({ name, holdfast: await createHoldfast({ agents: [benchAgent()], store: postgres({ url, schema, dialect }) }) });
    for (const { holdfast } of opened) await measureTurns(holdfast, 16, 1_000);
    for (const concurrency of concurrencies) {
      const bare: number[] = [];
      const runs = new Map<string, FormRun[]>(opened.map(({ name }) => [name, []]));
      for (let round = 0; round < rounds; round += 1) {
        bare.push((await floor.measure(concurrency, forMs / 2)).turnsPerSecond);
        for (const { name, holdfast } of opened) runs.get(name)?.push(await measureOne(holdfast, probe, concurrency, forMs));
      }
      process.stdout.write(describe(concurrency, best(bare), runs));
    }
  } finally {
    for (const { holdfast } of opened) await holdfast.close();
  }
}

async function measureOne(holdfast: Holdfast, probe: PostgresProbe, concurrency: number, forMs: number): Promise<FormRun> {
  await probe.forgetStatements();
  const from = await probe.logPlace();
  const cpuBefore = process.cpuUsage();
  const { turns, turnsPerSecond, turnMs } = await measureTurns(holdfast, concurrency, forMs);
  const cpu = process.cpuUsage(cpuBefore);
  const to = await probe.logPlace();
  const statements = (await probe.statements()).filter(({ text }) => !text.startsWith('SELECT pg_notify')).reduce((calls, statement) => calls + statement.calls, 0);
  const { commits, bytes } = await probe.logTotals(from, to);
  return {
    turnsPerSecond, p50Ms: turnMs.p50,
    statements: statements / turns, commits: commits / turns, logBytes: bytes / turns, cpuMs: (cpu.user + cpu.system) / 1000 / turns,
  };
}

/** Of rates, the best that a tenth of the rounds reach: what else the machine does only ever takes away. */
function best(values: readonly number[]): number {
  return values.toSorted((left, right) => right - left)[Math.floor(values.length / 10)] ?? Number.NaN;
}

function describe(concurrency: number, floor: number, runs: ReadonlyMap<string, readonly FormRun[]>): string {
  const columns: readonly (readonly [name: string, of: (runs: readonly FormRun[]) => number, digits: number])[] = [
    ['turns/s', (all) => best(all.map((run) => run.turnsPerSecond)), 0], ['ratio', (all) => best(all.map((run) => run.turnsPerSecond)) / floor, 2], ['median', (all) => median(all.map((run) => run.turnsPerSecond)), 0],
    ['p50 ms', (all) => -best(all.map((run) => -run.p50Ms)), 2], ['statements', (all) => median(all.map((run) => run.statements)), 2], ['commits', (all) => median(all.map((run) => run.commits)), 2],
    ['log bytes', (all) => median(all.map((run) => run.logBytes)), 0], ['node cpu ms', (all) => -best(all.map((run) => -run.cpuMs)), 2],
  ];
  const lines = [...runs].map(([name, all]) => `  ${name.padEnd(20)}${columns.map(([, of, digits]) => of(all).toFixed(digits).padStart(12)).join('')}\n`);
  return `c=${concurrency}, floor ${floor.toFixed(0)} turns/s\n  ${''.padEnd(20)}${columns.map(([name]) => name.padStart(12)).join('')}\n${lines.join('')}`;
}
