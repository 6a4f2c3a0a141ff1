import { expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import type { System } from '../../src/core/system.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { realSystem } from '../../src/system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { stores } from '../support/stores.ts';

const one = () => agent({ name: 'one', model: scriptedModel([], { otherwise: 'hello' }) });

/** The machine's, but for what looks now and then: it never does. */
function withoutPolls(): System {
  const system = realSystem();
  return { ...system, clock: { ...system.clock, after: (delayMs, callback) => (delayMs > 500 ? () => undefined : system.clock.after(delayMs, callback)) } };
}

/** The turn has ended, and the process that asks has heard all that there is to hear of it. */
async function endedElsewhere({ store }: Holdfast, session: SessionHandle, url: string): Promise<void> {
  await eventually('the other process to end it', async () => (await session.get()).status === 'idle');
  let heard = 0;
  store.onChange(({ elsewhere }) => { if (elsewhere) heard += 1; });
  await eventually('the hints from before to have come', () => store.name === 'sqlite' || store.hearsOthers);
  const third = await openHoldfast({ agents: [one()], store: url, worker: false });
  for (let count = 1; count <= 2; count += 1) {
    await third.sessions.create({ agent: 'one' });
    await eventually('the hint of what came after it', () => heard >= count);
  }
}

it.each(stores)('a turn that another process has ended before anybody asked for its result is given at once ($name)', async ({ newUrl }) => {
  const store = await newUrl();
  const asking = await openHoldfast({ agents: [one()], store, worker: false, system: withoutPolls() });
  await openHoldfast({ agents: [one()], store, worker: { pollMs: 20 } });
  const session = await asking.sessions.create({ agent: 'one', message: { text: 'go' } });
  await endedElsewhere(asking, session, store);
  expect(await session.firstTurn?.result).toMatchObject({ reason: 'complete', text: 'hello' });
});

it.each(stores)('so is one that was begun in a process that works, and ended in another ($name)', async ({ newUrl }) => {
  const store = await newUrl();
  const held = gate();
  const system = withoutPolls();
  const first = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([[{ gate: held }]]) })], store, system, worker: { runsMax: 1 } });
  await first.sessions.create({ agent: 'one', message: { text: 'keeps the one place' } });
  await held.reached;
  const session = await first.sessions.create({ agent: 'one', message: { text: 'go' } });
  await openHoldfast({ agents: [one()], store, worker: { pollMs: 20 } });
  await endedElsewhere(first, session, store);
  expect(await session.firstTurn?.result).toMatchObject({ reason: 'complete', text: 'hello' });
  held.open();
});
