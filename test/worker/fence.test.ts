import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { claim } from '../../src/core/claim.ts';
import { tool } from '../../src/index.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store, UpdateRequest } from '../../src/store/store.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';

const leaseMs = 600_000;

/**
 * A worker whose write stands still just before it is made, however late, and another instance on the same file that takes no work. The worker hears of
 * nothing meanwhile: only the store can refuse what it then writes.
 */
async function lateWriter(script: readonly ScriptedGeneration[], holds: (name: 'update' | 'chunk' | 'outcome', number: number) => boolean) {
  const system = fakeSystem();
  const path = await temporaryDatabase();
  const late = gate();
  const counts = { update: 0, chunk: 0, outcome: 0 };
  const answers: unknown[] = [];
  const held = async <Result>(name: 'update' | 'chunk' | 'outcome', write: () => Promise<Result>): Promise<Result> => {
    counts[name] += 1;
    if (!holds(name, counts[name])) return write();
    await late.pass();
    const result = await write();
    answers.push(result);
    return result;
  };
  const overrides: StoreOverrides = {
    onChange: () => () => undefined,
    update: ((inner: Store, request: UpdateRequest<unknown>) => (request.replyToStore === undefined ? held('update', () => inner.update(request)) : inner.update(request))) as never,
    appendChunkIfHeld: (inner, chunk) => held('chunk', () => inner.appendChunkIfHeld(chunk)),
    storeOutcomeIfHeld: (inner, outcome) => held('outcome', () => inner.storeOutcomeIfHeld(outcome)),
  };
  const ran: string[] = [];
  const endless = gate();
  const work = (name: string, recovery: 'rerun' | 'report') => tool({
    recovery, inputSchema: z.object({ n: z.number() }),
    execute: async ({ n }) => { ran.push(`${name} ${n}`); if (name === 'stuck') await endless.pass(); return `${name} ${n}`; },
  });
  const tools = { look: work('look', 'rerun'), stuck: work('stuck', 'rerun'), pay: work('pay', 'report') };
  const one = agent({ name: 'one', model: scriptedModel(script, { otherwise: 'once more' }), tools, limits: { parallelCalls: 2 } });
  const store = wrappedStore(await sqliteStore({ path, system }), overrides);
  // Its looks for work are far apart, its lease is long: it does not hear by itself either.
  const holdfast = await openHoldfast({ agents: [one], store, system, worker: { leaseMs, pollMs: leaseMs, chunkIntervalMs: 20 } });
  const other = await openHoldfast({ agents: [one], store: `sqlite:${path}`, system, worker: false });
  const { id } = await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
  await system.advance(200);
  await late.reached;
  const session = await other.sessions.get(id);
  return { system, one, holdfast, other, session, late, answers, ran, counts };
}

type Bench = Awaited<ReturnType<typeof lateWriter>>;

/** What takes the fence from a running turn. */
const takings: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  'the turn was stopped': async ({ session }) => { await session.stop(); },
  'a message interrupted it': async ({ session }) => { await session.send({ text: 'instead', whenBusy: 'interrupt' }); },
  'a message replaced it': async ({ session }) => { await session.send({ text: 'instead', whenBusy: 'replace' }); },
  'another worker took it over': async ({ other, one, session, system }) => {
    await other.store.registerWorker({ id: 'wrk_other', leaseMs, agents: [] });
    const taken = await other.store.update({
      key: { tenant: 'default', id: session.id }, reads: { outcomes: true },
      transition: claim({ worker: 'wrk_other', solo: true, isDead: () => true }, one.rules, { nowMs: system.clock.nowMs(), mintId: (prefix) => `${prefix}_other` }),
    });
    expect(taken.kind).toBe('committed');
  },
};

/** What is written too late: the script that leads to it, and which write of the worker it is. */
const writes: Readonly<Record<string, { readonly script: readonly ScriptedGeneration[]; readonly holds: Parameters<typeof lateWriter>[1] }>> = {
  'a finished generation': { script: ['an answer'], holds: (name, number) => name === 'update' && number === 1 },
  'a failed generation': { script: [[{ error: new Error('model_not_found') }]], holds: (name, number) => name === 'update' && number === 1 },
  'the results of calls': { script: [[{ call: 'look', input: { n: 1 } }], 'an answer'], holds: (name, number) => name === 'update' && number === 2 },
  'the dispatch of a further call': {
    script: [[{ call: 'stuck', input: { n: 1 } }, { call: 'look', input: { n: 2 } }, { call: 'pay', input: { n: 3 } }], 'an answer'], holds: (name, number) => name === 'update' && number === 2,
  },
  'live output': { script: [[{ text: 'shown' }, { silent: true }]], holds: (name, number) => name === 'chunk' && number === 1 },
  'an outcome ahead of its step': { script: [[{ call: 'stuck', input: { n: 1 } }, { call: 'look', input: { n: 2 } }], 'an answer'], holds: (name, number) => name === 'outcome' && number === 1 },
};

async function everything({ other, session }: Bench) {
  const key = { tenant: 'default', id: session.id };
  let outcomes: readonly unknown[] = [];
  let chunks: readonly unknown[] = [];
  await other.store.update({ key, reads: { outcomes: true, chunks: true }, transition: (loaded) => { ({ outcomes, chunks } = loaded); return { refused: 'not_claimable', message: 'only looked' }; } });
  return { entries: await session.entries(), row: await other.store.readSession(key), outcomes, chunks };
}

/** All but the real results of calls that were given up, and the usage of attempts that were: they are kept beside, and change nothing. */
function withoutLate({ entries, row, ...rest }: Awaited<ReturnType<typeof everything>>) {
  const { lastSeq: _seq, updatedAtMs: _at, usage: _usage, ...kept } = row ?? { lastSeq: 0, updatedAtMs: 0, usage: null };
  return { ...rest, row: kept, entries: entries.filter(({ kind }) => kind !== 'late-result' && kind !== 'late-usage') };
}

describe('work whose claim was superseded (G4)', () => {
  const cases = Object.keys(writes).flatMap((what) => Object.keys(takings).map((why) => [what, why] as const));
  it.each(cases)('lands nowhere: %s, after %s', async (what, why) => {
    const write = writes[what];
    const taking = takings[why];
    if (write === undefined || taking === undefined) throw new Error('a case of the tables');
    const bench = await lateWriter(write.script, write.holds);
    await taking(bench);
    const before = await everything(bench);
    bench.late.open();
    await bench.system.settle();
    const after = await everything(bench);
    expect(withoutLate(after)).toEqual(withoutLate(before));
    // What the provider asks for it is asked for all the same (G14).
    const used = after.entries.flatMap((entry) => (entry.kind === 'late-usage' ? [entry.late.usage] : []));
    expect(used).toEqual(what === 'a finished generation' ? [{ inputTokens: 10, outputTokens: 5, cachedInputTokens: 0, reasoningTokens: 0 }] : []);
    expect(bench.answers).toEqual([what === 'live output' || what === 'an outcome ahead of its step' ? 'fence-lost' : expect.objectContaining({ kind: 'refused' })]);
    // What depended on that commit did not happen, and the worker has let go.
    expect(bench.ran).not.toContain('pay 3');
    expect(bench.holdfast.worker?.runs).toBe(0);
  });

  it('lands nowhere when the session was deleted', async () => {
    const bench = await lateWriter(writes['a finished generation']?.script ?? [], writes['a finished generation']?.holds ?? (() => false));
    await bench.session.delete();
    bench.late.open();
    await bench.system.settle();
    expect(await everything(bench)).toEqual({ entries: [], row: null, outcomes: [], chunks: [] });
    expect(bench.holdfast.worker?.runs).toBe(0);
  });

  it('is not taken for the outcome of a later call in the same place', async () => {
    const calls = [{ call: 'look', input: { n: 5 } }, { call: 'look', input: { n: 6 } }];
    const bench = await lateWriter([[{ call: 'stuck', input: { n: 1 } }, { call: 'look', input: { n: 2 } }], calls, 'an answer'], (name) => name === 'outcome');
    await bench.session.stop();
    bench.late.open();
    await bench.system.settle();
    const again: SessionHandle = await bench.holdfast.sessions.get(bench.session.id);
    expect(await (await again.send('again')).result).toMatchObject({ reason: 'complete', text: 'an answer' });
    expect(ofKind(await again.entries(), 'tool-results')).toMatchObject([
      { results: [{ outcome: 'stopped' }, { outcome: 'stopped' }] },
      { results: [{ outcome: 'done', output: 'look 5' }, { outcome: 'done', output: 'look 6' }] },
    ]);
  });
});

describe('a message that was queued meanwhile', () => {
  it('does not undo a finished generation: it is committed without being made again, and the message runs next', async () => {
    const bench = await lateWriter(['an answer', 'another'], (name, number) => name === 'update' && number === 1);
    await bench.session.send('next');
    bench.late.open();
    await bench.system.settle();
    expect(ofKind(await bench.session.entries(), 'assistant-step').map(({ parts }) => parts)).toMatchObject([[{ text: 'an answer' }], [{ text: 'another' }]]);
    expect((await bench.session.get()).status).toBe('idle');
  });
});
