import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import type { CommandHost } from '../../src/commands/command-host.ts';
import { create } from '../../src/commands/create.ts';
import { isRefusal } from '../../src/core/errors.ts';
import type { Holdfast, HoldfastOptions } from '../../src/create-holdfast.ts';
import { tool } from '../../src/index.ts';
import { postgres, postgresUrlParts } from '../../src/store-url.ts';
import { realSystem } from '../../src/system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedGeneration } from '../../src/testing/scripted-model.ts';
import { eventually } from '../support/eventually.ts';
import { gatedModel } from '../support/gated-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { postgresSchemas } from '../support/stores.ts';

/** Calls the tool `work` once for each message, then answers. */
const working: ScriptedGeneration = ({ prompt }) => (prompt.at(-1)?.role === 'user' ? [{ call: 'work' }] : 'done');

function worker(store: HoldfastOptions['store'], tools: NonNullable<AgentOptions['tools']>, tuning: Exclude<HoldfastOptions['worker'], boolean | undefined>, options: Partial<HoldfastOptions> = {}): Promise<Holdfast> {
  return openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([], { otherwise: working }), tools })], store, worker: tuning, ...options });
}

/** Takes commands and reads. */
function api(store: HoldfastOptions['store'], options: Partial<HoldfastOptions> = {}): Promise<Holdfast> {
  return worker(store, {}, {}, { worker: false, ...options });
}

const neverMs = 600_000;

describe('workers on one Postgres', () => {
  it('eight of them share fifty sessions: each is in one worker\'s hands at a time, and each turn is done once', async () => {
    const url = await postgresSchemas.newUrl();
    const sender = await api(url);
    const runs: { by: number; callKey: string }[] = [];
    const begunAtMs = Date.now();
    const workers = await Promise.all(Array.from({ length: 8 }, (_each, by) => worker(postgres({ ...partsOf(url), connectionsMax: 4 }), { work: tool({ inputSchema: z.object({}), execute: async (_input, { callKey }) => { runs.push({ by, callKey }); await new Promise((resolve) => { setTimeout(resolve, 20); }); return 'worked'; } }) }, { runsMax: 3, pollMs: 100 })));
    const sessions = await Promise.all(Array.from({ length: 50 }, () => sender.sessions.create({ agent: 'one', message: { text: 'go' } })));
    const seconds = await Promise.all(sessions.map((session) => session.send('again')));
    for (const [place, session] of sessions.entries()) {
      expect(await session.firstTurn?.result).toMatchObject({ reason: 'complete' });
      expect(await seconds[place]?.result).toMatchObject({ reason: 'complete' });
      expect((await session.entries()).map(({ kind }) => kind).filter((kind) => kind !== 'message-queued')).toEqual([
        'session-created', ...['user-message', 'assistant-step', 'tool-results', 'assistant-step', 'turn-ended'], ...['user-message', 'assistant-step', 'tool-results', 'assistant-step', 'turn-ended'],
      ]);
      expect(await sender.store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ crashes: 0, claim: null });
    }
    expect([runs.length, new Set(runs.map(({ callKey }) => callKey)).size]).toEqual([100, 100]);
    console.log(`100 turns with a call each in ${Date.now() - begunAtMs} ms; by worker: ${workers.map((_each, by) => runs.filter((run) => run.by === by).length).join(', ')}`);
  });

  it('a tenant with two hundred waiting sessions keeps another\'s one session waiting no longer than until a place is free', async () => {
    const url = await postgresSchemas.newUrl();
    const { begun, gateOf, agentOf } = gatedModel();
    const one = agentOf('one');
    const sender = await api(url, { agents: [one] });
    const host: CommandHost = { store: sender.store, system: realSystem(), agents: new Map([['one', one]]), work: null, committed: () => undefined };
    const ask = async (tenant: string, text: string): Promise<void> => {
      expect(isRefusal(await create(host, { agent: 'one', message: { text } }, { principal: { tenant, owner: 'ada', roles: [] } }))).toBe(false);
    };
    for (let count = 0; count < 200; count += 1) await ask('large', `large ${count}`);
    for (let count = 0; count < 2; count += 1) await openHoldfast({ agents: [one], store: url, worker: { runsMax: 1, pollMs: 50, stopGraceMs: 0 } });
    await eventually('both workers to have one', () => begun.length === 2);
    await ask('small', 'small 0');
    const [first = '', second = ''] = begun;
    gateOf(first).open();
    await eventually('the next one to begin', () => begun.length === 3);
    gateOf(second).open();
    await eventually('one more to begin', () => begun.length === 4);
    expect(begun.slice(2)).toContain('small 0');
  });

  it('one that is stopped hands its sessions to another, which need not wait for any lease', async () => {
    const url = await postgresSchemas.newUrl();
    const held = gate();
    const sender = await api(url);
    const first = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([], { otherwise: [{ text: 'half' }, { gate: held }] }) })], store: url, worker: { leaseMs: neverMs, pollMs: neverMs, stopGraceMs: 200 } });
    await eventually('it to hear others', () => first.store.hearsOthers);
    const sessions = await Promise.all(Array.from({ length: 10 }, () => sender.sessions.create({ agent: 'one', message: { text: 'go' } })));
    await eventually('it to have them all', () => first.worker?.runs === 10);
    const second = await worker(url, { work: tool({ inputSchema: z.object({}), execute: () => 'worked' }) }, { leaseMs: neverMs, pollMs: neverMs });
    await eventually('the other one to hear of others', () => second.store.hearsOthers);
    const stoppedAtMs = Date.now();
    await first.close();
    for (const session of sessions) expect(await session.firstTurn?.result).toMatchObject({ reason: 'complete', text: 'done' });
    console.log(`ten sessions went on and ended ${Date.now() - stoppedAtMs} ms after their worker was told to stop, with a grace time of 200 ms and a lease of ten minutes`);
    for (const { id } of sessions) expect(await sender.store.readSession({ tenant: 'default', id })).toMatchObject({ crashes: 0 });
  });

  it('hooks of several processes are called once for each event', async () => {
    const url = await postgresSchemas.newUrl();
    const heard: string[] = [];
    const hooks: HoldfastOptions['hooks'] = { onTurnEnd: ({ sessionId, entry }) => { heard.push(`${sessionId} ${entry.seq}`); }, onStepEnd: ({ sessionId, entry }) => { heard.push(`${sessionId} ${entry.seq}`); } };
    const tools = { work: tool({ inputSchema: z.object({}), execute: () => 'worked' }) };
    for (let count = 0; count < 3; count += 1) await worker(url, tools, { runsMax: 2, pollMs: 50 }, { hooks });
    const sender = await api(url, { hooks });
    const sessions = await Promise.all(Array.from({ length: 20 }, () => sender.sessions.create({ agent: 'one', message: { text: 'go' } })));
    for (const session of sessions) await session.firstTurn?.result;
    const events = await Promise.all(sessions.map(async (session) => (await session.entries()).filter(({ kind }) => kind === 'turn-ended' || kind === 'assistant-step').map(({ seq }) => `${session.id} ${seq}`)));
    await eventually('the outbox to be empty', async () => (await sender.store.readOutbox({ limit: 100, olderThanMs: Date.now() + 60_000 })).length === 0);
    expect(heard.toSorted()).toEqual(events.flat().toSorted());
  });
});

describe.each([
  { way: 'by its hint alone', notify: true, pollMs: neverMs, leaseMs: neverMs },
  { way: 'by looking, where there are no hints', notify: false, pollMs: 50, leaseMs: 900 },
])('a worker hears what another process decided $way', ({ notify, pollMs, leaseMs }) => {
  it('takes a new session, is stopped in a generation and in a call, and gives a steered message to the model', async () => {
    const url = await postgresSchemas.newUrl();
    const opening = { ...partsOf(url), dialect: { notify } };
    const sender = await api(postgres(opening));
    const steered = gate();
    const model = scriptedModel([], {
      otherwise: ({ prompt }) => {
        const text = JSON.stringify(prompt.at(-1));
        if (text.includes('generate')) return [{ text: 'for ever' }, { gate: gate() }];
        if (text.includes('steer me')) return [{ gate: steered }, { call: 'quick' }];
        if (text.includes('go on')) return 'I was steered';
        return prompt.at(-1)?.role === 'user' ? [{ call: 'hang' }] : 'done';
      },
    });
    const begun = gate();
    let toldToEnd = 0;
    const tools = {
      hang: tool({ inputSchema: z.object({}), execute: (_input, { abortSignal }) => new Promise((_resolve, reject) => { begun.open(); abortSignal.addEventListener('abort', () => { toldToEnd += 1; reject(new Error('told to end')); }); }) }),
      quick: tool({ inputSchema: z.object({}), execute: () => 'ok' }),
    };
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model, tools })], store: postgres(opening), worker: { pollMs, leaseMs, chunkIntervalMs: 20 } });
    if (notify) await eventually('the processes to hear each other', () => sender.store.hearsOthers && holdfast.store.hearsOthers);
    expect(sender.store.capabilities.hintsOfOthers).toBe(notify);

    const generating = await sender.sessions.create({ agent: 'one', message: { text: 'generate' } });
    const calling = await sender.sessions.create({ agent: 'one', message: { text: 'call' } });
    const steering = await sender.sessions.create({ agent: 'one', message: { text: 'steer me' } });
    await eventually('all to be taken', () => holdfast.worker?.runs === 3);
    await begun.pass();
    await steering.send({ text: 'go on', whenBusy: 'steer' });
    await generating.stop();
    await calling.stop();
    await eventually('the work to end', () => holdfast.worker?.runs === 1 && toldToEnd === 1);
    steered.open();
    expect(await steering.firstTurn?.result).toMatchObject({ reason: 'complete', text: 'I was steered' });
    for (const session of [generating, calling]) {
      expect(await session.firstTurn?.result).toMatchObject({ reason: 'stopped' });
      expect(ofKind(await session.entries(), 'turn-ended')).toHaveLength(1);
    }
  });
});

describe('a worker to which the database does not answer', () => {
  it('stops itself before anybody may take its sessions, another goes on, nothing of what it then does lands, and it works on under a new id', async () => {
    const url = await postgresSchemas.newUrl();
    const { url: connection, schema } = partsOf(url);
    const pool = new pg.Pool({ connectionString: connection, max: 6 });
    onTestFinished(() => pool.end());
    let answering = gate();
    answering.open();
    const gatedPool = {
      connect: async () => { await answering.pass(); return pool.connect(); },
      on: pool.on.bind(pool), removeListener: pool.removeListener.bind(pool),
    } as unknown as NonNullable<Parameters<typeof postgres>[0]['pool']>;
    const logged: string[] = [];
    const released = gate();
    const aborted = gate();
    const runs: string[] = [];
    const work = (by: string) => tool({
      inputSchema: z.object({}), recovery: 'rerun',
      execute: async (_input, { abortSignal }) => {
        runs.push(by);
        if (by === 'second' || runs.length > 1) return `by ${by}`;
        abortSignal.addEventListener('abort', () => aborted.open());
        await released.pass();
        return 'too late';
      },
    });
    const first = await worker(postgres({ pool: gatedPool, schema }), { work: work('first') }, { leaseMs: 900, pollMs: 50 }, { log: (_level, event) => logged.push(event) });
    const sender = await api(url);
    const session = await sender.sessions.create({ agent: 'one', message: { text: 'go' } });
    await released.reached;
    const firstId = first.worker?.id;

    answering = gate();
    await aborted.pass();
    // Nobody has taken anything yet: the lease has not run out.
    expect(await sender.store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ claim: { worker: firstId }, crashes: 0 });
    expect(first.worker?.ready).toBe(false);
    expect(logged).toContain('lease-lost');
    const second = await worker(url, { work: work('second') }, { leaseMs: 900, pollMs: 50 });
    expect(await session.firstTurn?.result).toMatchObject({ reason: 'complete' });
    const entries = await session.entries();
    released.open();
    answering.open();
    await eventually('it to be a worker again', () => first.worker?.ready === true && first.worker.id !== firstId);
    expect(ofKind(entries, 'tool-results')).toMatchObject([{ results: [{ outcome: 'done', output: 'by second' }] }]);
    expect((await session.entries()).filter(({ kind }) => kind !== 'late-result')).toEqual(entries);
    await second.close();
    const turn = await session.send('again');
    expect(await turn.result).toMatchObject({ reason: 'complete' });
    expect(runs).toEqual(['first', 'second', 'first']);
  });
});

function partsOf(url: string): { readonly url: string; readonly schema: string } {
  const { connection, schema = 'holdfast' } = postgresUrlParts(url);
  return { url: connection, schema };
}
