import { createHoldfast } from '../../create-holdfast.ts';
import { postgresUrlParts, postgres } from '../../store-url.ts';
import { benchAgent } from './bench-agent.ts';
import { benchSchema } from './bench-schema.ts';
import { PostgresFloor } from './postgres-floor.ts';
import { type Growth, type LatencyMs, measureFirstChunk, measureGrowth, measureTurns, median, type TurnRate } from './turn-bench.ts';

const concurrencies = [1, 16, 64] as const;

/** Ours and the floor of one concurrency, the medians of the rounds. */
export interface RateBesideFloor extends TurnRate {
  readonly floor: Omit<TurnRate, 'concurrency'>;
  /** Ours over the floor of the same round. */
  readonly ratio: number;
}

export interface PostgresBenchReport {
  readonly node: string;
  readonly postgres: string;
  readonly turns: readonly RateBesideFloor[];
  readonly firstChunkMs: LatencyMs;
  readonly growth: readonly Growth[];
}

/** Measures turns beside the bare commits that they are, in schemas of the run's own that go with it; what else is in the database stays as it is. */
export async function benchPostgres(url: string, forMs: number, rounds: number): Promise<PostgresBenchReport> {
  const { connection } = postgresUrlParts(url);
  await using schema = await benchSchema(connection);
  await using floor = await PostgresFloor.open(connection, `${schema.name}_floor`, Math.max(...concurrencies));
  await using holdfast = await createHoldfast({ agents: [benchAgent()], store: postgres({ url: connection, schema: schema.name }) });
  for (const concurrency of concurrencies) {
    await floor.measure(concurrency, 300);
    await measureTurns(holdfast, concurrency, 700);
  }
  const runs: { readonly ours: TurnRate; readonly bare: TurnRate }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    // Ours and the floor take turns, so that what else the machine does hits both.
    for (const concurrency of concurrencies) runs.push({ bare: await floor.measure(concurrency, forMs / 2), ours: await measureTurns(holdfast, concurrency, forMs) });
  }
  return {
    node: process.version,
    postgres: await schema.serverVersion(),
    turns: concurrencies.map((concurrency) => beside(concurrency, runs.filter(({ ours }) => ours.concurrency === concurrency))),
    firstChunkMs: await measureFirstChunk(holdfast, 300),
    growth: await measureGrowth(holdfast, [200, 500]),
  };
}

function beside(concurrency: number, runs: readonly { readonly ours: TurnRate; readonly bare: TurnRate }[]): RateBesideFloor {
  return {
    concurrency,
    ...medianRate(runs.map(({ ours }) => ours)),
    floor: medianRate(runs.map(({ bare }) => bare)),
    ratio: median(runs.map(({ ours, bare }) => ours.turnsPerSecond / bare.turnsPerSecond)),
  };
}

function medianRate(rates: readonly TurnRate[]): Omit<TurnRate, 'concurrency'> {
  return {
    turnsPerSecond: median(rates.map(({ turnsPerSecond }) => turnsPerSecond)),
    turnMs: { p50: median(rates.map(({ turnMs }) => turnMs.p50)), p99: median(rates.map(({ turnMs }) => turnMs.p99)) },
  };
}

/** As people read it. */
export function describePostgresBench({ node, postgres: version, turns, firstChunkMs, growth }: PostgresBenchReport): string {
  const headings = ['turns/s', 'floor', 'ratio', 'p50 ms', 'p99 ms', 'floor p50', 'floor p99'];
  const row = ({ concurrency, turnsPerSecond, floor, ratio, turnMs }: RateBesideFloor): string => {
    const figures = [turnsPerSecond.toFixed(0), floor.turnsPerSecond.toFixed(0), ratio.toFixed(2), ...[turnMs.p50, turnMs.p99, floor.turnMs.p50, floor.turnMs.p99].map((ms) => ms.toFixed(2))];
    return `${`${concurrency} client${concurrency === 1 ? '' : 's'}`.padEnd(12)}${figures.map((figure) => figure.padStart(11)).join('')}\n`;
  };
  return `Postgres ${version}, one turn = user message, tool call, result, final text; Node ${node}\n\n`
    + `${''.padEnd(12)}${headings.map((heading) => heading.padStart(11)).join('')}\n`
    + turns.map(row).join('')
    + '\nfloor: the turn\'s four commits and nothing else, each one row updated and one inserted in one round trip\n'
    + `send to first of the answer: p50 ${firstChunkMs.p50.toFixed(2)} ms, p99 ${firstChunkMs.p99.toFixed(2)} ms\n`
    + `a turn in a session of so many turns, beside one in a new session: ${growth.map(({ turn, ms, newSessionMs, ratio }) => `${turn}: ${ms.toFixed(2)} ms / ${newSessionMs.toFixed(2)} ms = ${ratio.toFixed(2)}`).join(', ')}\n`;
}
