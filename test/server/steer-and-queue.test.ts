import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { tool } from '../../src/agent/tool.ts';
import { limits } from '../../src/core/limits.ts';
import { gate } from '../../src/testing/gate.ts';
import type { ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { isEntry, openEvents } from '../support/event-stream.ts';
import { pause, serveSession, type ServedSession } from '../support/paused-turn.ts';

interface Working extends ServedSession {
  readonly turnId: string;
  /** Lets the tool of the running turn end. */
  open(): void;
  steer(text: string, messageId: string, headers?: Readonly<Record<string, string>>): ReturnType<ServedSession['post']>;
}

/** A turn whose tool runs until it is let go. */
async function working(script: readonly ScriptedGeneration[] = []): Promise<Working> {
  const held = gate();
  const work = tool({ inputSchema: z.object({}), execute: () => held.pass().then(() => 'worked') });
  const session = await serveSession({ script: [[{ call: 'work', input: {} }], ...script], agent: { tools: { work } } });
  const { turnId } = (await session.post('/messages', { text: 'go' })).json;
  await held.reached;
  return { ...session, turnId, open: () => held.open(), steer: (text, messageId, headers) => session.post('/messages', { text, messageId, whenBusy: 'steer' }, headers) };
}

async function joined(session: ServedSession): Promise<readonly (readonly [messageId: string, turnId: string, steered: boolean])[]> {
  return (await session.entriesOf('user-message')).slice(1).map(({ messageId, turnId, steered }) => [messageId, turnId, steered === true]);
}

describe('a steered message', () => {
  it('joins the running turn before its next generation, and opens no turn of its own', async () => {
    const session = await working(['with that']);
    const sent = await session.steer('and be quick', 'm');
    expect(sent).toMatchObject({ status: 202, json: { queued: true, messageId: 'm', steers: { turnId: session.turnId } } });
    expect(sent.json.turnId).not.toBe(session.turnId);
    expect((await session.get('/queue')).json.items).toMatchObject([{ messageId: 'm', text: 'and be quick', steer: true }]);
    session.open();
    expect(await session.settled(session.turnId)).toMatchObject({ status: 'ended', text: 'with that', steps: 2 });
    expect(await joined(session)).toEqual([['m', session.turnId, true]]);
    const prompt = JSON.stringify(session.served.model.calls[1]?.prompt);
    expect(prompt.indexOf('worked')).toBeLessThan(prompt.indexOf('and be quick'));
    expect((await session.get('')).json).toMatchObject({ status: 'idle', turns: 1, queue: { count: 0 } });
    // It never opened the turn that its reply kept for it.
    expect(await session.get(`/turns/${sent.json.turnId}`)).toMatchObject({ status: 404, json: { code: 'turn_not_found' } });
  });

  it('goes before what waits for the end of the turn, after what was steered before', async () => {
    const session = await working(['first', 'second']);
    await session.post('/messages', { text: 'later', messageId: 'q' });
    await session.steer('one', 's1');
    await session.steer('two', 's2');
    expect((await session.get('/queue')).json.items.map(({ messageId }) => messageId)).toEqual(['s1', 's2', 'q']);
    const queued = (await session.get('/queue')).json.items[2]?.turnId ?? '';
    session.open();
    await session.settled(queued);
    expect(await joined(session)).toEqual([['s1', session.turnId, true], ['s2', session.turnId, true], ['q', queued, false]]);
  });

  it('whose turn is stopped first is never lost: it runs before the others, in its own turn', async () => {
    const session = await working(['steered after all', 'then the other']);
    await session.post('/messages', { text: 'later', messageId: 'q' });
    const { turnId } = (await session.steer('now', 's')).json;
    await session.post('/stop');
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', text: 'steered after all', messageId: 's' });
    expect((await joined(session))[0]).toEqual(['s', turnId, false]);
    session.open();
  });

  it('to a turn that waits for an action joins it when it goes on', async () => {
    const refund = tool({ inputSchema: z.object({}), needsApproval: true, execute: () => 'refunded' });
    const session = await serveSession({ script: [[{ call: 'refund', input: {} }], 'done'], agent: { tools: { refund } } });
    const { turnId, action } = await pause(session);
    expect((await session.post('/messages', { text: 'half of it', messageId: 's', whenBusy: 'steer' })).json.steers).toEqual({ turnId });
    expect((await session.get('')).json).toMatchObject({ status: 'requires_action', queue: { count: 1 } });
    await session.post(`/actions/${action.id}`, { type: 'approve' });
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', text: 'done' });
    expect(await joined(session)).toEqual([['s', turnId, true]]);
    expect(JSON.stringify(session.served.model.calls[1]?.prompt)).toContain('half of it');
  });

  it('at rest starts a turn like any other', async () => {
    const session = await serveSession();
    const sent = await session.post('/messages', { text: 'hi', whenBusy: 'steer' });
    expect(sent.json).toMatchObject({ queued: false });
    expect(sent.json.steers).toBeUndefined();
    expect(await session.settled(sent.json.turnId)).toMatchObject({ status: 'ended' });
  });

  it('may be changed and taken out while it waits', async () => {
    const session = await working(['done']);
    await session.steer('one', 's1');
    await session.steer('two', 's2');
    expect((await session.served.request('PATCH', `${session.path}/queue/s1`, { text: 'other words' })).status).toBe(200);
    expect((await session.served.request('DELETE', `${session.path}/queue/s2`)).json.messageIds).toEqual(['s1']);
    session.open();
    await session.settled(session.turnId);
    expect(await joined(session)).toEqual([['s1', session.turnId, true]]);
    const prompt = JSON.stringify(session.served.model.calls[1]?.prompt);
    expect(prompt).toContain('other words');
    expect(prompt).not.toContain('two');
  });

  it('takes a place of the queue: the twenty-first is refused and changes nothing', async () => {
    const session = await working();
    for (let place = 0; place < limits.queueMessagesMax; place += 1) expect((await session.steer(`text ${place}`, `s${place}`)).status).toBe(202);
    const before = await session.entries();
    expect(await session.steer('one more', 'more')).toMatchObject({ status: 429, json: { code: 'queue_full' } });
    expect(await session.entries()).toEqual(before);
    session.open();
    await session.settled(session.turnId);
    expect(await joined(session)).toHaveLength(limits.queueMessagesMax);
  });

  it('sent twenty times with one key is one message', async () => {
    const session = await working();
    const replies = await Promise.all(Array.from({ length: 20 }, () => session.steer('once', 's', { 'idempotency-key': 'k' })));
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
    expect(await session.entriesOf('message-queued')).toHaveLength(1);
    session.open();
    await session.settled(session.turnId);
    expect(await joined(session)).toHaveLength(1);
    expect((await session.steer('once', 's', { 'idempotency-key': 'k' })).text).toBe(replies[0]?.text);
    expect(await session.steer('twice', 's', { 'idempotency-key': 'k' })).toMatchObject({ status: 422, json: { code: 'idempotency_mismatch' } });
  });

  it('sent as a stream is followed to the end of the turn that it joins', async () => {
    const session = await working(['with that']);
    const stream = await openEvents(`${session.served.url}${session.path}/messages`, {
      method: 'POST', headers: { 'content-type': 'application/json', accept: 'text/event-stream' }, body: JSON.stringify({ text: 'and be quick', messageId: 'm', whenBusy: 'steer' }),
    });
    await stream.until(isEntry('message-queued'));
    session.open();
    expect(await stream.ended).toBe('clean');
    expect(stream.frames.at(-1)?.data).toMatchObject({ type: 'entry', entry: { kind: 'turn-ended', turnId: session.turnId } });
  });
});

describe('a steered message sent as a stream', () => {
  it('to a turn that waits for an action is not held open until somebody decides', async () => {
    const refund = tool({ inputSchema: z.object({}), needsApproval: true, execute: () => 'refunded' });
    const session = await serveSession({ script: [[{ call: 'refund', input: {} }], 'done'], agent: { tools: { refund } } });
    const { turnId } = await pause(session);
    const stream = await openEvents(`${session.served.url}${session.path}/messages`, {
      method: 'POST', headers: { 'content-type': 'application/json', accept: 'text/event-stream' }, body: JSON.stringify({ text: 'half', whenBusy: 'steer' }),
    });
    expect(await stream.ended).toBe('clean');
    expect(stream.frames.at(-1)?.data).toEqual({ type: 'status', status: 'requires_action', turnId });
  });

  it('whose turn is stopped first follows the turn that it opens instead', async () => {
    const session = await working(['after all']);
    const stream = await openEvents(`${session.served.url}${session.path}/messages`, {
      method: 'POST', headers: { 'content-type': 'application/json', accept: 'text/event-stream' }, body: JSON.stringify({ text: 'now', messageId: 's', whenBusy: 'steer' }),
    });
    await stream.until(isEntry('message-queued'));
    await session.post('/stop');
    expect(await stream.ended).toBe('clean');
    const own = (await session.entriesOf('user-message')).find(({ messageId }) => messageId === 's')?.turnId;
    expect(stream.frames.at(-1)?.data).toMatchObject({ type: 'entry', entry: { kind: 'turn-ended', turnId: own, reason: 'complete' } });
    session.open();
  });
});

describe('while a turn waits for an action', () => {
  it('the session stays usable: messages queue, the queue is changed, other clients see it', async () => {
    const refund = tool({ inputSchema: z.object({}), needsApproval: true, execute: () => 'refunded' });
    const session = await serveSession({ script: [[{ call: 'refund', input: {} }], 'done', 'next'], agent: { tools: { refund } } });
    const { turnId, action } = await pause(session);
    const stream = await openEvents(`${session.served.url}${session.path}/events?after=now`);
    await session.post('/messages', { text: 'next', messageId: 'a' });
    await session.post('/messages', { text: 'after it', messageId: 'b' });
    await session.post('/queue/b/promote');
    await stream.until(({ data }) => data?.type === 'queue' && data.messages.map(({ messageId }) => messageId).join() === 'b,a');
    expect((await session.get('')).json).toMatchObject({ status: 'requires_action', queue: { count: 2 } });
    await session.served.request('DELETE', `${session.path}/queue/a`);
    const next = (await session.get('/queue')).json.items[0]?.turnId ?? '';
    await session.post(`/actions/${action.id}`, { type: 'deny' });
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', text: 'done' });
    expect(await session.settled(next)).toMatchObject({ status: 'ended', text: 'next', messageId: 'b' });
  });

  it('an interrupting message ends it, withdraws what it asked, and runs', async () => {
    const refund = tool({ inputSchema: z.object({}), needsApproval: true, execute: () => 'refunded' });
    const session = await serveSession({ script: [[{ call: 'refund', input: {} }], 'instead'], agent: { tools: { refund } } });
    const { turnId, action } = await pause(session);
    const sent = await session.post('/messages', { text: 'forget it', whenBusy: 'interrupt' });
    expect(await session.settled(sent.json.turnId)).toMatchObject({ status: 'ended', text: 'instead' });
    expect(await session.settled(turnId)).toMatchObject({ status: 'ended', reason: 'stopped' });
    expect(await session.post(`/actions/${action.id}`, { type: 'approve' })).toMatchObject({ status: 409, json: { code: 'action_withdrawn' } });
  });

  it('a message that will not wait is refused with the status', async () => {
    const refund = tool({ inputSchema: z.object({}), needsApproval: true, execute: () => 'refunded' });
    const session = await serveSession({ script: [[{ call: 'refund', input: {} }]], agent: { tools: { refund } } });
    await pause(session);
    expect(await session.post('/messages', { text: 'hi', whenBusy: 'reject' })).toMatchObject({ status: 409, json: { code: 'session_busy', sessionStatus: 'requires_action' } });
  });
});
