import { expect } from 'vitest';
import { isLive, type OperationView } from '../../src/core/operation.ts';
import type { PauseInput, PauseRequest } from '../worker/children/pause-agent.ts';
import { eventually } from './eventually.ts';
import type { AskedSession, Watcher } from './paused-sessions.ts';
import { ofKind } from './run-turn.ts';

/** An operation under each recovery, whatever its probe finds, awaited and detached. */
export const operationKinds = [
  ['rerun', {}], ['keyed', {}], ['report', {}], ['probe', { finding: 'ran' }], ['probe', { finding: 'not' }], ['probe', { finding: 'unknown' }],
  ['rerun', { detached: true }], ['report', { detached: true }],
] as const satisfies PauseRequest['calls'];

export type OperationKind = (typeof operationKinds)[number];

/** Where an operation was when its worker died, as its row and the journal of real runs say. */
export type AtDeath = 'not-begun' | 'running' | 'ended';

export interface Witness {
  readonly kind: OperationKind;
  readonly asked: AskedSession;
  readonly atDeath: AtDeath;
  readonly runsBefore: number;
  /** How it had ended. */
  readonly status: OperationView['status'] | undefined;
}

/** What is known of an operation right after the death of the one worker there was. No run of its tool can have begun that its row does not name (G6). */
export async function witness(watcher: Watcher, kind: OperationKind, asked: AskedSession): Promise<Witness> {
  const [operation] = (await asked.session.operations()).items;
  const runsBefore = watcher.begun(asked.session).length;
  expect(operation?.attempts ?? 0).toBeGreaterThanOrEqual(runsBefore);
  const isOver = operation !== undefined && !isLive(operation);
  return { kind, asked, runsBefore, atDeath: isOver ? 'ended' : operation?.status === 'running' ? 'running' : 'not-begun', status: isOver ? operation.status : undefined };
}

interface Expected {
  readonly status: OperationView['status'];
  readonly attempts: number;
  readonly runsAfter: number;
}

function expectedOf({ kind: [tool, input], atDeath, status }: Witness): Expected {
  const { finding }: PauseInput = input;
  if (atDeath === 'ended') return { status: status ?? 'unknown', attempts: 1, runsAfter: 0 };
  if (atDeath === 'not-begun') return { status: 'succeeded', attempts: 1, runsAfter: 1 };
  if (tool === 'report') return { status: 'unknown', attempts: 1, runsAfter: 0 };
  if (finding === 'unknown') return { status: 'unknown', attempts: 2, runsAfter: 0 };
  return { status: 'succeeded', attempts: 2, runsAfter: finding === 'ran' ? 0 : 1 };
}

/** Waits until another worker has brought the session to rest, and holds what became of the operation against what its recovery says. */
export async function checkRecovered(watcher: Watcher, seen: Witness): Promise<void> {
  const { kind: [tool, input], asked: { session, turn, operation }, runsBefore } = seen;
  const { detached, finding }: PauseInput = input;
  const { status, attempts, runsAfter } = expectedOf(seen);
  expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
  // In this order: the commit that ends a detached operation opens the turn with its result.
  await eventually('the session to rest', async () => !isLive(await operation()) && (await session.get()).status === 'idle');
  const entries = await session.entries();
  const about = `${tool} ${JSON.stringify(input)}, ${seen.atDeath} when its worker died`;
  expect(await operation(), about).toMatchObject({ status, attempts });
  const runs = watcher.begun(session);
  expect(runs.length - runsBefore, about).toBe(runsAfter);
  expect(new Set(runs.map(({ callKey }) => callKey)).size, about).toBeLessThanOrEqual(1);
  expect(ofKind(entries, 'operation-started'), about).toHaveLength(1);
  expect(ofKind(entries, 'operation-ended'), about).toMatchObject([{ status }]);
  const outcome = status === 'succeeded' ? 'done' : 'unknown';
  const results = detached === true ? ofKind(entries, 'operation-result').map(({ result }) => result) : (ofKind(entries, 'tool-results')[0]?.results ?? []);
  expect(results, about).toMatchObject([{ outcome }]);
  if (outcome === 'done') expect(results[0]?.output, about).toBe(`${finding === 'ran' && seen.atDeath === 'running' ? 'found' : `${tool} by`} ${session.id}/${ofKind(entries, 'assistant-step')[0]?.seq}/0`);
  expect(ofKind(entries, 'turn-ended'), about).toHaveLength(detached === true && ofKind(entries, 'turn-started').length > 0 ? 2 : 1);
  expect(ofKind(entries, 'late-result'), about).toEqual([]);
}
