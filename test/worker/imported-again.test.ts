import { describe, expect, it } from 'vitest';
import { agent } from '../../src/index.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { stores } from '../support/stores.ts';

describe.each(stores)('a session that was deleted and imported as it once was, on $name', ({ newUrl }) => {
  it('goes on from what it is now, also in a process that has worked on what it was', async () => {
    const model = scriptedModel([], { otherwise: 'said' });
    const holdfast = await openHoldfast({ store: await newUrl(), agents: [agent({ name: 'one', model })] });
    const session = await holdfast.sessions.create({ agent: 'one' });
    await (await session.send('first')).result;
    const lines: string[] = [];
    for await (const line of holdfast.export(session.id)) lines.push(line);
    for (let round = 1; round <= 2; round += 1) {
      for (const text of ['secret one', 'secret two']) await (await session.send(`${text} of ${round}`)).result;
      await session.delete();
      for await (const outcome of holdfast.import(lines)) expect(outcome).toMatchObject({ status: 'imported' });
    }
    for (const text of ['second', 'third', 'fourth']) {
      expect(await (await session.send(text)).result).toMatchObject({ reason: 'complete' });
      const prompt = JSON.stringify(model.calls.at(-1)?.prompt);
      expect(prompt).toContain(text);
      expect(prompt).not.toContain('secret');
    }
  });
});
