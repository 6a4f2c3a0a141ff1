import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import { seededRandom } from '../../src/testing/fake-system.ts';
import { startChild } from '../support/child-process.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { seedOf } from '../support/seed.ts';
import { stores } from '../support/stores.ts';
import { walkingAgent } from './children/walking-agent.ts';

/** More of them: `HOLDFAST_NODE_KILLS=50 npm run vitest -- test/worker/node-kills.test.ts`. */
const kills = Number(process.env['HOLDFAST_NODE_KILLS'] ?? 2);
const sessions = 8;

/** Each call that is done has moved the conversation, in the commit of its result, and no other one has. */
function expectMovesWithResults(entries: readonly Entry[], sessionId: string): { readonly moves: number; readonly cut: number } {
  const done = ofKind(entries, 'tool-results').flatMap(({ seq, stepSeq, atMs, results }) => results.map(({ index, outcome }) => ({ seq, atMs, outcome, callKey: `${sessionId}/${stepSeq}/${index}` })));
  const moved = ofKind(entries, 'node-entered').filter(({ by }) => by === 'tool');
  expect(moved.map(({ callKey, atMs }) => ({ callKey, atMs }))).toEqual(done.filter(({ outcome }) => outcome === 'done').map(({ callKey, atMs }) => ({ callKey, atMs })));
  // Result, state, node: nothing comes between what is one commit.
  for (const { seq } of done.filter(({ outcome }) => outcome === 'done')) expect(entries.slice(seq - 1, seq + 2).map(({ kind }) => kind)).toEqual(['tool-results', 'state-changed', 'node-entered']);
  expect(done.filter(({ outcome }) => outcome !== 'done' && outcome !== 'unknown')).toEqual([]);
  return { moves: moved.length, cut: done.filter(({ outcome }) => outcome === 'unknown').length };
}

describe.each(stores)('the worker of a walking agent, killed at random points on $name', ({ name, newUrl }) => {
  it('never moves the node without the result, nor reports the result without the move', { timeout: 600_000 }, async () => {
    const random = seededRandom(seedOf(`walks killed on ${name}`));
    const url = await newUrl();
    const watching = await openHoldfast({ agents: [walkingAgent()], store: url, worker: false });
    const walkers = await Promise.all(Array.from({ length: sessions }, () => watching.sessions.create({ agent: 'walker' })));
    const config = { url, leaseMs: name === 'sqlite' ? 20_000 : 600 };
    let worker = startChild('test/worker/children/walking-process.ts', config);
    await worker.hears('ready');
    for (let kill = 0; kill < kills; kill += 1) {
      const turns = await Promise.all(walkers.map((session, place) => session.send((kill + place) % 2 === 0 ? 'again' : 'once')));
      await pause(random() * 60);
      await worker.signal('SIGKILL');
      worker = startChild('test/worker/children/walking-process.ts', config);
      await worker.hears('ready');
      for (const turn of turns) expect((await turn.result).reason).toBe('complete');
    }
    let [moves, cut] = [0, 0];
    for (const session of walkers) {
      const entries = await session.entries();
      const found = expectMovesWithResults(entries, session.id);
      moves += found.moves;
      cut += found.cut;
      expect((await session.get()).node).toBe(found.moves % 2 === 0 ? 'here' : 'there');
      expect((await session.state.get('conversation', 'walks'))?.value ?? 0).toBe(found.moves);
    }
    console.log(`${name}: ${kills} kills, ${moves} walks taken, ${cut} cut off and unknown`);
    expect(moves + cut).toBe(kills * sessions);
  });
});
