import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { examineStore } from '../../src/cli/examine-store.ts';
import { RefusedError } from '../../src/core/errors.ts';
import type { Entry } from '../../src/core/entry.ts';
import { seededRandom } from '../../src/testing/fake-system.ts';
import type { Child } from '../support/child-process.ts';
import { watch, type AskedSession, type Watcher } from '../support/paused-sessions.ts';
import { ofKind } from '../support/run-turn.ts';
import { seedOf } from '../support/seed.ts';
import { pauseText, type PauseRequest } from './children/pause-agent.ts';

const sessions = 40;
const kills = 6;
const tools = ['quick', 'held', 'again', 'refund', 'rerun', 'keyed', 'report', 'probe', 'delegate'];
/** A call of these runs at most once, whoever dies. */
const once = new Set(['quick', 'held', 'refund', 'report', 'delegate']);
/** What a decision that came too late is answered. */
const late = new Set(['action_not_found', 'action_decided', 'action_withdrawn']);

type Random = () => number;

function pick<Item>(items: readonly Item[], random: Random): Item {
  return items[Math.floor(random() * items.length)] as Item;
}

function someCalls(random: Random): PauseRequest['calls'] {
  return Array.from({ length: 1 + Math.floor(random() * 4) }, () => {
    const finding = pick(['ran', 'not', 'unknown'] as const, random);
    return [pick(tools, random), { forMs: Math.floor(random() * 150), finding, ...(random() < 0.25 ? { detached: true } : {}) }] as const;
  });
}

/** Two workers, one of which is killed now and then. */
class Workers {
  readonly all: Child[] = [];
  isOver = false;
  readonly #watcher: Watcher;
  readonly #random: Random;

  constructor(watcher: Watcher, random: Random) {
    this.#watcher = watcher;
    this.#random = random;
    this.#start();
    this.#start();
  }

  async storm(): Promise<void> {
    for (let killed = 0; killed < kills; killed += 1) {
      await this.all.at(-1)?.hears('ready');
      await pause(this.#random() * 400);
      await this.all.at(this.#random() < 0.5 ? -1 : -2)?.signal('SIGKILL');
      // The one that lives stays the one before the last.
      const [before, last] = this.all.slice(-2);
      if (before !== undefined && last !== undefined && await hasEnded(last)) this.all.splice(-2, 2, last, before);
      this.#start();
    }
    this.isOver = true;
  }

  #start(): void {
    this.all.push(this.#watcher.worker({ pollMs: 50 }));
  }
}

async function hasEnded(child: Child): Promise<boolean> {
  return Promise.race([child.ended.then(() => true), pause(0).then(() => false)]);
}

/** Somebody who decides, completes, stops and says more, at random, until every session rests. */
async function people(watcher: Watcher, workers: Workers, asked: readonly AskedSession[], random: Random): Promise<void> {
  const completed = new Set<unknown>();
  let isOver = false;
  while (!isOver) {
    await pause(5);
    isOver = true;
    for (const { event, operationId, token } of workers.all.flatMap(({ said }) => said)) {
      if (event !== 'delegated' || completed.has(token) || random() < 0.7) continue;
      completed.add(token);
      await watcher.holdfast.operations.complete(String(operationId), { token: String(token), output: 'completed' });
    }
    for (const { session } of asked) {
      const { items } = await session.operations();
      const { status } = await session.get();
      isOver &&= workers.isOver && status === 'idle' && items.every((operation) => operation.status !== 'running' && operation.status !== 'queued');
      const chance = random();
      if (chance < 0.004) await session.stop();
      else if (status === 'idle' && !workers.isOver && chance < 0.2) await session.send(pauseText(...someCalls(random)));
      else if (chance < 0.008 && status !== 'idle') await session.send({ text: pauseText(['quick']), whenBusy: pick(['queue', 'steer', 'interrupt'] as const, random) });
      for (const { id } of chance < 0.3 ? await session.actions() : []) await decide(async () => void await (random() < 0.7 ? session.approve(id) : session.deny(id)));
      // Its token died with the process that was given it.
      for (const operation of items) if (operation.external && operation.status === 'running' && random() < 0.02) await watcher.holdfast.operations.cancel(operation.id);
    }
  }
}

async function decide(decision: () => Promise<void>): Promise<void> {
  try {
    await decision();
  } catch (error) {
    if (!(error instanceof RefusedError) || !late.has(error.code)) throw error;
  }
}

function expectEachOnce(entries: readonly Entry[], begun: ReadonlyMap<string, number>, sessionId: string): void {
  const actions = ofKind(entries, 'action-opened').map(({ actionId }) => actionId);
  expect(ofKind(entries, 'action-resolved').map(({ actionId }) => actionId).toSorted()).toEqual(actions.toSorted());
  const started = ofKind(entries, 'operation-started').map(({ operationId }) => operationId);
  expect(ofKind(entries, 'operation-ended').map(({ operationId }) => operationId).toSorted()).toEqual(started.toSorted());
  expect(ofKind(entries, 'turn-ended').filter(({ reason }) => reason === 'failed')).toEqual([]);
  const detached = new Map(ofKind(entries, 'operation-ended').flatMap(({ stepSeq, index, mode, result }) => (mode === 'detach' && result !== undefined ? [[`${stepSeq}/${index}` as string, result] as const] : [])));
  for (const { stepSeq, results } of ofKind(entries, 'tool-results')) {
    for (const answered of results) {
      const name = `${stepSeq}/${answered.index}`;
      const result = answered.outcome === 'done' ? (detached.get(name) ?? answered) : answered;
      const runs = begun.get(`${sessionId}/${name}`) ?? 0;
      const about = `${JSON.stringify(result)}, begun ${runs} times`;
      expect(result.outcome, about).not.toBe('failed');
      if (once.has(result.toolName)) expect(runs, about).toBeLessThanOrEqual(1);
      if (result.outcome === 'done' && result.toolName !== 'probe') expect(runs, about).toBeGreaterThan(0);
      if (result.outcome === 'denied') expect(runs, about).toBe(0);
      // A stop says whether the call may have had its effect; of a `rerun` tool it need not.
      if (result.outcome === 'stopped' && result.mayHaveRun !== true && result.toolName !== 'again') expect(runs, about).toBe(0);
    }
  }
}

describe('sessions that wait for people, clients and operations, while workers die and people decide, stop and say more', () => {
  it('come to rest, with each action resolved once, each operation ended once, and no call run twice that must not be', { timeout: 90_000 }, async () => {
    const random = seededRandom(seedOf('a storm of deaths and decisions'));
    const watcher = await watch();
    const workers = new Workers(watcher, random);
    const asked = await Promise.all(Array.from({ length: sessions }, () => watcher.ask(...someCalls(random))));
    await Promise.all([workers.storm(), people(watcher, workers, asked, random)]);

    const begun = new Map<string, number>();
    for (const { phase, callKey } of watcher.journal()) if (phase === 'begin') begun.set(callKey, (begun.get(callKey) ?? 0) + 1);
    const outcomes = new Map<string, number>();
    for (const { session } of asked) {
      const entries = await session.entries();
      expectEachOnce(entries, begun, session.id);
      for (const { outcome } of ofKind(entries, 'tool-results').flatMap(({ results }) => results)) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    const { findings } = await examineStore(`sqlite:${watcher.path}`, { onSessions: () => undefined, onSession: () => undefined });
    expect(findings).toEqual([]);
    console.log(`${kills} workers killed; outcomes: ${[...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(', ')}`);
  });
});
