import { describe, expect, it } from 'vitest';
import type { Child } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { watch, type AskedSession, type Watcher } from '../support/paused-sessions.ts';
import { ofKind } from '../support/run-turn.ts';
import { stores } from '../support/stores.ts';

const timeout = 60_000;

interface Handed {
  readonly operationId: string;
  readonly token: string;
}

/** What a run of the session's tool was given to hand on. */
async function handed(child: Child, { session }: AskedSession): Promise<Handed> {
  const { operationId, token } = await child.hears('delegated', ({ callKey }) => String(callKey).startsWith(`${session.id}/`));
  return { operationId: String(operationId), token: String(token) };
}

function complete({ holdfast }: Watcher, { operationId, token }: Handed, output: string) {
  return holdfast.operations.complete(operationId, { token, output });
}

async function expectEnded({ session, turn, operation }: AskedSession, status: string, outcome: object): Promise<void> {
  expect(await turn.result).toMatchObject({ status: 'ended' });
  expect(await operation()).toMatchObject({ status });
  const entries = await session.entries();
  expect(ofKind(entries, 'operation-ended')).toMatchObject([{ status }]);
  expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [outcome] }]);
}

describe.each(stores)('an operation that was just handed on to somebody outside, when its worker is killed ($name)', { timeout }, (kind) => {
  it('is completed by them, while nobody works and after; one that may run again is, and each of its tokens completes it', async () => {
    const watcher = await watch(kind);
    const first = watcher.worker({ holds: true });
    const [atOnce, later, withOld, withNew, between] = [
      await watcher.ask(['delegate', { hold: 'end' }]), await watcher.ask(['delegate', { hold: 'end' }]),
      await watcher.ask(['delegate_again', { hold: 'end' }]), await watcher.ask(['delegate_again', { hold: 'end' }]), await watcher.ask(['delegate_again', { hold: 'end' }]),
    ];
    const old = new Map(await Promise.all([atOnce, later, withOld, withNew, between].map(async (asked) => [asked, await handed(first, asked)] as const)));
    const oldOf = (asked: AskedSession): Handed => old.get(asked) ?? { operationId: '', token: '' };
    await first.signal('SIGKILL');
    await complete(watcher, oldOf(atOnce), 'at once');
    await complete(watcher, oldOf(between), 'between');

    const second = watcher.worker({ holds: true });
    const fresh = await handed(second, withNew);
    await handed(second, withOld);
    await eventually('nobody to run what may not run again', async () => (await later.operation()).external);
    // It runs when it is completed: the run counts no more, and is told so.
    await complete(watcher, oldOf(withOld), 'with the old token');
    await second.hears('aborted', ({ callKey }) => String(callKey).startsWith(withOld.session.id));
    await complete(watcher, fresh, 'with the new token');
    expect(await complete(watcher, oldOf(withNew), 'too late')).toMatchObject({ status: 'succeeded' });
    await complete(watcher, oldOf(later), 'later');
    second.tell({ event: 'release', name: 'end' });

    await expectEnded(atOnce, 'succeeded', { outcome: 'done', output: 'at once' });
    await expectEnded(between, 'succeeded', { outcome: 'done', output: 'between' });
    await expectEnded(later, 'succeeded', { outcome: 'done', output: 'later' });
    await expectEnded(withOld, 'succeeded', { outcome: 'done', output: 'with the old token' });
    await expectEnded(withNew, 'succeeded', { outcome: 'done', output: 'with the new token' });
    expect([atOnce, between, later, withOld, withNew].map(({ session }) => watcher.begun(session).length)).toEqual([1, 1, 1, 2, 2]);
  });
});

describe.each(stores)('an operation whose worker is dead ($name)', { timeout }, (kind) => {
  it('is over when its turn is stopped, or when it is cancelled: nobody runs it again', async () => {
    const watcher = await watch(kind);
    const first = watcher.worker({ holds: true });
    const stopped = await watcher.ask(['rerun', { hold: 'end' }]);
    const cancelled = await watcher.ask(['rerun', { hold: 'end' }]);
    const detached = await watcher.ask(['rerun', { hold: 'end', detached: true }]);
    const goesOn = await watcher.ask(['rerun', { hold: 'end' }]);
    const all = [stopped, cancelled, detached, goesOn];
    await eventually('all to run', () => all.every(({ session }) => watcher.begun(session).length === 1));
    await detached.turn.result;
    await first.signal('SIGKILL');
    await stopped.session.stop();
    for (const { operation } of [cancelled, detached]) expect(await watcher.holdfast.operations.cancel((await operation()).id)).toMatchObject({ status: 'cancelled' });
    watcher.worker();
    await expectEnded(goesOn, 'succeeded', { outcome: 'done' });
    await expectEnded(stopped, 'cancelled', { outcome: 'stopped', mayHaveRun: true });
    await expectEnded(cancelled, 'cancelled', { outcome: 'stopped', mayHaveRun: true });
    expect(await detached.operation()).toMatchObject({ status: 'cancelled' });
    expect((await detached.session.get()).status).toBe('idle');
    expect(all.map(({ session }) => watcher.begun(session).length)).toEqual([1, 1, 1, 2]);
  });
});

describe.each(stores)('many operations and several workers that look for them at once ($name)', { timeout }, (kind) => {
  it('run each in one of them, once', async () => {
    const watcher = await watch(kind);
    const workers = [watcher.worker(), watcher.worker(), watcher.worker()];
    await Promise.all(workers.map((worker) => worker.hears('ready')));
    const asked = await Promise.all(Array.from({ length: 80 }, () => watcher.ask(['rerun'], ['rerun'])));
    for (const { turn } of asked) expect(await turn.result).toMatchObject({ reason: 'complete' });
    const runs = watcher.journal().filter(({ phase }) => phase === 'begin');
    expect([runs.length, new Set(runs.map(({ callKey }) => callKey)).size]).toEqual([160, 160]);
  });
});
