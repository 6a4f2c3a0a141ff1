import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { SessionHandle } from '../../src/library/handles.ts';
import type { Child } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { watch, type AskedSession, type Watcher } from '../support/paused-sessions.ts';
import { ofKind } from '../support/run-turn.ts';
import { stopBetweenCommits } from '../support/stop-between-commits.ts';
import { sqliteFiles, stores } from '../support/stores.ts';

const timeout = 60_000;

/** The one action that waits, once it does. */
function openAction({ session }: AskedSession): Promise<string> {
  return eventually('the approval to be asked for', async () => (await session.actions())[0]?.id);
}

function begins(child: Child, tool: string, { session }: AskedSession): Promise<unknown> {
  return child.hears('begin', (message) => message['tool'] === tool && String(message['callKey']).startsWith(`${session.id}/`));
}

async function outcomes(session: SessionHandle): Promise<readonly string[] | undefined> {
  return ofKind(await session.entries(), 'tool-results')[0]?.results.map(({ outcome }) => outcome);
}

describe.each(stores)('an approval that another process than the worker decides ($name)', { timeout }, (kind) => {
  const ways: readonly (readonly [string, { readonly hints: boolean; readonly pollMs: number }])[] = [
    ['by the store\'s hint', { hints: true, pollMs: 600_000 }],
    ['by looking now and then, without any hint', { hints: false, pollMs: 300 }],
  ];
  it.each(ways)('lets its call begin in the worker while a sibling still runs: %s', async (_way, config) => {
    const watcher = await watch(kind);
    const worker = watcher.worker({ ...config, holds: true });
    await worker.hears('ready');
    const asked = await watcher.ask(['held', { hold: 'sibling' }], ['refund'], ['refund'], ['refund']);
    await begins(worker, 'held', asked);
    await openAction(asked);
    const ids = (await asked.session.actions()).map(({ id }) => id);
    // Decided one by one: each time there is more to join, but for the one that is denied.
    await asked.session.deny(ids[1] ?? '', 'no');
    await asked.session.approve(ids[0] ?? '');
    await eventually('the first approved call to run', () => watcher.begun(asked.session).filter(({ tool }) => tool === 'refund').length === 1);
    await asked.session.approve(ids[2] ?? '');
    await eventually('the other approved call to run', () => watcher.begun(asked.session).filter(({ tool }) => tool === 'refund').length === 2);
    expect(watcher.journal().filter(({ tool, phase }) => tool === 'held' && phase === 'end')).toEqual([]);
    worker.tell({ event: 'release', name: 'sibling' });
    expect(await asked.turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(await outcomes(asked.session)).toEqual(['done', 'done', 'denied', 'done']);
    expect(watcher.begun(asked.session).map(({ pid }) => pid)).toEqual([worker.pid, worker.pid, worker.pid]);
  });
});

/** A step with a call that has ended, one that waits for a person, an operation that runs, and what `more` adds. */
async function mixedStep(watcher: Watcher, worker: Child, more: readonly (readonly [string, { readonly hold: string }])[]): Promise<AskedSession> {
  const asked = await watcher.ask(['quick'], ['refund'], ['rerun', { hold: 'operation' }], ...more);
  await begins(worker, 'rerun', asked);
  for (const [tool] of more) await begins(worker, tool, asked);
  await openAction(asked);
  const key = { tenant: 'default', id: asked.session.id };
  await eventually('the outcome of the quick one', async () => {
    let stored = 0;
    await watcher.holdfast.store.update({ key, reads: { outcomes: true }, transition: (loaded) => { stored = loaded.outcomes.length; return { refused: 'not_claimable', message: 'only looked' }; } });
    return stored === 1;
  });
  return asked;
}

describe.each(stores)('a step whose calls wait for different things, when its worker is killed ($name)', { timeout }, (kind) => {
  it('keeps what had ended, can still be decided while nobody works, and every call ends once', async () => {
    const watcher = await watch(kind);
    const first = watcher.worker({ holds: true });
    await first.hears('ready');
    const paused = await mixedStep(watcher, first, []);
    const running = await mixedStep(watcher, first, [['held', { hold: 'sibling' }]]);
    const undecided = await mixedStep(watcher, first, [['held', { hold: 'sibling' }]]);
    await first.signal('SIGKILL');

    const approved: string[] = [];
    for (const asked of [paused, running]) {
      const actionId = await openAction(asked);
      await asked.session.approve(actionId);
      await asked.session.approve(actionId); // harmless
      approved.push(actionId);
    }
    const second = watcher.worker({ holds: true });
    await second.hears('ready');
    // The last one waits again, with all that had become of it, in nobody's hands.
    await eventually('the undecided one to wait', async () => (await undecided.session.get()).status === 'requires_action');
    expect((await undecided.session.actions()).map(({ type }) => type)).toEqual(['approval']);
    for (const asked of [paused, running, undecided]) await begins(second, 'rerun', asked);
    await undecided.session.deny(await openAction(undecided));
    second.tell({ event: 'release', name: 'operation' });

    for (const asked of [paused, running, undecided]) expect(await asked.turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
    expect(await outcomes(paused.session)).toEqual(['done', 'done', 'done']);
    expect(await outcomes(running.session)).toEqual(['done', 'done', 'done', 'unknown']);
    expect(await outcomes(undecided.session)).toEqual(['done', 'denied', 'done', 'unknown']);
    for (const { session } of [paused, running, undecided]) {
      const runs = watcher.begun(session);
      const pidsOf = (tool: string): readonly number[] => runs.filter((line) => line.tool === tool).map(({ pid }) => pid);
      expect(pidsOf('quick')).toEqual([first.pid]);
      expect(pidsOf('rerun')).toEqual([first.pid, second.pid]);
      expect(pidsOf('refund')).toEqual(session === undecided.session ? [] : [second.pid]);
      expect(pidsOf('held')).toEqual(session === paused.session ? [] : [first.pid]);
      const entries = await session.entries();
      for (const kind of ['tool-results', 'action-opened', 'action-resolved', 'operation-started', 'operation-ended', 'turn-ended'] as const) expect([kind, ofKind(entries, kind).length]).toEqual([kind, 1]);
    }
  });
});

describe.each(stores)('a worker that only seems dead ($name)', { timeout }, (kind) => {
  it('loses its operations when its lease has run out; what it does with them when it wakes changes nothing, and their signals abort', async () => {
    const watcher = await watch(kind);
    const holdFile = `${watcher.path}.go`;
    const first = watcher.worker({ leaseMs: 2_000, holds: ['never', 'late'] });
    const told = await watcher.ask(['rerun', { hold: 'never' }]);
    const deaf = await watcher.ask(['rerun', { hold: 'late', deaf: true }]);
    const prompt = await watcher.ask(['rerun', { hold: 'second', holdFile }]);
    const deafReport = await watcher.ask(['report', { hold: 'late', deaf: true }]);
    const promptReport = await watcher.ask(['report', { hold: 'second', holdFile }]);
    const [again, given] = [[told, deaf, prompt], [deafReport, promptReport]];
    const all = [...again, ...given];
    for (const asked of all) await eventually('its progress', async () => (await asked.operation()).progress?.text === `begun by ${first.pid}`);
    const { id: firstId } = await first.hears('ready');
    // Stopped, it keeps its lock: only its lease can say that it is gone.
    await stopBetweenCommits(first, watcher.url);
    const second = watcher.worker({ leaseMs: 2_000, holds: true });
    for (const asked of again) await eventually('the second one to run it', async () => (await asked.operation()).progress?.text === `begun by ${second.pid}`);
    for (const { turn } of given) expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
    const seen = (): Promise<readonly unknown[]> => Promise.all(all.map(async ({ operation, session }) => [await operation(), await session.get(), (await session.entries()).filter(({ kind }) => kind !== 'late-result')]));
    const before = await seen();

    writeFileSync(holdFile, '');
    first.tell({ event: 'release', name: 'late' });
    await first.signal('SIGCONT');
    // Those that are let go may end before they are told to.
    await first.hears('aborted', ({ callKey }) => String(callKey).startsWith(told.session.id));
    for (const { session } of [deaf, prompt, ...given]) await first.hears('end', ({ callKey }) => String(callKey).startsWith(session.id));
    await eventually('the first one to be a worker again', () => {
      first.tell({ event: 'who' });
      return first.said.some((message) => message.event === 'worker' && message['ready'] === true && message['id'] !== firstId);
    });
    // The real results of the calls that were given up are kept beside; all else is as it was.
    for (const { session } of given) await eventually('its late result', async () => ofKind(await session.entries(), 'late-result').length === 1);
    expect(withoutTimes(await seen())).toEqual(withoutTimes(before));

    for (const name of ['never', 'late', 'second']) second.tell({ event: 'release', name });
    for (const { turn, session, operation } of again) {
      expect(await turn.result).toMatchObject({ status: 'ended', reason: 'complete' });
      expect(await operation()).toMatchObject({ status: 'succeeded', attempts: 2 });
      expect(watcher.begun(session).map(({ pid }) => pid)).toEqual([first.pid, second.pid]);
      // What the first one came to is kept beside, if it says so only after the second one's end.
      expect(ofKind(await session.entries(), 'late-result').length).toBeLessThanOrEqual(kind === sqliteFiles ? 0 : 1);
    }
    for (const { operation } of given) expect(await operation()).toMatchObject({ status: 'unknown', attempts: 1 });
  });
});

/** A late result moves the time of the session's last commit, and its last seq. */
function withoutTimes(seen: readonly unknown[]): unknown {
  return JSON.parse(JSON.stringify(seen, (key, value: unknown) => (key === 'updatedAtMs' || key === 'lastSeq' ? null : value)));
}
