import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import { foldSegment, streamedPartsOf, type StreamedPart } from '../../src/core/stream-parts.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { startChild } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { knowledge, record, type Recording } from '../support/feed-recording.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { stores } from '../support/stores.ts';
import { probeAgent, silentPort } from '../worker/children/probe-agent.ts';

const sessions = 10;
const stopsEach = 20;

describe.each(stores)('stop on $name (G9)', (kind) => {
  it(`${sessions * stopsEach} times from a second process, while a third follows: what was shown is kept, and nothing later overtakes it`, async () => {
    const seed = Number(process.env['HOLDFAST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`HOLDFAST_SEED=${seed}`);
    const [path, url] = [await temporaryDatabase(), await kind.newUrl()];
    const holdfast = await openHoldfast({ agents: [probeAgent(silentPort)], store: url, worker: false });
    const followed: { readonly session: SessionHandle; readonly recording: Recording }[] = [];
    for (let count = 0; count < sessions; count += 1) {
      const session = await holdfast.sessions.create({ agent: 'probe' });
      followed.push({ session, recording: record(session) });
    }
    const worker = startChild('test/worker/children/worker-process.ts', { path, url, leaseMs: 20_000, waits: [] });
    await worker.hears('ready');
    const sender = startChild('test/feed/children/stop-sender.ts', { url, seed, sessionIds: followed.map(({ session }) => session.id), stopsEach });
    await sender.hears('done');
    const stops = sender.said.filter(({ event }) => event === 'stop') as unknown as readonly StopSaid[];
    expect(stops.length).toBeGreaterThanOrEqual(sessions * stopsEach);

    let stoppedTurns = 0;
    let stoppedInText = 0;
    for (const { session, recording } of followed) {
      await eventually('the queue to be worked off', async () => ['idle', 'failed'].includes((await session.get()).status));
      const entries = await logOf(session);
      await eventually('the follower to see the end', () => recording.events.some((event) => event.type === 'entry' && event.entry.seq === entries.length));
      expect(recording.events.flatMap((event) => (event.type === 'entry' ? [event.entry] : []))).toEqual(entries);
      checkTurns(entries);
      checkShown(entries, recording);
      checkAcknowledged(entries, stops.filter(({ sessionId }) => sessionId === session.id));
      expect(knowledge(recording.events)).toMatchObject({ live: null, status: 'idle' });
      stoppedTurns += ofKind(entries, 'turn-ended').filter(({ reason }) => reason === 'stopped').length;
      stoppedInText += ofKind(entries, 'assistant-step').filter(({ stopped, parts }) => stopped === true && parts.some(({ type }) => type === 'text')).length;
    }
    console.log(`${stoppedTurns} turns stopped, ${stoppedInText} of them in the middle of shown text`);
    expect(stoppedTurns).toBeGreaterThan(100);
    expect(stoppedInText).toBeGreaterThan(20);
  }, 60_000);
});

interface StopSaid {
  readonly sessionId: string;
  readonly stopped: boolean;
  readonly turnId: string | null;
  readonly revision: number;
  readonly turnIdAfterwards: string | null;
}

async function logOf(session: SessionHandle): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (;;) {
    const page = await session.entries({ afterSeq: entries.length });
    entries.push(...page);
    if (page.length === 0) return entries;
  }
}

/** Every turn has exactly one end, and nothing of it comes after that; what its last attempt used may become known later, and changes nothing of it. */
function checkTurns(entries: readonly Entry[]): void {
  const ended = new Map<string, number>();
  for (const entry of entries) {
    if (!('turnId' in entry) || entry.kind === 'late-usage') continue;
    expect(ended.get(entry.turnId), `${entry.kind} at ${entry.seq} of turn ${entry.turnId}`).toBeUndefined();
    if (entry.kind === 'turn-ended') ended.set(entry.turnId, entry.seq);
  }
  const opened = ofKind(entries, 'user-message').map(({ turnId }) => turnId);
  expect(new Set(opened).size).toBe(opened.length);
  expect([...ended.keys()].sort()).toEqual([...opened].sort());
  for (const { turnId } of ofKind(entries, 'message-queued')) expect(opened).toContain(turnId);
}

/** What a follower was shown of an attempt is what its step holds, and none of it comes after the end of the turn. */
function checkShown(entries: readonly Entry[], { events }: Recording): void {
  const shown = new Map<string, readonly StreamedPart[]>();
  const ended = new Set<string>();
  for (const event of events) {
    if (event.type === 'entry' && event.entry.kind === 'turn-ended') ended.add(event.entry.turnId);
    expect(event.type).not.toBe('chunk-retracted');
    if (event.type !== 'chunk') continue;
    expect(ended.has(event.turnId), `a chunk of turn ${event.turnId} after its end`).toBe(false);
    shown.set(event.attemptId, event.segments.reduce(foldSegment, shown.get(event.attemptId) ?? []));
  }
  const steps = new Map(ofKind(entries, 'assistant-step').map((step) => [step.attempt.id, streamedPartsOf(step)]));
  for (const [attemptId, parts] of shown) expect(parts).toEqual(steps.get(attemptId));
}

/** When a stop was acknowledged its turn was over, in the log and in the session. */
function checkAcknowledged(entries: readonly Entry[], stops: readonly StopSaid[]): void {
  for (const { stopped, turnId, revision, turnIdAfterwards } of stops) {
    expect(stopped).toBe(turnId !== null);
    if (turnId === null) continue;
    const end = ofKind(entries, 'turn-ended').find((entry) => entry.turnId === turnId);
    expect(end).toMatchObject({ reason: 'stopped' });
    expect(end?.seq).toBeLessThanOrEqual(revision);
    expect(turnIdAfterwards).not.toBe(turnId);
  }
}
