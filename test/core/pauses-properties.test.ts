import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acceptQueueRelease } from '../../src/core/accept/queue.ts';
import { acceptSend } from '../../src/core/accept/send.ts';
import { acceptSettings } from '../../src/core/accept/settings.ts';
import { entryFormats } from '../../src/core/entry-format.ts';
import { isLive } from '../../src/core/operation.ts';
import { dueAtMs, openActions } from '../../src/core/session.ts';
import { seen } from '../support/pause-checks.ts';
import { drawFrom, pauseHappenings, PauseWorld, type PauseHappening } from '../support/pause-world.ts';
import { givenAnswer, textPart } from '../support/pure-session.ts';
import { seedOf } from '../support/seed.ts';

/** More of them: `HOLDFAST_PAUSES_RUNS=5000 npm run vitest -- test/core/pauses-properties.test.ts`. */
const numRuns = Number(process.env['HOLDFAST_PAUSES_RUNS'] ?? 1_200);
const runs = { seed: seedOf('pauses'), numRuns };

const weights: Readonly<Record<PauseHappening['kind'], number>> = {
  claim: 10, die: 4, generate: 14, work: 24, join: 3, leave: 3, resolve: 16, operate: 14, send: 4, move: 4, stop: 2, queue: 2, archive: 1, end: 1, deploy: 1, wait: 3,
};

const kinds = (Object.keys(weights) as PauseHappening['kind'][]).map((kind) => ({ weight: weights[kind], arbitrary: fc.constant(kind) }));
const histories = fc.tuple(fc.nat(999), fc.array(fc.record({ kind: fc.oneof(...kinds), pick: fc.nat(999_999) }), { minLength: 60, maxLength: 160, size: 'max' }));

function live(world: PauseWorld): readonly string[] {
  return [...world.pure.operations.values()].filter(isLive).map(({ id }) => id);
}

/** Whether nothing is left to be done. */
function rests(world: PauseWorld): boolean {
  const { session, deleted } = world.pure;
  return deleted || (session.turn === null && live(world).length === 0);
}

/** One step of a world in which nothing goes wrong any more: somebody works, answers, waits until something is due, or takes over what the faults have left. */
function calmStep(world: PauseWorld, step: number): void {
  const { pure, holder } = world;
  const calm = (below: number): number => below - 1;
  const worker = `wrk_calm_${step}`;
  const operation = live(world)[0];
  if (holder?.work?.kind === 'generate') return world.generate(holder, calm, [textPart('done')]);
  if (holder?.work?.kind === 'run-calls') {
    while (holder.waiting.length > 0) world.beginCall(holder);
    while (holder.running.length > 0) world.endCall(holder, calm);
    return world.settleResults(holder);
  }
  if (pure.session.claim !== null) world.dead.add(pure.session.claim.worker);
  if (pure.session.claim !== null || (dueAtMs(pure.session) ?? Number.POSITIVE_INFINITY) <= pure.nowMs) return void world.claim(worker);
  const asked = openActions(pure.session.turn)[0];
  if (asked !== undefined && (asked.expiresAtMs === null || asked.expiresAtMs > Math.max(pure.nowMs, pure.session.updatedAtMs))) {
    const answer = asked.type === 'client-tool' ? { type: 'result', output: 1 } as const : asked.type === 'question' ? { type: 'answer', value: 1 } as const : { type: 'approve' } as const;
    return void pure.resolve([givenAnswer(asked.id, answer)], 'ada', ['system']);
  }
  if (operation !== undefined) return world.operations.finish(operation, worker);
  pure.untilDue();
}

/** Everything comes to rest in so many steps: a step is at least one commit of one worker or person. */
const calmStepsMax = 600;

function comeToRest(world: PauseWorld): number {
  for (let step = 0; step < calmStepsMax; step += 1) {
    if (rests(world)) return step;
    calmStep(world, step);
  }
  throw new Error(`the session does not come to rest: ${JSON.stringify(world.pure.session)}`);
}

function run([pick, history]: readonly [number, readonly PauseHappening[]]): PauseWorld {
  const world = new PauseWorld(pick);
  for (const { kind, pick: which } of history) pauseHappenings[kind](world, drawFrom(which));
  world.settleDown();
  return world;
}

describe('whatever happens to a turn that waits', () => {
  let longest = 0;

  it('each call has one outcome, each action is consumed once, nothing is silently done twice, nobody is stuck, and all comes to rest', () => {
    fc.assert(fc.property(histories, (history) => {
      const world = run(history);
      longest = Math.max(longest, comeToRest(world));
      const { pure, checks } = world;
      if (pure.deleted || pure.session.ended) return;
      // What waited for the model is given to it with the next turn, unless it belongs to a branch that was left.
      pure.command(acceptSettings({ archived: false }));
      pure.command(acceptSend({ message: pure.message('and now?'), whenBusy: 'queue' }));
      pure.command(acceptQueueRelease());
      comeToRest(world);
      expect([checks.undelivered(), pure.session.deliveries, pure.session.queue]).toEqual([[], [], []]);
    }), runs);
    console.log(`pauses: at most ${longest} steps to rest; ${[...seen].map(([what, times]) => `${what} ${times}`).join(', ')}`);
  }, 600_000);

  it.each([
    ...Object.keys(entryFormats).filter((kind) => !['title-set', 'metadata-set', 'owner-changed', 'entry-redacted', 'state-changed', 'late-usage', 'budget-exhausted', 'node-entered', 'context-injected', 'history-compacted', 'labels-wanted', 'summary-set', 'label-failed', 'simulator-set', 'user-simulated'].includes(kind)),
    ...['approval', 'client-tool', 'question', 'recovery'].map((type) => `asked: ${type}`),
    ...['approved', 'denied', 'result', 'error', 'answered', 'expired', 'withdrawn'].map((resolution) => `resolved: ${resolution}`),
    ...['succeeded', 'failed', 'cancelled', 'unknown'].map((status) => `operation: ${status}`),
    ...['done', 'failed', 'denied', 'expired', 'stopped', 'stopped, may have run', 'unknown'].map((outcome) => `outcome: ${outcome}`),
    ...['rerun-keyed', 'probe', 'allowed'].map((how) => `given out again: ${how}`),
    // That a result is given after its branch was restored is too rare to be counted on here: see test/library/history.test.ts.
    'outcome kept', 'steered', 'given in two branches', 'prompt', 'claim without work', 'deleted',
  ])('there was: %s', (what) => {
    expect(seen.get(what) ?? 0).toBeGreaterThan(0);
  });
});
