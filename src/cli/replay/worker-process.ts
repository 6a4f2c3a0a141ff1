// A worker of a kill run, as a process of its own. It loads everything, waits to be told to work, says when it is ready, and ends with its parent.

import { readFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { createHoldfast, type Holdfast } from '../../create-holdfast.ts';
import { ExecutionJournal } from './execution-journal.ts';
import type { Recording } from './recording.ts';
import { replayAgents } from './replay-agents.ts';
import { workerTuning, type WorkOrder, type WorkerMessage } from './worker-order.ts';

// One that is killed would not leave behind what it compiled.
flushCompileCache();

let holdfast: Holdfast | null = null;

// A parent that is gone, by whatever death, closes the channel.
process.on('disconnect', () => process.exit(0));
if (!process.connected) process.exit(0);
process.on('message', (message: WorkOrder | 'stop') => {
  const doing = message === 'stop' ? stop() : work(message);
  doing.catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`, () => process.exit(1));
  });
});

async function work({ runId, recordings, store, folder, worker, pace, seed, leaseMs }: WorkOrder): Promise<void> {
  const journal = new ExecutionJournal(folder, { worker, pid: process.pid });
  holdfast = await createHoldfast({
    agents: replayAgents({ runId, recordings: JSON.parse(readFileSync(recordings, 'utf8')) as readonly Recording[], journal, pace, seed }),
    store,
    worker: workerTuning(leaseMs),
    log: (level, event, fields) => journal.note(level, event, JSON.stringify(fields)),
  });
  journal.note('info', 'ready', holdfast.worker?.id ?? '');
  const ready: WorkerMessage = { kind: 'ready', worker };
  process.send?.(ready);
}

async function stop(): Promise<void> {
  await holdfast?.close();
  process.exit(0);
}
