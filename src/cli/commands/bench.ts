import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { HoldfastError } from '../../core/errors.ts';
import { isPostgresUrl, withoutPassword } from '../../store-url.ts';
import { measureFloor } from '../bench/floor-bench.ts';
import { benchPostgres, describePostgresBench, type PostgresBenchReport } from '../bench/postgres-bench.ts';
import { type Growth, measureFirstChunk, measureGrowth, measureIdleMemory, measureTurns, median, withBenchHoldfast } from '../bench/turn-bench.ts';

export interface BenchReport {
  readonly node: string;
  /** Turns per second of bare commits, one by one and sixteen sessions to a transaction. */
  readonly floor: { readonly single: number; readonly grouped: number };
  readonly turnsPerSecond: { readonly c1: number; readonly c16: number };
  /** Ours over the floor of the same run. */
  readonly ratio: { readonly c1: number; readonly c16: number };
  readonly turnMs: { readonly c1p50: number; readonly c1p99: number; readonly c16p50: number; readonly c16p99: number };
  readonly firstChunkMs: { readonly p50: number; readonly p99: number };
  readonly growth: readonly Growth[];
  readonly memory: { readonly rssMb: number; readonly bytesPerIdleSession: number };
}

/** What is measured on Postgres besides, where more than this package is at hand. */
export interface PostgresExtras {
  /** The URL of a store as it was given, or of a server that is started for the run. */
  readonly urlOf: (store: string) => Promise<string>;
  readonly measure: (url: string) => Promise<{ readonly figures: object; readonly text: string }>;
}

/** `holdfast bench`: what a turn costs here, beside what its bare commits cost in the same run. */
export function benchCommand(extras?: PostgresExtras): Command {
  return new Command('bench')
    .description('measure turns per second beside the floor of bare commits, in one run')
    .option('--store <store>', 'sqlite, sqlite:PATH for a new database there (default: a temporary folder), or postgres://USER:PASSWORD@HOST/DATABASE, where it leaves nothing behind', 'sqlite')
    .option('--seconds <seconds>', 'how long each measurement takes', '4')
    .option('--rounds <rounds>', 'how often each is repeated; the median counts', '3')
    .option('--json', 'print one JSON value')
    .action(async ({ store, seconds, rounds, json }: { store: string; seconds: string; rounds: string; json?: boolean }) => {
      const url = (await extras?.urlOf(store)) ?? store;
      if (isPostgresUrl(url)) {
        const report: PostgresBenchReport = await benchPostgres(url, Number(seconds) * 1000, Number(rounds));
        if (json !== true) process.stdout.write(describePostgresBench(report));
        const more = await extras?.measure(url);
        process.stdout.write(json === true ? `${JSON.stringify({ ...report, ...more?.figures })}\n` : (more?.text ?? ''));
        return;
      }
      if (url !== 'sqlite' && !url.startsWith('sqlite:')) throw new HoldfastError('options_invalid', `${JSON.stringify(withoutPassword(url))} is no store to measure; say sqlite, sqlite:PATH or postgres://…`);
      const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
      try {
        const path = store.startsWith('sqlite:') ? store.slice('sqlite:'.length) : join(folder, 'bench.db');
        const report = await bench(path, join(folder, 'floor.db'), Number(seconds) * 1000, Number(rounds));
        process.stdout.write(json === true ? `${JSON.stringify(report)}\n` : describe(report));
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
}

/** Ours and the floor take turns, so that what else the machine does hits both. */
async function bench(path: string, floorPath: string, forMs: number, rounds: number): Promise<BenchReport> {
  return withBenchHoldfast(`sqlite:${path}`, async (holdfast) => {
    await measureTurns(holdfast, 4, Math.min(forMs, 1000));
    const runs: { single: number; grouped: number; one: Awaited<ReturnType<typeof measureTurns>>; many: Awaited<ReturnType<typeof measureTurns>> }[] = [];
    for (let round = 0; round < rounds; round += 1) {
      runs.push({
        single: await measureFloor(floorPath, 1, forMs / 2),
        one: await measureTurns(holdfast, 1, forMs),
        grouped: await measureFloor(floorPath, 16, forMs / 2),
        many: await measureTurns(holdfast, 16, forMs),
      });
    }
    const firstChunkMs = await measureFirstChunk(holdfast, 300);
    const growth = await measureGrowth(holdfast, [200, 500, 2000]);
    const bytesPerIdleSession = await measureIdleMemory(holdfast, 2000);
    const floor = { single: median(runs.map(({ single }) => single)), grouped: median(runs.map(({ grouped }) => grouped)) };
    const turnsPerSecond = { c1: median(runs.map(({ one }) => one.turnsPerSecond)), c16: median(runs.map(({ many }) => many.turnsPerSecond)) };
    return {
      node: process.version,
      floor,
      turnsPerSecond,
      ratio: { c1: median(runs.map(({ one, single }) => one.turnsPerSecond / single)), c16: median(runs.map(({ many, grouped }) => many.turnsPerSecond / grouped)) },
      turnMs: {
        c1p50: median(runs.map(({ one }) => one.turnMs.p50)), c1p99: median(runs.map(({ one }) => one.turnMs.p99)),
        c16p50: median(runs.map(({ many }) => many.turnMs.p50)), c16p99: median(runs.map(({ many }) => many.turnMs.p99)),
      },
      firstChunkMs,
      growth,
      memory: { rssMb: process.memoryUsage().rss / 1e6, bytesPerIdleSession },
    };
  });
}

function describe({ node, floor, turnsPerSecond, ratio, turnMs, firstChunkMs, growth, memory }: BenchReport): string {
  const row = (name: string, ours: number, bare: number, share: number, p50: number, p99: number): string =>
    `${name.padEnd(14)}${ours.toFixed(0).padStart(10)}${bare.toFixed(0).padStart(12)}${share.toFixed(2).padStart(10)}${p50.toFixed(2).padStart(10)}${p99.toFixed(2).padStart(10)}\n`;
  return `SQLite, one turn = user message, tool call, result, final text; Node ${node}\n\n`
    + `${''.padEnd(14)}${'turns/s'.padStart(10)}${'floor'.padStart(12)}${'ratio'.padStart(10)}${'p50 ms'.padStart(10)}${'p99 ms'.padStart(10)}\n`
    + row('1 client', turnsPerSecond.c1, floor.single, ratio.c1, turnMs.c1p50, turnMs.c1p99)
    + row('16 clients', turnsPerSecond.c16, floor.grouped, ratio.c16, turnMs.c16p50, turnMs.c16p99)
    + '\nfloor: the turn\'s four commits and nothing else, one by one and sixteen sessions to a transaction\n'
    + `send to first of the answer: p50 ${firstChunkMs.p50.toFixed(2)} ms, p99 ${firstChunkMs.p99.toFixed(2)} ms\n`
    + `a turn in a session of so many turns, beside one in a new session: ${growth.map(({ turn, ms, newSessionMs, ratio }) => `${turn}: ${ms.toFixed(2)} ms / ${newSessionMs.toFixed(2)} ms = ${ratio.toFixed(2)}`).join(', ')}\n`
    + `memory: ${memory.rssMb.toFixed(0)} MB resident; ${memory.bytesPerIdleSession.toFixed(0)} bytes of heap for each session at rest, bounded caches included\n`;
}
