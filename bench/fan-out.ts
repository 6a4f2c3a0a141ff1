import { setTimeout as pause } from 'node:timers/promises';
import { BenchProcess, type CpuUse } from './bench-process.ts';
import type { HoldfastProcessConfig } from './holdfast-process.ts';
import { streamRequest } from './measured-agent.ts';

const sessions = 10;
const servers = 2;
const everyMs = 20;
/** What is watched, of an answer that takes a little longer. */
const watchedMs = 4_000;
const leadMs = 1_000;
const settlingMs = 2_000;

interface FrameRate {
  readonly framesPerSecond: number;
  readonly bytesPerFrame: number;
  /** Of the processes that serve, together: 1 is one processor. */
  readonly serversCpu: number;
  /** Connections that were closed meanwhile. */
  readonly closed: number;
}

export interface FanOut {
  readonly followers: number;
  readonly ours: FrameRate;
  /** A frame of the same size, written over and over by as many processes to as many connections. */
  readonly bare: FrameRate;
}

/** Followers of sessions that stream, over HTTP from two processes, which are not the one that works; and the bare loop. */
export async function measureFanOut(url: string, schema: string, followers: number): Promise<FanOut> {
  const ours = await measureOurs(url, schema, followers);
  return { followers, ours, bare: await measureBare(followers, Math.round(ours.bytesPerFrame)) };
}

async function measureOurs(url: string, schema: string, followers: number): Promise<FrameRate> {
  const config: HoldfastProcessConfig = { url, schema, worker: false };
  await using worker = (await BenchProcess.start('holdfast-process.ts', { ...config, worker: { chunkIntervalMs: everyMs } } satisfies HoldfastProcessConfig)).process;
  const apis = await Promise.all(Array.from({ length: servers }, () => BenchProcess.start('holdfast-process.ts', { ...config, listens: true } satisfies HoldfastProcessConfig)));
  const [first] = apis;
  try {
    const { ids = [] } = ((await first?.process.ask({ event: 'create', count: sessions })) ?? {}) as { readonly ids?: readonly string[] };
    const urls = Array.from({ length: followers }, (_, index) => `${String(apis[index % servers]?.ready['url'])}/v1/sessions/${ids[Math.floor(index / servers) % sessions] ?? ''}/events?after=now`);
    const streaming = worker.hears('called');
    return await watch(urls, apis.map(({ process }) => process), async () => {
      for (const id of ids) first?.process.tell({ event: 'send', session: id, text: streamRequest(Math.ceil((leadMs + watchedMs + 1_000) / everyMs), everyMs) });
      await streaming;
    });
  } finally {
    for (const { process } of apis) await process.kill();
  }
}

async function measureBare(followers: number, frameBytes: number): Promise<FrameRate> {
  const bare = await Promise.all(Array.from({ length: servers }, () => BenchProcess.start('bare-streams.ts', { frameBytes })));
  try {
    const urls = Array.from({ length: followers }, (_, index) => String(bare[index % servers]?.ready['url']));
    return await watch(urls, bare.map(({ process }) => process), async () => {
      for (const { process } of bare) process.tell({ event: 'begin' });
    });
  } finally {
    for (const { process } of bare) await process.kill();
  }
}

/** Follows, lets it begin, and counts in a while after the lead. */
async function watch(urls: readonly string[], serving: readonly BenchProcess[], begin: () => Promise<void>): Promise<FrameRate> {
  await using client = (await BenchProcess.start('follow-streams.ts', {})).process;
  await client.ask({ event: 'follow', urls });
  // So many that come at once read one after the other, until they share a reader.
  await pause(settlingMs);
  await begin();
  await pause(leadMs);
  const look = async () => ({ seen: (await client.ask({ event: 'count' })) as unknown as Counted, used: await Promise.all(serving.map((process) => process.cpu())) });
  const before = await look();
  await pause(watchedMs);
  const after = await look();
  const frames = after.seen.frames - before.seen.frames;
  const share = (index: number, { cpuMs, atMs }: CpuUse): number => (cpuMs - (before.used[index]?.cpuMs ?? 0)) / (atMs - (before.used[index]?.atMs ?? 0));
  return {
    framesPerSecond: (frames / (after.seen.atMs - before.seen.atMs)) * 1000,
    bytesPerFrame: (after.seen.bytes - before.seen.bytes) / frames,
    serversCpu: after.used.reduce((sum, use, index) => sum + share(index, use), 0),
    closed: after.seen.closed - before.seen.closed,
  };
}

interface Counted {
  readonly frames: number;
  readonly bytes: number;
  readonly closed: number;
  readonly atMs: number;
}
