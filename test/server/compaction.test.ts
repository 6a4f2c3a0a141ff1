import { describe, expect, it } from 'vitest';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { asksForSummary } from '../support/checked-prompts.ts';
import { serveHistory } from '../support/served-history.ts';

describe('compacting over HTTP', () => {
  it('is a turn of its own; the same request again has one effect; then there is nothing to compact', async () => {
    const model = scriptedModel([], { otherwise: ({ prompt }) => (asksForSummary(prompt) ? 'in short' : 'yes') });
    const session = await serveHistory({ agent: { model } });
    expect(await session.post('/compact')).toMatchObject({ status: 409, json: { code: 'nothing_to_compact' } });
    await session.say('one');
    const key = { 'idempotency-key': 'k' };
    const begun = await session.post('/compact', { instructions: 'Keep the names.' }, key);
    expect(begun).toMatchObject({ status: 202, json: { messageId: null, queued: false } });
    expect(await session.settled(begun.json.turnId)).toMatchObject({ status: 'ended', reason: 'complete', steps: 0, error: null });
    expect((await session.post('/compact', { instructions: 'Keep the names.' }, key)).json).toEqual(begun.json);
    expect(await session.post('/compact', {})).toMatchObject({ status: 409, json: { code: 'nothing_to_compact' } });
    expect(await session.post('/compact', { instructions: '' })).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect((await session.entries()).filter(({ kind }) => kind === 'history-compacted')).toMatchObject([{ summary: 'in short', instructions: 'Keep the names.' }]);
    const messages = (await session.get('/messages')).json.items as unknown as readonly { readonly role: string; readonly parts: readonly { readonly type: string }[] }[];
    expect(messages.map(({ role, parts }) => [role, parts.map(({ type }) => type)])).toEqual([['user', ['text']], ['assistant', ['step-start', 'text']], ['assistant', ['data-compaction']]]);
    expect((await session.get('')).json).toMatchObject({ status: 'idle', context: { windowTokens: 128_000 } });
  });

  it('is refused while a turn runs', async () => {
    const held = gate();
    const model = scriptedModel([[{ gate: held }, { text: 'yes' }]]);
    const session = await serveHistory({ agent: { model } });
    const { turnId } = (await session.post('/messages', { text: 'one' })).json;
    expect(await session.post('/compact')).toMatchObject({ status: 409, json: { code: 'session_busy' } });
    held.open();
    await session.settled(turnId);
  });
});

describe('a message over HTTP', () => {
  it('that only one side sees is sent with visibility, which a typo is not taken for', async () => {
    const model = scriptedModel([], { otherwise: 'yes' });
    const session = await serveHistory({ agent: { model } });
    const note = await session.post('/messages', { text: 'a note', visibility: 'user' });
    expect(note).toMatchObject({ status: 202, json: { queued: false } });
    expect(await session.settled(note.json.turnId)).toMatchObject({ reason: 'complete', steps: 0 });
    const streamed = await session.post('/messages', { text: 'another note', visibility: 'user' }, { accept: 'text/event-stream' });
    expect(streamed.text.match(/"kind":"[\w-]+"/g)).toEqual(['"kind":"user-message"', '"kind":"turn-ended"']);
    const hint = await session.post('/messages', { text: 'a hint', visibility: 'model' });
    await session.settled(hint.json.turnId);
    expect(await session.said()).toEqual(['a note', 'another note']);
    expect(JSON.stringify(model.calls.map(({ prompt }) => prompt))).not.toContain('a note');
    expect(await session.post('/messages', { text: 'x', visibility: 'both' })).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
    expect(await session.post('/messages', { text: 'x', visibility: 'user', whenBusy: 'interrupt' })).toMatchObject({ status: 400 });
  });
});
