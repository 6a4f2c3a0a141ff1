import { setTimeout as pause } from 'node:timers/promises';
import { percentiles, type LatencyMs } from '../src/cli/bench/turn-bench.ts';
import { BenchProcess } from './bench-process.ts';
import type { HoldfastProcessConfig } from './holdfast-process.ts';

export interface ClaimLatency {
  readonly sends: number;
  readonly ms: LatencyMs;
}

/**
 * How long a message that one process takes waits for its worker, which is another: from the send to the call of the model, which comes after the commit that claims. Sends come at chance times, each in a session of its own.
 */
export async function measureClaimLatency(url: string, schema: string, notify: boolean, sends: number, withinMs: number): Promise<ClaimLatency> {
  const config: HoldfastProcessConfig = { url, schema, notify, worker: false };
  await using api = (await BenchProcess.start('holdfast-process.ts', config)).process;
  await using worker = (await BenchProcess.start('holdfast-process.ts', { ...config, worker: {} } satisfies HoldfastProcessConfig)).process;
  const { ids } = (await api.ask({ event: 'create', count: sends + 1 })) as unknown as { readonly ids: readonly string[] };
  const sentAtMs = new Map<string, number>();
  const calledAtMs = new Map<string, number>();
  api.onEach('send', (message) => sentAtMs.set(String(message['text']), Number(message['sentAtMs'])));
  worker.onEach('called', (message) => calledAtMs.set(String(message['text']), Number(message['atMs'])));
  const [warming = '', ...measured] = ids;
  const warm = worker.hears('called');
  api.tell({ event: 'send', session: warming, text: 'first' });
  await warm;
  await Promise.all(measured.map(async (session, index) => {
    await pause(Math.random() * withinMs);
    const text = `send ${index}`;
    const called = worker.hears('called', (message) => message['text'] === text);
    api.tell({ event: 'send', session, text });
    await called;
  }));
  // An answer to a send may come after the worker's.
  while (sentAtMs.size < ids.length) await pause(5);
  sentAtMs.delete('first');
  return { sends, ms: percentiles([...sentAtMs].map(([text, at]) => (calledAtMs.get(text) ?? Number.NaN) - at)) };
}
