import { benchSchema } from '../src/cli/bench/bench-schema.ts';
import { postgresUrlParts } from '../src/store-url.ts';
import { measureClaimLatency, type ClaimLatency } from './claim-latency.ts';
import { measureFanOut, type FanOut } from './fan-out.ts';
import { measureRecovery, type Recovery } from './recovery.ts';

export interface ProcessFigures {
  readonly fanOut: FanOut;
  readonly claims: { readonly hinted: ClaimLatency; readonly polled: ClaimLatency };
  readonly recoveries: readonly Recovery[];
}

/** What takes several processes. */
export async function measureProcesses(url: string): Promise<ProcessFigures> {
  const { connection } = postgresUrlParts(url);
  const fanOut = await inOwnSchema(connection, (schema) => measureFanOut(connection, schema, 1_000));
  const claims = {
    hinted: await inOwnSchema(connection, (schema) => measureClaimLatency(connection, schema, true, 300, 4_000)),
    polled: await inOwnSchema(connection, (schema) => measureClaimLatency(connection, schema, false, 100, 8_000)),
  };
  const recoveries: Recovery[] = [];
  for (const leaseMs of [1_000, 1_000, 1_000, 10_000]) recoveries.push(await inOwnSchema(connection, (schema) => measureRecovery(connection, schema, leaseMs, 10)));
  return { fanOut, claims, recoveries };
}

/** What a measurement leaves behind, of processes that were killed above all, must not be work for the next one. */
async function inOwnSchema<Result>(connectionString: string, measure: (schema: string) => Promise<Result>): Promise<Result> {
  await using schema = await benchSchema(connectionString);
  return await measure(schema.name);
}

/** As people read it. */
export function describeProcesses({ fanOut: { followers, ours, bare }, claims: { hinted, polled }, recoveries }: ProcessFigures): string {
  const cpuUs = ({ serversCpu, framesPerSecond }: FanOut['ours']): string => ((serversCpu / framesPerSecond) * 1e6).toFixed(1);
  const claim = ({ sends, ms: { p50, p99 } }: ClaimLatency): string => `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms of ${sends}`;
  return `\n${followers} followers of streams, over HTTP from two processes that do not work: ${ours.framesPerSecond.toFixed(0)} frames/s of ${ours.bytesPerFrame.toFixed(0)} bytes, ${cpuUs(ours)} µs of processor each, ${ours.closed} cut off\n`
    + `  a bare loop in two processes, as fast as it goes: ${bare.framesPerSecond.toFixed(0)} frames/s of ${bare.bytesPerFrame.toFixed(0)} bytes, ${cpuUs(bare)} µs of processor each\n`
    + `send in one process to the model's call in another: with NOTIFY ${claim(hinted)}; with polling alone ${claim(polled)}\n`
    + recoveries.map(({ leaseMs, leaseLeftMs, sessions, calledAfterMs, endedAfterMs }) =>
      `kill -9 of a worker with ${sessions} generations, ${leaseLeftMs} ms of its ${leaseMs} ms lease left: the last is generated again after ${calledAfterMs.toFixed(0)} ms, its turn has ended after ${endedAfterMs.toFixed(0)} ms\n`).join('');
}
