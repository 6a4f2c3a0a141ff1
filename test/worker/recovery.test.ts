import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Holdfast } from '../../src/create-holdfast.ts';
import type { FeedEvent } from '../../src/core/feed-event.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import type { TurnHandle } from '../../src/library/turn-handle.ts';
import { startChild, type Child } from '../support/child-process.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { stopBetweenCommits } from '../support/stop-between-commits.ts';
import { sqliteFiles, stores, type TestStore } from '../support/stores.ts';
import { probeAgent, probeText, silentPort, type ProbeRequest } from './children/probe-agent.ts';

const script = 'test/worker/children/worker-process.ts';
const everything = ['rerun', 'keyed', 'report', 'gap', 'streaming'];

/** This process takes no work: it sends and reads. */
async function watch(kind: TestStore): Promise<Place & { readonly holdfast: Holdfast; readonly journal: () => readonly JournalLine[] }> {
  const path = await temporaryDatabase();
  const url = kind === sqliteFiles ? `sqlite:${path}` : await kind.newUrl();
  const holdfast = await openHoldfast({ agents: [probeAgent(silentPort)], store: url, worker: false });
  const journal = (): readonly JournalLine[] => readFileSync(`${path}.journal`, 'utf8').trim().split('\n').map((line) => {
    const [tool = '', callKey = '', pid = ''] = line.split(' ');
    return { tool, callKey, pid: Number(pid) };
  });
  return { path, url, holdfast, journal };
}

interface Place {
  /** Of the SQLite file; on another store only of what lies beside it. */
  readonly path: string;
  readonly url: string;
}

interface JournalLine {
  readonly tool: string;
  readonly callKey: string;
  readonly pid: number;
}

async function ask(holdfast: Holdfast, request: ProbeRequest): Promise<{ readonly session: SessionHandle; readonly turn: TurnHandle }> {
  const session = await holdfast.sessions.create({ agent: 'probe' });
  return { session, turn: await session.send(probeText(request)) };
}

/** On SQLite a death is seen before the lease ends; elsewhere the lease is all there is. */
function worker({ path, url }: Place, waits: readonly string[], leaseMs = url.startsWith('sqlite:') ? 20_000 : 3_000): Child {
  return startChild(script, { path, url, leaseMs, waits });
}

describe.each(stores)('after kill -9 of the worker on $name', (kind) => {
  it('a call in flight is run again only as its tool says, and every turn completes', async () => {
    const place = await watch(kind);
    const { holdfast, journal } = place;
    const first = worker(place, everything);
    const asked = {
      rerun: await ask(holdfast, { calls: [['rerun']] }),
      keyed: await ask(holdfast, { calls: [['keyed']] }),
      report: await ask(holdfast, { calls: [['report']] }),
    };
    for (const tool of ['rerun', 'keyed', 'report']) await first.hears('begun', (message) => message['tool'] === tool);
    // The second one is there before: it takes nothing from the first, which lives.
    const second = worker(place, []);
    await second.hears('ready');
    expect(second.said.some(({ event }) => event === 'begun')).toBe(false);
    await first.signal('SIGKILL');

    for (const tool of ['rerun', 'keyed'] as const) {
      const { session, turn } = asked[tool];
      const result = await turn.result;
      const runs = journal().filter((line) => line.tool === tool);
      expect(runs.map(({ pid }) => pid)).toEqual([first.pid, second.pid]);
      expect(new Set(runs.map(({ callKey }) => callKey)).size).toBe(1);
      const output = `${tool} by ${runs[0]?.callKey}`;
      expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output }] }]);
      expect(result).toMatchObject({ reason: 'complete', text: `told ${JSON.stringify([{ type: 'text', value: output }])}` });
    }
    const { session, turn } = asked.report;
    const result = await turn.result;
    expect(journal().filter((line) => line.tool === 'report').map(({ pid }) => pid)).toEqual([first.pid]);
    const [answer] = ofKind(await session.entries(), 'tool-results');
    expect(answer?.results).toMatchObject([{ outcome: 'unknown', code: 'interrupted' }]);
    expect(result).toMatchObject({ reason: 'complete', text: `told ${JSON.stringify([{ type: 'error-text', value: answer?.results[0]?.errorText }])}` });
    // Nothing of the dead one is left.
    const { id } = await second.hears('ready');
    await eventually('the dead worker to be forgotten', async () => (await holdfast.store.listWorkers()).map((each) => each.id).join() === String(id));
    if (kind === sqliteFiles) expect(readdirSync(`${place.path}-workers`)).toEqual([`${String(id)}.lock`]);
    expect((await holdfast.store.findDeadWorkers()).dead).toEqual([]);
  });

  it('an attempt in flight is recorded as lost, what it showed is retracted, and the answer is whole', async () => {
    const place = await watch(kind);
    const { holdfast } = place;
    const first = worker(place, everything);
    const { session, turn } = await ask(holdfast, { stream: ['One \u{1F40B} ', 'two ', 'wait', 'three'] });
    const events: FeedEvent[] = [];
    const following = new AbortController();
    const followed = (async () => {
      for await (const event of session.events({ signal: following.signal })) events.push(event);
    })();
    await first.hears('streaming');
    const shown = await eventually('the first part of the answer to be shown', () => events.find((event) => event.type === 'chunk'));
    const second = worker(place, []);
    await second.hears('ready');
    await first.signal('SIGKILL');

    expect(await turn.result).toMatchObject({ reason: 'complete', text: 'One \u{1F40B} two three', steps: 1 });
    const entries = await session.entries();
    const [lost] = ofKind(entries, 'attempt-lost');
    const [step] = ofKind(entries, 'assistant-step');
    expect(lost).toMatchObject({ turnId: turn.id, attempt: { id: shown.type === 'chunk' ? shown.attemptId : '', number: 1, usage: null } });
    expect(step?.attempt).toMatchObject({ number: 2, usage: { inputTokens: 10 } });
    await eventually('the follower to see the end', () => events.some((event) => event.type === 'entry' && event.entry.kind === 'turn-ended'));
    following.abort();
    await followed;
    expect(events.filter((event) => event.type === 'chunk-retracted')).toEqual([expect.objectContaining({ attemptId: lost?.attempt.id })]);
    const lateChunk = events.findLastIndex((event) => event.type === 'chunk' && event.attemptId === lost?.attempt.id);
    expect(lateChunk).toBeLessThan(events.findIndex((event) => event.type === 'chunk-retracted'));
  });

  it('between the commit that dispatched a call and its begin, the call is run, or reported where that cannot be known', async () => {
    const place = await watch(kind);
    const { holdfast, journal } = place;
    const first = worker(place, everything);
    const rerun = await ask(holdfast, { calls: [['gap_rerun']] });
    const report = await ask(holdfast, { calls: [['gap_report']] });
    await eventually('both to stand in the gap', () => first.said.filter(({ event }) => event === 'gap').length === 2);
    await first.signal('SIGKILL');
    const second = worker(place, []);

    expect((await rerun.turn.result).reason).toBe('complete');
    expect((await report.turn.result).reason).toBe('complete');
    expect(journal()).toMatchObject([{ tool: 'gap_rerun', pid: second.pid }]);
    expect(ofKind(await rerun.session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'done' }] }]);
    expect(ofKind(await report.session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'unknown' }] }]);
  });

  it('an outcome that was stored ahead of its step is used: that tool does not run again, its sibling does', async () => {
    const place = await watch(kind);
    const { holdfast, journal } = place;
    const first = worker(place, everything);
    const { session, turn } = await ask(holdfast, { calls: [['quick'], ['keyed']] });
    await first.hears('begun', (message) => message['tool'] === 'keyed');
    const key = { tenant: 'default', id: session.id };
    await eventually('the outcome of the quick one', async () => {
      let stored = 0;
      await holdfast.store.update({ key, reads: { outcomes: true }, transition: ({ outcomes }) => { stored = outcomes.length; return { refused: 'not_claimable', message: 'only looked' }; } });
      return stored === 1;
    });
    await first.signal('SIGKILL');
    const second = worker(place, []);

    expect((await turn.result).reason).toBe('complete');
    expect(journal().map(({ tool, pid }) => [tool, pid])).toEqual([['quick', first.pid], ['keyed', first.pid], ['keyed', second.pid]]);
    expect(ofKind(await session.entries(), 'tool-results')).toMatchObject([{ results: [{ index: 0, outcome: 'done', output: `quick by ${journal()[0]?.callKey}` }, { index: 1, outcome: 'done' }] }]);
  });
});

describe.each(stores)('a worker that only seems dead on $name', (kind) => {
  it('is taken over when its lease has run out; what it then does changes nothing, a real result is kept beside, and it goes on under a new id', async () => {
    const place = await watch(kind);
    const { holdfast, journal } = place;
    const first = worker(place, everything, 1_000);
    const called = await ask(holdfast, { calls: [['report']] });
    const streamed = await ask(holdfast, { stream: ['half ', 'wait', 'an answer'] });
    await first.hears('begun');
    await first.hears('streaming');
    const { id: firstId } = await first.hears('ready');
    // Stopped, it keeps its lock: only its lease can say that it is gone.
    await stopBetweenCommits(first, place.url);
    const second = worker(place, [], 1_000);
    const { id: secondId } = await second.hears('ready');
    expect(await called.turn.result).toMatchObject({ reason: 'complete' });
    expect(await streamed.turn.result).toMatchObject({ reason: 'complete', text: 'half an answer' });
    expect(ofKind(await called.session.entries(), 'tool-results')).toMatchObject([{ results: [{ outcome: 'unknown' }] }]);
    const before = [await called.session.entries(), await streamed.session.entries()];
    expect(ofKind(before[1] ?? [], 'attempt-lost')).toHaveLength(1);

    // Its tool ends and its model streams on the moment it wakes: the result and the text come too late.
    for (const name of ['report', 'streaming']) first.tell({ event: 'release', name });
    await first.signal('SIGCONT');
    for (const name of ['report', 'streaming']) await first.hears('released', (message) => message['name'] === name);
    const awake = await eventually('the first one to be a worker again', () => {
      first.tell({ event: 'who' });
      return first.said.find((message) => message.event === 'worker' && message['ready'] === true && message['id'] !== firstId && message['runs'] === 0);
    });
    expect(awake['id']).not.toBe(secondId);
    expect(first.said.filter(({ event, name }) => event === 'log' && name === 'lease-lost')).toHaveLength(1);
    const late = await eventually('the late result', async () => ofKind(await called.session.entries(), 'late-result')[0]);
    expect(late).toMatchObject({ stepSeq: 3, result: { outcome: 'done', index: 0 } });
    // Where the model had finished before it was cut off, what it used is kept beside as well.
    expect([await called.session.entries({ limit: late.seq - 1 }), (await streamed.session.entries()).filter(({ kind }) => kind !== 'late-usage')]).toEqual(before);
    expect(journal()).toHaveLength(1);
    for (const { session } of [called, streamed]) expect(await session.get()).toMatchObject({ status: 'idle' });

    // And it works: alone now, it answers.
    await second.signal('SIGKILL');
    const again = await called.session.send(probeText({ calls: [['quick']] }));
    expect(await again.result).toMatchObject({ reason: 'complete' });
    expect(journal().at(-1)).toMatchObject({ tool: 'quick', pid: first.pid });
  });
});
