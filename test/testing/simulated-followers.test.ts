import { expect, it } from 'vitest';
import { emptyFeedView, type FeedEvent } from '../../src/core/feed-event.ts';
import type { Tail } from '../../src/store/store.ts';
import { followersKnowAll, onlyOwnersFollow } from '../../src/testing/simulation/checks/follower-checks.ts';
import { onlyStoredIsHeard } from '../../src/testing/simulation/checks/heard-checks.ts';
import { hooksAreTold, hooksHaveTheirEvent } from '../../src/testing/simulation/checks/hook-checks.ts';
import { versionIn } from '../../src/testing/simulation/engine-version.ts';
import { EventFrames } from '../../src/testing/simulation/event-frames.ts';
import { hear, type FollowedView } from '../../src/testing/simulation/followed-view.ts';
import { sourcesOf } from '../support/previous-version.ts';
import { runSeeds, type SeedsOptions } from '../support/simulated-seeds.ts';

const checks = [onlyStoredIsHeard, followersKnowAll, onlyOwnersFollow, hooksAreTold, hooksHaveTheirEvent];
/** Seeds in which a planted fault is found. */
const seeds = 60;

/** Every process's reads of a session's end are changed. */
function reading(change: (tail: Tail) => Tail): NonNullable<SeedsOptions['plant']> {
  return {
    readTail: (store) => async (ref, from) => {
      const tail = await store.readTail(ref, from);
      return tail === null ? null : change(tail);
    },
  };
}

it('those who follow through cuts, deaths and deploys know at rest what a new follower hears, and hooks are told of everything', async () => {
  const { met, violation } = await runSeeds({ checks, seeds: 20 });
  expect(violation).toBeNull();
  expect(met.weathers.followersCut).toBeGreaterThan(0);
  expect(met.weathers.hooksFail).toBeGreaterThan(0);
});

it('the same seed is the same run, followers and hooks included', async () => {
  const traces = [[], []] as string[][];
  for (const lines of traces) await runSeeds({ checks, seeds: 3, trace: (line) => lines.push(line) });
  expect(traces[0]?.filter((line) => line.includes(' hears ')).length).toBeGreaterThan(50);
  expect(traces[0]).toEqual(traces[1]);
});

it('a feed that leaves out an entry is found', async () => {
  const { violation } = await runSeeds({ checks, seeds, plant: reading((tail) => ({ ...tail, entries: tail.entries.filter(({ kind }) => kind !== 'tool-results') })) });
  expect(violation).toMatchObject({ guarantee: 'G5' });
  expect(violation?.what).toMatch(/after entry \d+ comes entry \d+/);
});

it('live output that nobody stored is found', async () => {
  const { violation } = await runSeeds({ checks: [onlyStoredIsHeard], seeds, plant: reading((tail) => ({ ...tail, chunks: tail.chunks.map((chunk) => ({ ...chunk, text: `${chunk.text}!` })) })) });
  expect(violation?.guarantee).toBe('G5');
  expect(violation?.what).toMatch(/hears ".*!" at/);
});

it('a state that is told to those who follow live and to nobody who comes back is found at rest', async () => {
  const { violation } = await runSeeds({
    checks: [followersKnowAll], seeds,
    plant: reading((tail) => (tail.entries.length > 1 ? tail : { ...tail, session: { ...tail.session, queueHeld: !tail.session.queueHeld } })),
  });
  expect(violation?.guarantee).toBe('G5');
  expect(violation?.what).toMatch(/at rest/);
});

it('a stream that goes on after its session was given away is found', async () => {
  const { violation } = await runSeeds({ checks: [onlyOwnersFollow], seeds: 300, plant: { readSession: (store) => ({ tenant, id }) => store.readSession({ tenant, id }) } });
  expect(violation?.guarantee).toBe('G13');
});

it('hooks that nobody calls again after a death or a failure are found', async () => {
  const { violation } = await runSeeds({ checks: [hooksAreTold], seeds, plant: { readOutbox: () => async () => [] } });
  expect(violation?.guarantee).toBe('G3');
  expect(violation?.what).toMatch(/no hook was told of/);
});

it('a step that is committed other than it was shown, and a chunk of an attempt that is over, are found', () => {
  const events = [
    { type: 'chunk', position: '0.att_1.2', attemptId: 'att_1', turnId: 'turn_1', segments: [{ part: 0, type: 'text', offset: 0, text: 'so' }] },
    { type: 'entry', position: '1', entry: { kind: 'assistant-step', seq: 1, attempt: { id: 'att_1' }, parts: [{ type: 'text', text: 'no' }], stopped: true } },
  ] as unknown as readonly [FeedEvent, FeedEvent];
  const nothing: FollowedView = { from: null, view: emptyFeedView };
  const shown = hear(nothing, events[0]) as FollowedView;
  expect(hear(shown, events[1])).toMatchObject({ violates: 'G9', what: 'att_1 was shown as ["so"] and is committed in entry 1 as ["no"]' });
  expect(hear(hear(nothing, events[1]) as FollowedView, events[0])).toMatchObject({ violates: 'G9', what: 'a chunk of att_1 comes after entry 1, which ends it' });
});

it('frames are read out of bytes that are cut anywhere, comments left out', () => {
  const bytes = new TextEncoder().encode('retry: 2000\n\n: heartbeat\n\nid: 1\nevent: entry\ndata: {"text":"ä: 1"}\n\nid: 2\ndata: {"cut');
  for (let at = 0; at <= bytes.length; at += 1) {
    const frames = new EventFrames();
    const read = [...frames.of(bytes.subarray(0, at)), ...frames.of(bytes.subarray(at))].filter((frame) => Object.keys(frame).length > 0);
    expect(read).toEqual([{ retry: '2000' }, { id: '1', event: 'entry', data: '{"text":"ä: 1"}' }]);
  }
});

it('processes of the version before and of this one share a store through everything that goes wrong', async ({ skip }) => {
  const sources = await sourcesOf('The frame of a simulation: virtual time');
  if ('missing' in sources) return skip(sources.missing);
  const { met, violation } = await runSeeds({ checks, seeds: 8, previousVersion: await versionIn(sources.folder) });
  expect(violation).toBeNull();
  expect(met.previousVersions).toBeGreaterThan(8);
});
