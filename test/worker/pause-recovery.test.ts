import { describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { watch } from '../support/paused-sessions.ts';
import { ofKind } from '../support/run-turn.ts';
import { stores } from '../support/stores.ts';

const timeout = 60_000;

describe.each(stores)('a call of which a person decides whether it runs again ($name)', { timeout }, (kind) => {
  it('waits for them after each death, in nobody\'s hands, and runs no oftener than they say', async () => {
    const watcher = await watch(kind);
    const { session, turn } = await watcher.ask(['asked', { hold: 'end' }], ['quick']);
    const first = watcher.worker({ holds: true });
    await first.hears('begin', ({ tool }) => tool === 'asked');
    await first.signal('SIGKILL');
    const second = watcher.worker({ holds: true });
    const [before] = await eventually('the question', async () => { const actions = await session.actions(); return actions.length > 0 ? actions : null; });
    expect(before).toMatchObject({ type: 'recovery', toolName: 'asked' });
    await eventually('nobody to hold it', async () => (await session.get()).status === 'requires_action');
    await session.approve(before?.id ?? '');
    await second.hears('begin', ({ tool }) => tool === 'asked');
    await second.signal('SIGKILL');
    watcher.worker({ holds: true });
    const again = await eventually('the question anew', async () => (await session.actions()).find(({ id }) => id !== before?.id));
    // What was decided of the first death says nothing of the second.
    await session.approve(before?.id ?? '');
    expect((await session.actions()).map(({ id }) => id)).toEqual([again.id]);
    await session.deny(again.id);
    expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: [{ toolName: 'asked', outcome: 'unknown' }, { toolName: 'quick' }] }]);
    expect(watcher.begun(session).filter(({ tool }) => tool === 'asked').map(({ pid }) => pid)).toEqual([first.pid, second.pid]);
  });
});

describe.each(stores)('an action whose time runs out while nobody works ($name)', { timeout }, (kind) => {
  it('takes no answer any more, and the turn goes on without one when somebody works again', async () => {
    const watcher = await watch(kind);
    const first = watcher.worker();
    const { session, turn } = await watcher.ask(['locate'], ['refund']);
    const [action, approval] = await eventually('the actions', async () => { const actions = await session.actions(); return actions.length === 2 ? actions : null; });
    await first.signal('SIGKILL');
    await eventually('its time to be over', () => Date.now() > (action?.expiresAtMs ?? 0));
    await expect(session.respond(action?.id ?? '', { type: 'result', output: 'here' })).rejects.toMatchObject({ code: 'action_expired' });
    await session.approve(approval?.id ?? '');
    watcher.worker();
    expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'expired' }, { outcome: 'done' }] }]);
    await expect(session.respond(action?.id ?? '', { type: 'result', output: 'here' })).rejects.toMatchObject({ code: 'action_expired' });
  });
});

describe.each(stores)('work that is stopped by another process, without any hint ($name)', { timeout }, (kind) => {
  it('hears of it by its worker\'s next heartbeat', async () => {
    const watcher = await watch(kind);
    const worker = watcher.worker({ hints: false, pollMs: 100, leaseMs: 6_000, holds: true });
    const operation = await watcher.ask(['rerun', { hold: 'end' }]);
    const call = await watcher.ask(['held', { hold: 'end' }]);
    for (const { session } of [operation, call]) await eventually('it to run', () => watcher.begun(session).length === 1);
    for (const { session } of [operation, call]) await session.stop();
    for (const { session } of [operation, call]) await worker.hears('aborted', ({ callKey }) => String(callKey).startsWith(session.id));
    for (const { turn } of [operation, call]) expect(await turn.result).toMatchObject({ status: 'ended', reason: 'stopped' });
  });
});
