import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/testing/fake-system.ts';
import { eventually } from '../support/eventually.ts';
import { checkRecovered, operationKinds, witness, type AtDeath, type OperationKind, type Witness } from '../support/operation-oracle.ts';
import { watch, type AskedSession, type Watcher } from '../support/paused-sessions.ts';
import { seedOf } from '../support/seed.ts';
import { sqliteFiles, stores } from '../support/stores.ts';
import type { StandStill } from './children/pause-process.ts';

const timeout = 60_000;

async function askAll(watcher: Watcher, forMs: () => number = () => 0): Promise<readonly (readonly [OperationKind, AskedSession])[]> {
  return Promise.all(operationKinds.map(async (kind) => [kind, await watcher.ask([kind[0], { ...kind[1], forMs: forMs() }])] as const));
}

function witnesses(watcher: Watcher, asked: readonly (readonly [OperationKind, AskedSession])[]): Promise<readonly Witness[]> {
  return Promise.all(asked.map(([kind, each]) => witness(watcher, kind, each)));
}

describe('an operation whose worker is killed', { timeout }, () => {
  const points: readonly (readonly [StandStill, string, AtDeath, number])[] = [
    ['started', 'right after the commit that starts it', 'not-begun', 0],
    ['claimed', 'right after the commit that claims it', 'running', 0],
    ['before-end', 'right before the commit that ends it', 'running', 1],
    ['after-end', 'right after the commit that ends it', 'ended', 1],
  ];
  it.each(stores.flatMap((kind) => points.filter(([at]) => kind === sqliteFiles || at === 'claimed' || at === 'before-end').map((point) => [kind.name, ...point, kind] as const)))('on %s %s: %s, goes on by its tool\'s recovery and ends once', async (_name, standsStill, _when, atDeath, runsBefore, kind) => {
    const watcher = await watch(kind);
    // Where an operation is stopped at its start, no other look for work may find it.
    const first = watcher.worker({ standsStill, pollMs: 600_000, ...(standsStill === 'started' ? { operationsMax: 0 } : {}) });
    const asked = await askAll(watcher);
    await eventually('all to stand still', () => first.said.filter(({ event }) => event === 'stands-still').length === asked.length);
    await first.signal('SIGKILL');
    const seen = await witnesses(watcher, asked);
    expect(seen.map((each) => [each.atDeath, each.runsBefore])).toEqual(asked.map(() => [atDeath, runsBefore]));
    watcher.worker();
    for (const each of seen) await checkRecovered(watcher, each);
  });

  it('at random points, goes on by its tool\'s recovery and ends once', async () => {
    const random = seededRandom(seedOf('operations killed at random points'));
    const watcher = await watch();
    const found: Witness[] = [];
    let worker = watcher.worker({ pollMs: 30 });
    await worker.hears('ready');
    for (let kills = 0; kills < 5; kills += 1) {
      const asked = await askAll(watcher, () => Math.floor(random() * 400));
      await new Promise((resolve) => setTimeout(resolve, random() * 300));
      await worker.signal('SIGKILL');
      const seen = await witnesses(watcher, asked);
      worker = watcher.worker({ pollMs: 30 });
      for (const each of seen) await checkRecovered(watcher, each);
      found.push(...seen);
    }
    const count = (at: AtDeath): number => found.filter(({ atDeath }) => atDeath === at).length;
    console.log(`killed ${found.length} operations: ${count('not-begun')} had not begun, ${count('running')} ran, ${count('ended')} had ended`);
  });
});
