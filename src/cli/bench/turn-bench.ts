import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createHoldfast, type Holdfast } from '../../create-holdfast.ts';
import type { SessionHandle } from '../../library/handles.ts';
import { benchAgent, userText } from './bench-agent.ts';

/** Turns in one session before the next one is begun. */
const turnsPerSession = 10;

export interface LatencyMs {
  readonly p50: number;
  readonly p99: number;
}

export interface TurnRate {
  readonly concurrency: number;
  readonly turnsPerSecond: number;
  readonly turnMs: LatencyMs;
}

/** As many turns as were counted, whatever more than the time that was asked for they took. */
export interface MeasuredTurns extends TurnRate {
  readonly turns: number;
}

export async function withBenchHoldfast<Result>(store: string, work: (holdfast: Holdfast) => Promise<Result>): Promise<Result> {
  await using holdfast = await createHoldfast({ agents: [benchAgent()], store });
  return await work(holdfast);
}

/** Whole turns, from the send to the committed end, by `concurrency` clients that each wait for the last before the next. */
export async function measureTurns(holdfast: Holdfast, concurrency: number, forMs: number): Promise<MeasuredTurns> {
  const durations: number[] = [];
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: concurrency }, async () => {
    while (performance.now() - startedAt < forMs) {
      const session = await holdfast.sessions.create({ agent: 'bench' });
      for (let turns = 0; turns < turnsPerSession && performance.now() - startedAt < forMs; turns += 1) {
        const sentAt = performance.now();
        const turn = await session.send(userText);
        await turn.result;
        durations.push(performance.now() - sentAt);
      }
    }
  }));
  return { concurrency, turns: durations.length, turnsPerSecond: (durations.length / (performance.now() - startedAt)) * 1000, turnMs: percentiles(durations) };
}

/** From the send to the first of the answer that a follower of the turn is given. */
export async function measureFirstChunk(holdfast: Holdfast, turns: number): Promise<LatencyMs> {
  const durations: number[] = [];
  const session = await holdfast.sessions.create({ agent: 'bench' });
  for (let count = 0; count < turns; count += 1) {
    const sentAt = performance.now();
    const turn = await session.send(userText);
    for await (const _part of turn.stream) {
      durations.push(performance.now() - sentAt);
      break;
    }
    await turn.result;
  }
  return percentiles(durations);
}

/** What a turn takes in a session of so many turns, and in a new one measured turn about with it. */
export interface Growth {
  readonly turn: number;
  readonly ms: number;
  readonly newSessionMs: number;
  readonly ratio: number;
}

/** Turns compared at each mark. */
const comparedTurns = 200;

/** Whether turns get slower as a session grows. The long session and new ones take turns, so that what else the machine does hits both. */
export async function measureGrowth(holdfast: Holdfast, marks: readonly number[]): Promise<readonly Growth[]> {
  const long = await holdfast.sessions.create({ agent: 'bench' });
  const turnMs = async (session: SessionHandle): Promise<number> => {
    const sentAt = performance.now();
    await (await session.send(userText)).result;
    return performance.now() - sentAt;
  };
  const growth: Growth[] = [];
  let turns = 0;
  for (const mark of marks) {
    for (; turns < mark; turns += 1) await turnMs(long);
    const [old, fresh]: [number[], number[]] = [[], []];
    let short = await holdfast.sessions.create({ agent: 'bench' });
    for (let count = 0; count < comparedTurns; count += 1, turns += 1) {
      if (count % turnsPerSession === 0) {
        short = await holdfast.sessions.create({ agent: 'bench' });
        await turnMs(short);
      }
      fresh.push(await turnMs(short));
      old.push(await turnMs(long));
    }
    const [ms, newSessionMs] = [percentiles(old).p50, percentiles(fresh).p50];
    growth.push({ turn: mark, ms, newSessionMs, ratio: ms / newSessionMs });
  }
  return growth;
}

/** Bytes of memory each session at rest costs the process that ran it, beyond its bounded caches. */
export async function measureIdleMemory(holdfast: Holdfast, sessions: number): Promise<number> {
  const before = heapBytes();
  for (let count = 0; count < sessions; count += 1) {
    const session = await holdfast.sessions.create({ agent: 'bench' });
    await (await session.send(userText)).result;
  }
  return Math.max(0, heapBytes() - before) / sessions;
}

/** What lives, not what waits to be collected: a process that was not started with it can be given its collector. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}

/** The middle one, in order of size. */
export function median(values: readonly number[]): number {
  return percentiles(values).p50;
}

export function percentiles(durations: readonly number[]): LatencyMs {
  const sorted = durations.toSorted((left, right) => left - right);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}
