import { describe, expect, it } from 'vitest';
import { agent } from '../../src/agent/agent.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { userTexts } from '../support/checked-prompts.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { stores, type TestStore } from '../support/stores.ts';

async function open(kind: TestStore, script: readonly ScriptedGeneration[] = []) {
  const model = scriptedModel(script, { otherwise: 'yes' });
  const holdfast = await openHoldfast({ agents: [agent({ name: 'tester', model })], store: await kind.newUrl() });
  return { model, holdfast, session: await holdfast.sessions.create({ agent: 'tester' }) };
}

describe.each(stores)('a message that only the model sees, on $name', (kind) => {
  it('is answered, and in no transcript, preview or mark of who reads the conversation', async () => {
    const { model, session } = await open(kind);
    expect(await (await session.send({ text: 'hidden hint', visibility: 'model' })).result).toMatchObject({ reason: 'complete', text: 'yes' });
    expect(userTexts(model.calls[0]?.prompt ?? [])).toEqual(['hidden hint']);
    const { items } = await session.messages();
    expect(items.map(({ role }) => role)).toEqual(['assistant']);
    expect((await session.get()).preview).toBe(null);
    await (await session.send('shown')).result;
    expect((await session.get()).preview).toBe('shown');
    expect(ofKind(await session.entries(), 'user-message')[0]).toMatchObject({ visibility: 'model' });
  });

  it('stays so when it waits, is edited in the queue, joins a turn, is said again, and is copied', async () => {
    const held = gate();
    const { model, session } = await open(kind, [[{ gate: held }, { text: 'first' }]]);
    const running = await session.send('go');
    await model.called(0);
    const joins = await session.send({ text: 'joins', visibility: 'model', whenBusy: 'steer' });
    const waits = await session.send({ text: 'waits', visibility: 'model' });
    const edited = await session.send('will be hidden');
    await session.queue.edit(edited.messageId ?? '', { text: 'hidden now', visibility: 'model' });
    expect((await session.queue.list()).items.map(({ text, visibility }) => [text, visibility])).toEqual([['joins', 'model'], ['waits', 'model'], ['hidden now', 'model']]);
    await expect(session.queue.edit(edited.messageId ?? '', { text: 'x', visibility: 'user' })).rejects.toMatchObject({ code: 'invalid_request' });
    held.open();
    await Promise.all([running.result, joins.result, waits.result, edited.result]);
    await (await session.retry()).result;
    expect(userTexts(model.calls.at(-1)?.prompt ?? [])).toEqual(['go', 'joins', 'waits', 'hidden now']);
    for (const each of [session, await session.fork()]) {
      expect((await each.messages()).items.flatMap(({ role, parts }) => (role === 'user' ? parts : []))).toEqual([{ type: 'text', text: 'go', state: 'done' }]);
      expect(ofKind(await each.entries(), 'user-message').slice(-1)).toMatchObject([{ visibility: 'model', parts: [{ text: 'hidden now' }] }]);
    }
  });
});

describe.each(stores)('a note, which only people see, on $name', (kind) => {
  it('is in the conversation at once, as a turn of its own at rest, and the model never hears of it', async () => {
    const { model, session } = await open(kind);
    const note = await session.send({ text: 'Bob has joined', visibility: 'user' });
    expect(note.queued).toBe(false);
    expect(await note.result).toMatchObject({ reason: 'complete', steps: 0, messageId: note.messageId });
    expect(await session.turn({ turnId: note.id }).result).toEqual(await note.result);
    expect(model.calls).toEqual([]);
    await (await session.send('hello')).result;
    expect(userTexts(model.calls[0]?.prompt ?? [])).toEqual(['hello']);
    expect((await session.messages()).items.flatMap(({ parts }) => parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])))).toEqual(['Bob has joined', 'hello', 'yes']);
    // What is said again is what was last said to the agent.
    await session.send({ text: 'Bob has left', visibility: 'user' });
    await (await session.retry()).result;
    expect(userTexts(model.calls.at(-1)?.prompt ?? [])).toEqual(['hello']);
    await expect(session.edit(note.id, { text: 'x', visibility: 'user' })).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(session.retry({ turnId: note.id })).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('can be what a session begins with', async () => {
    const { model, holdfast } = await open(kind);
    const session = await holdfast.sessions.create({ agent: 'tester', message: { text: 'From the web site', visibility: 'user' } });
    expect((await session.firstTurn?.result)?.reason).toBe('complete');
    expect(model.calls).toEqual([]);
    expect((await session.get()).preview).toBe('From the web site');
  });

  it('goes into the turn that runs without waiting, and starts nothing there', async () => {
    const held = gate();
    const { model, session } = await open(kind, [[{ gate: held }, { text: 'first' }]]);
    const running = await session.send('go');
    await model.called(0);
    const waits = await session.send('waits');
    const note = await session.send({ text: 'a note', visibility: 'user' });
    expect([note.id, note.queued]).toEqual([running.id, false]);
    expect((await session.queue.list()).items.map(({ text }) => text)).toEqual(['waits']);
    held.open();
    expect((await running.result).steps).toBe(1);
    expect(await note.result).toEqual(await running.result);
    await waits.result;
    expect(userTexts(model.calls[1]?.prompt ?? [])).toEqual(['go', 'waits']);
    expect((await session.messages()).items.flatMap(({ role, parts }) => parts.flatMap((part) => (part.type === 'text' ? [`${role}: ${part.text}`] : [])))).toEqual(['user: go', 'user: a note', 'assistant: first', 'user: waits', 'assistant: yes']);
  });

  it('cannot be told to change a turn, and is refused like any message where it asks to be', async () => {
    const held = gate();
    const { model, session } = await open(kind, [[{ gate: held }, { text: 'first' }]]);
    for (const whenBusy of ['steer', 'interrupt', 'replace'] as const) await expect(session.send({ text: 'x', visibility: 'user', whenBusy })).rejects.toMatchObject({ code: 'invalid_request' });
    const running = await session.send('go');
    await model.called(0);
    await expect(session.send({ text: 'x', visibility: 'user', whenBusy: 'reject' })).rejects.toMatchObject({ code: 'session_busy' });
    await expect(session.send({ text: 'x', visibility: 'nobody' as never })).rejects.toMatchObject({ code: 'invalid_request' });
    held.open();
    await running.result;
  });

  it('lets what waits after a failed turn go on, as any message does', async () => {
    const held = gate();
    const { model, session } = await open(kind, [[{ gate: held }, { error: new Error('invalid api key') }]]);
    const running = await session.send('go');
    await model.called(0);
    const waits = await session.send('waits');
    held.open();
    expect((await running.result).reason).toBe('failed');
    await session.send({ text: 'a note', visibility: 'user' });
    expect((await waits.result).reason).toBe('complete');
  });
});
