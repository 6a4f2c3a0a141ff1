import { expect, test } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { WorkerLease } from '../../src/worker/lease.ts';

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

/** A clock whose timers all fire at one moment, as they do in a process that was kept from running. */
function lateClock() {
  let nowMs = 0;
  let timers: Timer[] = [];
  return {
    clock: {
      nowMs: () => nowMs,
      monotonicMs: () => nowMs,
      after: (delayMs: number, callback: () => void) => {
        const timer = { atMs: nowMs + delayMs, callback };
        timers.push(timer);
        return () => { timers = timers.filter((other) => other !== timer); };
      },
      soon: (callback: () => void) => queueMicrotask(callback),
    },
    wakeAt(ms: number): void {
      nowMs = ms;
      const due = timers.filter(({ atMs }) => atMs <= ms).toSorted((left, right) => left.atMs - right.atMs);
      for (const timer of due) {
        if (!timers.includes(timer)) continue;
        timers = timers.filter((other) => other !== timer);
        timer.callback();
      }
    },
  };
}

function setup() {
  const time = lateClock();
  const renewals: ReturnType<typeof Promise.withResolvers<Awaited<ReturnType<Store['renewWorker']>>>>[] = [];
  const store = {
    capabilities: { processLocks: false, durable: true, transactions: false },
    migrate: () => Promise.resolve(),
    registerWorker: () => Promise.resolve(),
    retireWorker: () => Promise.resolve(),
    findDeadWorkers: () => Promise.resolve({ dead: [], nextEndMs: null }),
    renewWorker: () => {
      const renewal = Promise.withResolvers<Awaited<ReturnType<Store['renewWorker']>>>();
      renewals.push(renewal);
      return renewal.promise;
    },
  } as unknown as Store;
  let minted = 0;
  const system = { clock: time.clock, ids: { mint: () => `wrk_${(minted += 1)}`, secret: () => 'secret' }, random: { next: () => 0.5 } };
  let lost = 0;
  const lease = new WorkerLease({ store, system, leaseMs: 1_000, agents: [], log: () => undefined }, { onLost: () => { lost += 1; }, runs: () => [], onHeld: () => undefined, onCheck: async () => undefined, onRenewed: () => undefined, onDead: () => undefined, onOutdated: () => undefined });
  return { time, renewals, lease, lostCount: () => lost };
}

test('a process that wakes after two thirds of its lease renews it and keeps its work', async () => {
  const { time, renewals, lease, lostCount } = setup();
  await lease.start();
  time.wakeAt(700);
  expect([lostCount(), renewals.length]).toEqual([0, 1]);
  renewals[0]?.resolve({ held: [], outdated: false });
  // All that follows from the renewal is done.
  await new Promise((resolve) => setImmediate(resolve));
  time.wakeAt(850);
  expect([lostCount(), lease.held]).toEqual([0, true]);
});

test('a renewal that does not come back before the lease ends stops the process', async () => {
  const { time, renewals, lease, lostCount } = setup();
  await lease.start();
  time.wakeAt(700);
  expect(renewals.length).toBe(1);
  time.wakeAt(840);
  expect([lostCount(), lease.held]).toEqual([1, false]);
});

test.each(['lost', { held: [], outdated: false }] as const)('a renewal that comes back after the process has taken a new id says nothing of that', async (answer) => {
  const { time, renewals, lease, lostCount } = setup();
  await lease.start();
  time.wakeAt(700);
  time.wakeAt(840);
  time.wakeAt(841);
  await new Promise((resolve) => setImmediate(resolve));
  expect([lease.id, lease.held, lostCount()]).toEqual(['wrk_2', true, 1]);
  time.wakeAt(1_100);
  renewals[0]?.resolve(answer);
  await new Promise((resolve) => setImmediate(resolve));
  time.wakeAt(1_101);
  expect([lease.id, lease.held, lostCount()]).toEqual(['wrk_2', true, 1]);
});
