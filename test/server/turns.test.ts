import { describe, expect, it } from 'vitest';
import { gate } from '../../src/testing/gate.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { limits } from '../../src/core/limits.ts';
import { eventually } from '../support/eventually.ts';
import { serve } from '../support/http-server.ts';

describe('waiting for a turn', () => {
  it('ends with the turn', async () => {
    const held = gate();
    const served = await serve({ script: [[{ gate: held }, { text: 'done' }]] });
    const id = await served.newSession();
    const { turnId } = (await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' })).json;
    await held.reached;
    expect((await served.request('GET', `/v1/sessions/${id}/turns/${turnId}`)).json).toMatchObject({ id: turnId, status: 'running', reason: null });
    const waiting = served.request('GET', `/v1/sessions/${id}/turns/${turnId}?waitMs=${limits.turnWaitMsMax}`);
    held.open();
    expect((await waiting).json).toMatchObject({ id: turnId, status: 'ended', reason: 'complete', text: 'done', steps: 1 });
    expect((await served.request('GET', `/v1/sessions/${id}/turns/${turnId}?waitMs=${limits.turnWaitMsMax}`)).json).toMatchObject({ status: 'ended' });
  });

  it('ends with the time, with the turn as it is then', async () => {
    const system = fakeSystem();
    const held = gate();
    const served = await serve({ system, script: [[{ gate: held }, { text: 'done' }]] });
    const id = await served.newSession();
    const { turnId } = (await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' })).json;
    await held.reached;
    let replied = false;
    const waiting = served.request('GET', `/v1/sessions/${id}/turns/${turnId}?waitMs=5000`).finally(() => { replied = true; });
    const timers = system.waitingTimers;
    await eventually('the wait', () => system.waitingTimers > timers);
    await system.advance(4_999);
    expect(replied).toBe(false);
    await system.advance(1);
    expect((await waiting).json).toMatchObject({ id: turnId, status: 'running' });
    held.open();
  });

  it('ends when the process closes, with the turn as it is then', async () => {
    const system = fakeSystem();
    const held = gate();
    const served = await serve({ system, script: [[{ gate: held }, { text: 'done' }]] });
    const id = await served.newSession();
    const { turnId } = (await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' })).json;
    await held.reached;
    const timers = system.waitingTimers;
    const waiting = served.request('GET', `/v1/sessions/${id}/turns/${turnId}?waitMs=60000`);
    await eventually('the wait', () => system.waitingTimers > timers);
    const closed = served.close();
    expect((await waiting).json).toMatchObject({ status: 'running' });
    await closed;
    held.open();
  });

  it('is over when the client goes, and leaves nothing behind', async () => {
    const system = fakeSystem();
    const held = gate();
    const served = await serve({ system, script: [[{ gate: held }, { text: 'done' }]] });
    const id = await served.newSession();
    const { turnId } = (await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'hi' })).json;
    await held.reached;
    const before = system.waitingTimers;
    const leaving = new AbortController();
    const waiting = fetch(`${served.url}/v1/sessions/${id}/turns/${turnId}?waitMs=60000`, { signal: leaving.signal });
    await eventually('the wait', () => system.waitingTimers > before);
    leaving.abort();
    await expect(waiting).rejects.toThrow();
    await eventually('the end of the wait', () => system.waitingTimers <= before);
    held.open();
  });

  it('for one that waits in the queue says so, and ends when that is deleted', async () => {
    const held = gate();
    const served = await serve({ script: [[{ gate: held }, { text: 'done' }]] });
    const id = await served.newSession({ message: { text: 'hi' } });
    const queued = (await served.request('POST', `/v1/sessions/${id}/messages`, { text: 'next', messageId: 'm' })).json;
    expect(queued.queued).toBe(true);
    expect((await served.request('GET', `/v1/sessions/${id}/turns/${queued.turnId}`)).json).toMatchObject({ status: 'queued', messageId: 'm' });
    const waiting = served.request('GET', `/v1/sessions/${id}/turns/${queued.turnId}?waitMs=60000`);
    await served.request('DELETE', `/v1/sessions/${id}/queue/m`);
    expect((await waiting).json.code).toBe('turn_not_found');
    held.open();
  });

  it.each(['turn_0', 'm', '%00', 'x'.repeat(300)])('for one that is not there is refused: %s', async (turnId) => {
    const served = await serve();
    const id = await served.newSession({ message: { text: 'hi' } });
    expect(await served.request('GET', `/v1/sessions/${id}/turns/${turnId}?waitMs=1000`)).toMatchObject({ status: 404, json: { code: 'turn_not_found' } });
  });
});
