import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import { limits } from '../../src/core/limits.ts';
import { counterChanges, sumCounts, type UsageCount } from '../../src/core/usage.ts';
import { agent, createHoldfast, type Budget, type Holdfast, type SessionHandle } from '../../src/index.ts';
import { SpentBudgets } from '../../src/store/spent-budgets.ts';
import { fakeSystem, seededRandom } from '../../src/testing/fake-system.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { startChild, type Child } from '../support/child-process.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { seedOf } from '../support/seed.ts';
import { openStore, stores } from '../support/stores.ts';
import { spendingAgent, tokensPerStep, type SpendingConfig } from './children/spending-process.ts';

const ofOwner: Budget = { per: 'owner', unit: 'tokens', period: 'day', limit: 40 };

/** Agents whose every generation is an answer and uses 15 tokens. */
function talker() {
  const model = scriptedModel([], { otherwise: 'said' });
  return { model, agents: [agent({ name: 'talker', model, prices: { 'scripted-1': { input: 1_000, output: 1_000 } } })] };
}

async function say(session: SessionHandle, text = 'go') {
  return (await session.send(text)).result;
}

function counted(entries: readonly Entry[], session: { readonly id: string; readonly owner: string }): UsageCount {
  return sumCounts(counterChanges(session, entries).map(({ count }) => count));
}

describe.each(stores)('a budget on $name', ({ newUrl }) => {
  /** Turns that owners had before there were budgets, each of 15 tokens; then a process that has them, which has read nothing yet. */
  async function budgeted(budgets: readonly Budget[], spent: readonly string[]) {
    const store = await newUrl();
    const { model, agents } = talker();
    const before = await openHoldfast({ store, agents });
    for (const owner of spent) expect(await say(await before.sessions.create({ agent: 'talker', owner }))).toMatchObject({ reason: 'complete', usage: { costMicros: 15_000 } });
    await before.close();
    return { holdfast: await openHoldfast({ store, agents, budgets }), model };
  }

  it('fails the turn that would go beyond it, of that owner and of no other', async () => {
    const { holdfast, model } = await budgeted([ofOwner], ['ada', 'ada', 'ada', 'bob']);
    const ada = await holdfast.sessions.create({ agent: 'talker', owner: 'ada' });
    for (let times = 1; times <= 2; times += 1) {
      expect(await say(ada)).toMatchObject({ reason: 'failed', error: { code: 'usage_limit', retryable: false, message: expect.stringMatching(/^the budget of the owner is used up: 45 tokens of 40 tokens this day; it begins anew with \d{4}-\d\d-\d\d UTC$/) } });
      expect(ofKind(await ada.entries(), 'budget-exhausted').length).toBe(times);
    }
    expect(ofKind(await ada.entries(), 'budget-exhausted')[0]).toMatchObject({ ...ofOwner, used: 45, nextAttempt: 1 });
    expect(await say(await holdfast.sessions.create({ agent: 'talker', owner: 'bob' }))).toMatchObject({ reason: 'complete' });
    expect([model.calls.length, (await ada.get()).status]).toEqual([5, 'failed']);
  });

  it('of a tenant is that of all its owners together; of money it is in the currency of the prices', async () => {
    const { holdfast } = await budgeted([{ per: 'tenant', unit: 'cost', period: 'month', limit: 0.03 }], ['ada', 'bob']);
    expect(await say(await holdfast.sessions.create({ agent: 'talker', owner: 'eve' }))).toMatchObject({ error: { code: 'usage_limit', message: expect.stringContaining('the budget of the tenant is used up: 0.03 of 0.03 of cost this month') } });
  });

  it('that says wait keeps the turn open with nobody on it, seen by who follows; a stop ends it, and what waits behind it waits its turn', async () => {
    const { holdfast } = await budgeted([{ ...ofOwner, limit: 1, whenExhausted: 'wait' }], ['ada']);
    const session = await holdfast.sessions.create({ agent: 'talker', owner: 'ada' });
    const turn = await session.send('again');
    const retry = await (async () => {
      for await (const event of session.events()) if (event.type === 'retry') return event;
      return null;
    })();
    const told = await (async () => {
      for await (const part of turn.stream) if (part.type === 'retry') return part;
      return null;
    })();
    expect(told).toEqual({ type: 'retry', attempt: 1, delayMs: retry?.delayMs, reason: 'usage_limit' });
    const { status, retry: waits } = await session.get();
    expect([status, retry?.reason, waits?.reason, waits?.atMs, (retry?.atMs ?? 0) % 86_400_000]).toEqual(['ready', 'usage_limit', 'usage_limit', retry?.atMs, 0]);
    expect((await holdfast.store.readSession({ tenant: 'default', id: session.id }))?.claim).toBe(null);
    const next = await session.send('and then?');
    expect(next.queued).toBe(true);
    await session.stop();
    expect(await turn.result).toMatchObject({ reason: 'stopped' });
    for await (const event of session.events()) if (event.type === 'entry' && event.entry.kind === 'budget-exhausted' && event.entry.turnId === next.id) break;
    expect((await session.get()).retry?.reason).toBe('usage_limit');
    await session.stop();
  });

  it('that is used up while an agent goes on and on is overspent by no more than what begins within a second, though workers are killed all the while; counters are what the logs say', { timeout: 60_000 }, async () => {
    const random = seededRandom(seedOf('budgets under kills'));
    const [sessionCount, workerCount, stepMs, limit] = [12, 3, 30, tokensPerStep * 150];
    const journal = `${await temporaryDatabase()}.journal`;
    writeFileSync(journal, '');
    const url = await newUrl();
    const config: SpendingConfig = { url, journal, stepMs, budgets: [{ per: 'owner', unit: 'tokens', period: 'month', limit }] };
    const watcher = await openHoldfast({ store: url, agents: [spendingAgent(config)], worker: false });
    const turns = await Promise.all(Array.from({ length: sessionCount }, async () => {
      const session = await watcher.sessions.create({ agent: 'spender', owner: 'ada' });
      return { session, turn: await session.send('spend') };
    }));
    const workers: Child[] = Array.from({ length: workerCount }, () => startChild('test/worker/children/spending-process.ts', config));
    let kills = 0;
    const ended = Promise.all(turns.map(({ turn }) => turn.result));
    let over = false;
    void ended.then(() => { over = true; });
    for (let place = 0; !over; place = Math.floor(random() * workerCount)) {
      await workers[place]?.hears('ready');
      await Promise.race([ended, pause(100 + random() * 400)]);
      if (over) break;
      await workers[place]?.signal('SIGKILL');
      kills += 1;
      workers[place] = startChild('test/worker/children/spending-process.ts', config);
    }
    for (const result of await ended) expect(result).toMatchObject({ reason: 'failed', error: { code: 'usage_limit' } });
    await expectSpent(watcher, turns.map(({ session }) => session), { limit, kills, journal });
  });
});

/** What was spent beyond the limit was begun before anybody could know it, and is in the counters and the logs alike. */
async function expectSpent(watcher: Holdfast, sessions: readonly SessionHandle[], { limit, kills, journal }: { readonly limit: number; readonly kills: number; readonly journal: string }): Promise<void> {
  const logs = await Promise.all(sessions.map(async (session) => {
    const entries: Entry[] = [];
    for (let page = await session.entries(); page.length > 0; page = await session.entries({ afterSeq: entries.at(-1)?.seq ?? 0 })) entries.push(...page);
    return { entries, sum: counted(entries, { id: session.id, owner: 'ada' }) };
  }));
  const inLogs = sumCounts(logs.map(({ sum }) => sum));
  expect((await watcher.usage({ owner: 'ada' })).total).toEqual(inLogs);
  expect((await watcher.usage()).total).toEqual(inLogs);
  const all = logs.flatMap(({ entries }) => entries).toSorted((left, right) => left.atMs - right.atMs);
  let used = 0;
  const reachedAtMs = all.find((entry) => {
    used += entry.kind === 'assistant-step' ? tokensPerStep : 0;
    return used >= limit;
  })?.atMs ?? 0;
  const begins = all.flatMap((entry) => ('attempt' in entry ? [entry.attempt.startedAtMs] : []));
  const [begun, late] = [readFileSync(journal, 'utf8').split('\n').length - 1, Math.max(...begins) - reachedAtMs];
  const steps = all.filter(({ kind }) => kind === 'assistant-step').length;
  const lost = all.filter(({ kind }) => kind === 'attempt-lost').length;
  console.log(`${kills} kills: ${inLogs.inputTokens + inLogs.outputTokens} of ${limit} tokens in ${steps} steps and ${lost} lost attempts; the last began ${late} ms after the limit was reached`);
  // The commit that reaches the limit is seen when it has landed, a little after the time that it has.
  expect(kills).toBeGreaterThan(0);
  expect(late).toBeLessThanOrEqual(limits.budgetAgeMsMax + 500);
  expect([inLogs.attempts, inLogs.attemptsWithoutUsage]).toEqual([steps + lost, lost]);
  // Every generation that began is recorded; one that was claimed and did not begin is recorded as lost as well.
  expect(begun).toBeLessThanOrEqual(steps + lost);
  expect(begun).toBeGreaterThanOrEqual(steps);
}

describe('a turn that waits for its budget', () => {
  async function waiting(budgets: Budget[] | (() => readonly Budget[])) {
    const system = fakeSystem({ startMs: Date.UTC(2026, 0, 1, 23, 57, 30) });
    const { model, agents } = talker();
    const holdfast = await openHoldfast({ system, agents, budgets });
    const session = await holdfast.sessions.create({ agent: 'talker', owner: 'ada' });
    await session.send('go');
    await system.runUntil(async () => (await session.get()).status === 'idle');
    await system.advance(limits.budgetAgeMsMax);
    const turn = await session.send('again');
    await system.runUntil(async () => (await session.get()).retry !== null);
    return { system, model, session, turn };
  }

  it('goes on when the next period begins', async () => {
    const { system, model, session, turn } = await waiting([{ ...ofOwner, limit: 10, whenExhausted: 'wait' }]);
    const beginsMs = Date.UTC(2026, 0, 2);
    await system.advance(beginsMs - 1 - system.clock.nowMs());
    expect([model.calls.length, (await session.get()).retry]).toEqual([1, { atMs: beginsMs, attempt: 1, reason: 'usage_limit' }]);
    await system.runUntil(async () => (await session.get()).status === 'idle', 5_000);
    expect(model.calls.length).toBe(2);
    expect(ofKind(await session.entries(), 'turn-ended').at(-1)).toMatchObject({ turnId: turn.id, reason: 'complete' });
    expect(ofKind(await session.entries(), 'budget-exhausted').length).toBe(1);
  });

  it('goes on within a minute after its budget was raised', async () => {
    let limit = 10;
    const { system, session, turn } = await waiting(() => [{ ...ofOwner, limit, whenExhausted: 'wait' }]);
    await system.advance(limits.budgetLookMs);
    expect((await session.get()).status).toBe('ready');
    limit = 100;
    await system.runUntil(async () => (await session.get()).status === 'idle', limits.budgetLookMs + 5_000);
    expect(ofKind(await session.entries(), 'turn-ended').at(-1)).toMatchObject({ turnId: turn.id, reason: 'complete' });
  });
});

describe('what is spent', () => {
  it('is read at most once a second for an owner, and twice for a tenant, whoever of them asks', async () => {
    const file = await temporaryDatabase();
    const real = await openStore(`sqlite:${file}`);
    const reads: string[] = [];
    let nowMs = Date.UTC(2026, 0, 20, 12);
    const store = { ...real, nowMs: () => nowMs, usage: { ...real.usage, readDays: (query: Parameters<typeof real.usage.readDays>[0]) => { reads.push(`${query.owner ?? '*'} ${query.toDay - query.fromDay + 1}`); return real.usage.readDays(query); } } };
    const spent = new SpentBudgets(store, [ofOwner, { ...ofOwner, per: 'tenant', period: 'month' }]);
    const ada = { tenant: 'acme', owner: 'ada' };
    expect(spent.isKnown(ada)).toBe(false);
    await Promise.all([spent.readFor(ada), spent.readFor(ada)]);
    expect([spent.isKnown(ada), reads]).toEqual([true, ['ada 2', '* 21']]);
    nowMs += limits.budgetAgeMsMax / 2 - 1;
    await spent.readFor(ada);
    await spent.readFor({ ...ada, owner: 'bob' });
    expect(reads.slice(2)).toEqual(['bob 2']);
    nowMs += 1;
    expect(spent.isKnown(ada)).toBe(false);
    await spent.readFor(ada);
    expect(reads.slice(3)).toEqual(['* 21']);
    nowMs += limits.budgetAgeMsMax / 2;
    await spent.readFor(ada);
    expect(reads.slice(4).toSorted()).toEqual(['* 21', 'ada 2']);
  });

  it('of nothing is read where there are no budgets', async () => {
    const { agents } = talker();
    const store = await openStore(`sqlite:${await temporaryDatabase()}`);
    const untouched = new Proxy(store, { get: (target, name) => {
      if (name === 'usage') throw new Error('nobody asks for usage');
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? (member as (...given: unknown[]) => unknown).bind(target) : member;
    } });
    await using holdfast = await createHoldfast({ store: untouched, agents });
    expect(await say(await holdfast.sessions.create({ agent: 'talker' }))).toMatchObject({ reason: 'complete' });
  });

  it('by budgets that are none is refused', async () => {
    for (const budget of [{ ...ofOwner, per: 'team' }, { ...ofOwner, limit: -1 }, { ...ofOwner, limit: Number.NaN }, { ...ofOwner, period: 'year' }, { ...ofOwner, whenExhausted: 'beg' }]) {
      await expect(createHoldfast({ store: 'sqlite::memory:', agents: [], budgets: [budget as Budget] })).rejects.toMatchObject({ code: 'options_invalid' });
    }
  });
});
