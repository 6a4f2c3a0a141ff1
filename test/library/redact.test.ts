import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tool, type EntryKind } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { calling, ofKind, runTurn, type EndedTurn } from '../support/run-turn.ts';
import { stores } from '../support/stores.ts';

const secret = 'the secret';

function secretTool(background: 'await' | 'detach', after?: Promise<unknown>) {
  return tool({ inputSchema: z.object({}), background, recovery: 'rerun', execute: async () => (await after, secret) });
}

/** Where it is still said, of all that can be read of the session. */
async function saidIn({ session, holdfast }: EndedTurn): Promise<readonly string[]> {
  const places: Readonly<Record<string, unknown>> = {
    log: await session.entries({ limit: 500 }), messages: await session.messages(), operations: await session.operations(), row: await holdfast.store.readSession({ tenant: 'default', id: session.id }),
  };
  return Object.entries(places).flatMap(([place, said]) => (JSON.stringify(said).includes(secret) ? [place] : []));
}

describe.each(stores)('what was said before, on $name', ({ newUrl }) => {
  it('is in no prompt any more once it is redacted, also in the middle of a turn', async () => {
    let redacts = async (): Promise<unknown> => null;
    const look = tool({ inputSchema: z.object({}), recovery: 'rerun', execute: async () => (await redacts(), 'seen') });
    const turn = await runTurn({ store: await newUrl(), tools: { look }, script: [secret, calling(['look']), 'done'] });
    const [said] = ofKind(turn.entries, 'assistant-step');
    redacts = async () => turn.session.redact(said?.seq ?? 0);
    await (await turn.session.send('and now?')).result;
    expect(turn.model.calls.map(({ prompt }) => JSON.stringify(prompt).includes(secret))).toEqual([false, true, false]);
  });
});

describe.each(stores)('what was asked of a summary, on $name', ({ newUrl }) => {
  it.each<EntryKind>(['turn-started', 'history-compacted'])('is nowhere once it is redacted, whether its %s is named', async (kind) => {
    const turn = await runTurn({ store: await newUrl(), script: ['hello', `with ${secret}`] });
    await (await turn.session.compact({ instructions: `keep ${secret}` })).result;
    const named = (await turn.session.entries()).find((entry) => entry.kind === kind);
    expect(await saidIn(turn)).toEqual(['log']);
    await turn.session.redact(named?.seq ?? 0);
    expect(await saidIn(turn)).toEqual([]);
  });
});

describe.each(stores)('what an operation came to, once redacted ($name)', ({ newUrl }) => {
  it.each<EntryKind>(['operation-ended', 'operation-result'])('is nowhere, whether its %s is named', async (kind) => {
    const ended = Promise.withResolvers<void>();
    const turn = await runTurn({ store: await newUrl(), tools: { look: secretTool('detach', ended.promise) }, script: [calling(['look']), 'begun', 'noted'] });
    ended.resolve();
    await eventually('the model to be given it', async () => ofKind(await turn.session.entries(), 'turn-ended').length === 2);
    const named = (await turn.session.entries({ limit: 500 })).find((entry) => entry.kind === kind);
    expect(await saidIn(turn)).not.toEqual([]);
    await turn.session.redact(named?.seq ?? 0);
    expect(await saidIn(turn)).toEqual([]);
  });

  it('is nowhere, when its call waited for it and the results of the step are named', async () => {
    const turn = await runTurn({ store: await newUrl(), tools: { look: secretTool('await') }, script: [calling(['look']), 'done'] });
    expect(await saidIn(turn)).not.toEqual([]);
    await turn.session.redact(ofKind(turn.entries, 'tool-results')[0]?.seq ?? 0);
    expect(await saidIn(turn)).toEqual([]);
  });
});
