import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { agent, tool } from '../../src/index.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { startChild, type Child } from '../support/child-process.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { sourcesOf } from '../support/previous-version.ts';
import { ofKind } from '../support/run-turn.ts';
import { postgresSchemas } from '../support/stores.ts';
import type { DeployConfig } from './children/deploy-process.ts';

/** The last one before which the rows of sessions looked different. The schema has grown since, by marks, branches and state: this version migrates it under the old ones. */
const previous = 'Postgres: changes of sessions that come at once share a statement';
const thisVersion = path.join(import.meta.dirname, '..', '..');
const script = 'test/worker/children/deploy-process.ts';
const sessionsCount = 10;
const rounds = 20;

/** What is sent and acknowledged, by the old process that takes messages while there is one, and by this one. */
class Load {
  readonly acknowledged: { readonly session: SessionHandle; readonly turnId: string }[] = [];
  readonly #sessions: readonly SessionHandle[];
  #old: Child | null;

  constructor(sessions: readonly SessionHandle[], old: Child) {
    this.#sessions = sessions;
    this.#old = old;
  }

  /** One message for each session, every other one by the old process; waits for the turns of the round before last, so that some wait and some run all the time. */
  async round(number: number): Promise<void> {
    const sent = await Promise.all(this.#sessions.map((session, place) => this.#send(session, `${number} ${place}`, place % 2 === 0 ? this.#old : null)));
    const before = this.acknowledged.slice(-2 * sessionsCount, -sessionsCount);
    this.acknowledged.push(...sent);
    await Promise.all(before.map(({ session, turnId }) => session.turn({ turnId }).result));
  }

  /** From now on everything is sent by this process. */
  async leave(): Promise<void> {
    const old = this.#old;
    this.#old = null;
    await old?.signal('SIGTERM');
  }

  async #send(session: SessionHandle, text: string, by: Child | null): Promise<{ readonly session: SessionHandle; readonly turnId: string }> {
    if (by === null) return { session, turnId: (await session.send(text)).id };
    by.tell({ event: 'send', sessionId: session.id, text });
    return { session, turnId: String((await by.hears('acknowledged', (message) => message['text'] === text))['turnId']) };
  }
}

it('workers of the version before and of this one share a database under load, the old ones leave, and nothing is lost, done twice or stuck', { timeout: 60_000 }, async ({ skip }) => {
  const sources = await sourcesOf(previous);
  if ('missing' in sources) return skip(sources.missing);
  const url = await postgresSchemas.newUrl();
  const journal = `${await temporaryDatabase()}.journal`;
  const start = (folder: string, works: boolean): Child => startChild(script, { folder, url, works, journal } satisfies DeployConfig);
  // The old version has made the database, and is what there is.
  const oldApi = start(sources.folder, false);
  await oldApi.hears('ready');
  const oldWorkers = [start(sources.folder, true), start(sources.folder, true)];
  for (const each of oldWorkers) await each.hears('ready');
  const note = tool({ inputSchema: z.object({}), execute: () => 'not here' });
  const holdfast = await openHoldfast({ agents: [agent({ name: 'deployed', model: scriptedModel([]), tools: { note } })], store: url, worker: false });
  const sessions = await Promise.all(Array.from({ length: sessionsCount }, () => holdfast.sessions.create({ agent: 'deployed' })));
  const load = new Load(sessions, oldApi);

  let newWorkers: readonly Child[] = [];
  let leaving: Promise<unknown> = Promise.resolve();
  for (let number = 0; number < rounds; number += 1) {
    await load.round(number);
    if (number === 4) {
      newWorkers = [start(thisVersion, true), start(thisVersion, true)];
      for (const each of newWorkers) await each.hears('ready');
    }
    if (number === 12) leaving = Promise.all([...oldWorkers.map((each) => each.signal('SIGTERM')), load.leave()]);
  }
  await leaving;

  expect(load.acknowledged).toHaveLength(sessionsCount * rounds);
  for (const { session, turnId } of load.acknowledged) expect(await session.turn({ turnId }).result).toMatchObject({ reason: 'complete', text: 'noted well' });
  const keys = readFileSync(journal, 'utf8').trim().split('\n');
  expect([keys.length, new Set(keys).size]).toEqual([load.acknowledged.length, load.acknowledged.length]);
  for (const session of sessions) {
    const entries = await session.entries({ limit: 1_000 });
    expect(ofKind(entries, 'tool-results').map(({ results }) => results.map(({ outcome, output }) => [outcome, output]))).toEqual(Array.from({ length: rounds }, () => [['done', 'noted']]));
    expect(ofKind(entries, 'turn-ended').map(({ turnId }) => turnId)).toEqual(load.acknowledged.filter((each) => each.session === session).map(({ turnId }) => turnId));
    expect(ofKind(entries, 'attempt-lost')).toEqual([]);
    expect(await holdfast.store.readSession({ tenant: 'default', id: session.id })).toMatchObject({ turn: null, queue: [], claim: null, crashes: 0, operations: [] });
  }
  expect([...oldWorkers, ...newWorkers].flatMap(({ said }) => said.filter(({ event }) => event === 'log').map(({ name }) => name))).toEqual([]);
  expect((await holdfast.store.listWorkers()).length).toBe(2);
});
