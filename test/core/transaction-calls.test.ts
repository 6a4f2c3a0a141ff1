import { expect, it } from 'vitest';
import { callPart, PureSession, rulesWith } from '../support/pure-session.ts';

/** `order` writes in the transaction that stores its outcome. */
const rules = rulesWith({
  tools: new Map([
    ['look', { recovery: 'rerun', exclusive: false, stopAfter: false }],
    ['order', { recovery: 'rerun', exclusive: false, stopAfter: false, inTransaction: true }],
  ]),
});

it('a call in a transaction runs again after its worker\'s death, without a record that it began', () => {
  const pure = new PureSession({ text: 'hello' }, rules);
  pure.claim();
  pure.generated([callPart(0, 'order')]);
  expect(pure.session.turn?.lastStep?.openCalls[0]).not.toHaveProperty('dispatchedFence');
  expect(pure.takeOver()).toBe(null);
  expect(pure.work).toMatchObject({ kind: 'run-calls', run: [{ index: 0 }], probe: [] });
});

it('of a turn that is parked, a call in a transaction had no effect, where one that may simply run again may have had one', () => {
  const pure = new PureSession({ text: 'hello' }, rules);
  pure.claim();
  pure.generated([callPart(0, 'order'), callPart(1, 'look')]);
  for (let crash = 1; crash <= 5; crash += 1) pure.takeOver();
  expect(pure.last('turn-ended')).toMatchObject({ error: { code: 'poisoned' } });
  expect(pure.last('tool-results')?.results.map(({ outcome, mayHaveRun }) => [outcome, mayHaveRun])).toEqual([['stopped', undefined], ['unknown', undefined]]);
});
