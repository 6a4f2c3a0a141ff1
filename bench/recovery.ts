import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { createHoldfast } from '../src/index.ts';
import { postgres } from '../src/store-url.ts';
import { BenchProcess } from './bench-process.ts';
import type { HoldfastProcessConfig } from './holdfast-process.ts';

export interface Recovery {
  readonly leaseMs: number;
  /** What was left of the lease at the kill. */
  readonly leaseLeftMs: number;
  readonly sessions: number;
  /** From the kill to the model's new call, of the last of the sessions; and to the end of its turn, as its sender sees it in a third process. */
  readonly calledAfterMs: number;
  readonly endedAfterMs: number;
}

/** Kills a worker in the middle of its generations, right after it has renewed its lease, and waits for another one to have ended them. */
export async function measureRecovery(url: string, schema: string, leaseMs: number, sessions: number): Promise<Recovery> {
  const config: HoldfastProcessConfig = { url, schema, worker: { leaseMs } };
  await using holdfast = await createHoldfast({ agents: [], store: postgres({ url, schema }), worker: false });
  await using killed = (await BenchProcess.start('holdfast-process.ts', { ...config, hangs: true } satisfies HoldfastProcessConfig)).process;
  await using maker = (await BenchProcess.start('holdfast-process.ts', { ...config, worker: false } satisfies HoldfastProcessConfig)).process;
  const { ids } = (await maker.ask({ event: 'create', count: sessions })) as unknown as { readonly ids: readonly string[] };
  const turns = await Promise.all(ids.map(async (id) => (await holdfast.sessions.get(id)).send('go on')));
  // Until each has said the first words of its answer.
  await Promise.all(turns.map(async (turn) => {
    for await (const part of turn.stream) if (part.type === 'text') return;
  }));
  await using other = (await BenchProcess.start('holdfast-process.ts', config)).process;
  let calls = 0;
  let calledAt = Number.NaN;
  other.onEach('called', () => {
    calls += 1;
    calledAt = performance.now();
  });
  const leaseLeftMs = await justRenewed(url, schema, leaseMs);
  const killedAt = performance.now();
  await killed.kill();
  await Promise.all(turns.map((turn) => turn.result));
  const endedAfterMs = performance.now() - killedAt;
  if (calls !== sessions) throw new Error(`${sessions} sessions had lost their worker, and the model was called ${calls} times`);
  return { leaseMs, leaseLeftMs, sessions, calledAfterMs: calledAt - killedAt, endedAfterMs };
}

/** Waits until the worker that holds sessions has just renewed. Returns what its lease has left. */
async function justRenewed(connectionString: string, schema: string, leaseMs: number): Promise<number> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    for (;;) {
      const { rows: [row] } = await client.query<{ left_ms: string }>(`SELECT lease_until_ms - (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS left_ms
        FROM ${schema}.worker WHERE id IN (SELECT worker FROM ${schema}.session)`);
      const leftMs = Number(row?.left_ms);
      if (leftMs > leaseMs * 0.97) return leftMs;
      await pause(5);
    }
  } finally {
    await client.end();
  }
}
