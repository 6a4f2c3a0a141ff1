import { describe, expect, it } from 'vitest';
import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { examineStore } from '../../src/cli/examine-store.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { calling, ofKind } from '../support/run-turn.ts';
import { stores } from '../support/stores.ts';

const nodes: NonNullable<AgentOptions['nodes']> = {
  hall: { transitions: ['desk', 'office', 'exit'], greeting: 'Good day.' },
  desk: { transitions: ['hall', 'exit'], greeting: 'This is the desk.' },
  office: { transitions: ['hall'], greet: true },
  exit: { greeting: 'Goodbye.', end: true },
};

async function bench(url: string, script: readonly ScriptedGeneration[] = []) {
  const model = scriptedModel(script, { otherwise: 'ok' });
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model, nodes, firstNode: 'hall' }), agent({ name: 'plain', model })], store: url });
  return { holdfast, model, session: await holdfast.sessions.create({ agent: 'one', owner: 'ada' }) };
}

async function nodeOf(session: SessionHandle): Promise<string | null> {
  return (await session.get()).node;
}

async function spoken(session: SessionHandle): Promise<readonly string[]> {
  const { items } = await session.messages({ limit: 100 });
  return items.map(({ role, parts }) => `${role}: ${parts.map((part) => ('text' in part ? part.text : part.type === 'data-node' ? `(${part.data.node})` : '')).join('')}`);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : error;
}

describe.each(stores)('nodes on $name', ({ newUrl }) => {
  it('follow rewinding, redo, editing, restoring and forking exactly', async () => {
    const url = await newUrl();
    const { session } = await bench(url, [calling(['go_to_desk']), 'at the desk', 'still here', calling(['go_to_hall']), 'back', 'instead']);
    const [first, second, third] = [await session.send('one'), await session.send('two'), await session.send('three')];
    await third.result;
    expect(await nodeOf(session)).toBe('hall');
    await session.rewind(second.id);
    expect(await nodeOf(session)).toBe('desk');
    await session.rewind(null);
    expect(await nodeOf(session)).toBe('hall');
    await session.redo();
    expect(await nodeOf(session)).toBe('hall');
    await session.rewind(second.id);
    const fork = await session.fork();
    const begun = await session.fork({ turnId: null });
    const early = await session.fork({ turnId: first.id });
    expect([await nodeOf(session), await nodeOf(fork), await nodeOf(early), await nodeOf(begun)]).toEqual(['desk', 'desk', 'desk', 'hall']);
    await (await session.edit(first.id, 'one instead')).result;
    expect(await nodeOf(session)).toBe('hall');
    const { items } = await session.branches.list();
    const desk = items.find(({ fromTurnId }) => fromTurnId === first.id);
    await session.branches.restore(desk?.id ?? '');
    expect([await nodeOf(session), (await spoken(session)).filter((said) => said.startsWith('user'))]).toEqual(['hall', ['user: one', 'user: two', 'user: three']]);
    await session.rewind(second.id);
    expect(await nodeOf(session)).toBe('desk');
    expect(await nodeOf(fork)).toBe('desk');
    expect((await examineStore(url, { onSessions: () => undefined, onSession: () => undefined })).findings).toEqual([]);
  });

  it('greet at creation without a model, and the first turn is that greeting', async () => {
    const { holdfast, model } = await bench(await newUrl());
    const session = await holdfast.sessions.create({ agent: 'one' });
    expect(await session.firstTurn?.result).toMatchObject({ status: 'ended', reason: 'complete', text: 'Good day.', usage: {} });
    let streamed = '';
    for await (const part of session.firstTurn?.stream ?? []) if (part.type === 'text') streamed += part.text;
    expect([streamed, await spoken(session), model.calls.length]).toEqual(['Good day.', ['assistant: Good day.'], 0]);
    expect((await session.get()).usage.attempts).toBe(0);
    await (await session.send('hello')).result;
    expect(model.calls[0]?.prompt.map(({ role }) => role)).toEqual(['assistant', 'user']);
    const asked = await holdfast.sessions.create({ agent: 'one', message: { text: 'hello' } });
    await asked.firstTurn?.result;
    expect([await nodeOf(asked), await spoken(asked)]).toEqual(['hall', ['user: hello', 'assistant: ok']]);
  });

  it('are entered from outside: with their greeting the first time, once by a key, and only where a transition leads', async () => {
    const { session, model } = await bench(await newUrl(), ['how may I help?']);
    const entered = await session.enterNode('desk', { idempotencyKey: 'k', reason: 'a click' });
    const again = await session.enterNode('desk', { idempotencyKey: 'k', reason: 'a click' });
    expect([entered, again.turnId]).toMatchObject([{ node: 'desk', from: 'hall', status: 'idle' }, entered.turnId]);
    expect((await entered.turn?.result)?.text).toBe('This is the desk.');
    expect(await session.enterNode('desk', { idempotencyKey: 'k' }).catch(codeOf)).toBe('idempotency_mismatch');
    expect(await session.enterNode('office').catch(codeOf)).toBe('node_not_allowed');
    expect(await session.enterNode('attic').catch(codeOf)).toBe('node_unknown');
    expect(await session.enterNode('hall', { expectedRevision: 1 }).catch(codeOf)).toBe('revision_conflict');
    expect(await session.enterNode('').catch(codeOf)).toBe('invalid_request');
    await session.enterNode('hall');
    const office = await session.enterNode('office');
    expect((await office.turn?.result)?.text).toBe('how may I help?');
    expect([model.calls.length, await spoken(session)]).toEqual([1, ['assistant: Good day.', 'assistant: (desk)This is the desk.', 'assistant: (office)how may I help?']]);
    expect(ofKind(await session.entries(), 'node-entered').map(({ node, by }) => `${node} ${by}`)).toEqual(['hall start', 'desk api', 'hall api', 'office api']);
    const events = [];
    const until = new AbortController();
    for await (const event of session.events({ signal: until.signal })) {
      if (event.type === 'entry' && event.entry.kind === 'node-entered') events.push(event.entry.node);
      if (event.type === 'status') until.abort();
    }
    expect(events).toEqual(['hall', 'desk', 'hall', 'office']);
  });

  it('that are an end end the session in the commit of the turn, and what waits leaves the queue', async () => {
    const { session } = await bench(await newUrl(), [calling(['go_to_exit']), 'bye']);
    await session.queue.hold();
    const turn = await session.send('bye');
    const waits = await session.send('and?');
    await turn.result;
    expect((await session.get()).status).toBe('ended');
    const entries = await session.entries();
    const end = entries.findIndex(({ kind }) => kind === 'turn-ended' && entries.length > 0);
    expect(entries.slice(-3)).toMatchObject([{ kind: 'turn-ended', reason: 'complete' }, { kind: 'message-unqueued', messageId: waits.messageId, reason: 'session-ended' }, { kind: 'session-ended', reason: 'node' }]);
    expect([end > 0, await session.send('hello?').catch(codeOf), await session.enterNode('hall').catch(codeOf)]).toEqual([true, 'session_ended', 'session_ended']);
  });

  it('that are an end, entered from outside, end it after the greeting', async () => {
    const { session } = await bench(await newUrl());
    expect(await session.enterNode('exit')).toMatchObject({ status: 'ended', node: 'exit' });
    expect(await spoken(session)).toEqual(['assistant: Good day.', 'assistant: (exit)Goodbye.']);
  });

  it('that the agent does not have any more are left for the first, and a session is never stuck', async () => {
    const url = await newUrl();
    const { session, holdfast } = await bench(url);
    await session.enterNode('desk');
    await holdfast.close();
    const model = scriptedModel([], { otherwise: 'ok' });
    const later = await openHoldfast({ agents: [agent({ name: 'one', model, nodes: { lobby: { instructions: 'You are in the lobby.' } }, firstNode: 'lobby' })], store: url });
    const same = await later.sessions.get(session.id);
    expect(await nodeOf(same)).toBe('desk');
    await (await same.send('hello')).result;
    expect([await nodeOf(same), model.calls[0]?.prompt[0]?.content]).toEqual(['lobby', 'You are in the lobby.']);
    expect(ofKind(await same.entries(), 'node-entered').at(-1)).toMatchObject({ node: 'lobby', from: 'desk', by: 'start' });
    await later.close();
    const last = await openHoldfast({ agents: [agent({ name: 'one', model })], store: url });
    const plain = await last.sessions.get(session.id);
    expect((await (await plain.send('hello')).result).reason).toBe('complete');
    expect(await plain.enterNode('lobby').catch(codeOf)).toBe('nodes_not_used');
  });

  it('are not there for an agent without, whose log and moves say nothing of them', async () => {
    const { holdfast } = await bench(await newUrl());
    const session = await holdfast.sessions.create({ agent: 'plain', message: { text: 'hello' } });
    await session.firstTurn?.result;
    await session.rewind(null);
    expect([await nodeOf(session), JSON.stringify(await session.entries()).includes('node')]).toEqual([null, false]);
    expect(await session.enterNode('hall').catch(codeOf)).toBe('nodes_not_used');
  });
});
