// A process of a simulated run. It loads everything, waits to be told what it is, says when it is ready and where it answers, and ends with its parent.

import { flushCompileCache } from 'node:module';
import { createHoldfast, type Holdfast } from '../../create-holdfast.ts';
import { listen, type Listener } from '../../server/listen.ts';
import { ExecutionJournal } from '../replay/execution-journal.ts';
import { whileStoreRefuses } from '../replay/while-store-refuses.ts';
import { workerTuning, type WorkerMessage } from '../replay/worker-order.ts';
import { plannedAgent } from './planned-agent.ts';
import type { ProcessOrder } from './process-order.ts';

// One that is killed would not leave behind what it compiled.
flushCompileCache();

let holdfast: Holdfast | null = null;
let listener: Listener | null = null;

// A parent that is gone, by whatever death, closes the channel.
process.on('disconnect', () => process.exit(0));
if (!process.connected) process.exit(0);
process.on('message', (message: ProcessOrder | 'stop') => {
  const doing = message === 'stop' ? stop() : begin(message);
  doing.catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`, () => process.exit(1));
  });
});

async function begin({ runId, store, folder, worker, role, pace, seed, leaseMs }: ProcessOrder): Promise<void> {
  const journal = new ExecutionJournal(folder, { worker, pid: process.pid });
  const agents = [plannedAgent({ runId, journal, pace, seed })];
  const log = (level: string, event: string, fields: object): void => journal.note(level, event, JSON.stringify(fields));
  const opened = await whileStoreRefuses(() => createHoldfast({ agents, store, worker: role === 'server' ? false : workerTuning(leaseMs), log }));
  holdfast = opened;
  if (role !== 'worker') listener = await listen({ fetch: opened.fetch, port: 0 });
  journal.note('info', 'ready', opened.worker?.id ?? '');
  const ready: WorkerMessage = { kind: 'ready', worker, ...(listener === null ? {} : { url: listener.url }) };
  process.send?.(ready);
}

async function stop(): Promise<void> {
  const closed = listener?.close();
  await holdfast?.close();
  await closed;
  process.exit(0);
}
