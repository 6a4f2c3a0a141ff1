import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent } from '../../src/agent/agent.ts';
import { importSession } from '../../src/core/accept/import.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { limits } from '../../src/core/limits.ts';
import { tool } from '../../src/index.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { calling } from '../support/run-turn.ts';
import { openStore, stores, type TestStore } from '../support/stores.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';

const codeOf = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => null, (error: unknown) => (error instanceof Error && 'code' in error ? error.code : error));

/** A session with a turn, whose tool has come to more than the log keeps of it. */
async function bench({ newUrl }: TestStore, overrides: StoreOverrides = {}) {
  const tools = { report: tool({ inputSchema: z.object({}), maxResultBytes: 100, execute: () => 'x'.repeat(1_000) }) };
  const store = wrappedStore(await openStore(await newUrl()), overrides);
  const holdfast = await openHoldfast({ store, agents: [agent({ name: 'one', model: scriptedModel([calling(['report'])], { otherwise: 'ok' }), tools })] });
  const session = await holdfast.sessions.create({ agent: 'one' });
  await (await session.send('go')).result;
  return { holdfast, store, session };
}

async function wholeOf(session: SessionHandle): Promise<unknown> {
  const step = (await session.entries({ limit: 100 })).find(({ kind }) => kind === 'assistant-step');
  return session.callResult(`${step?.seq}-0`);
}

describe.each(stores)('a fork on $name', (kind) => {
  it('asked for again by its key is told what it was told, though its origin is gone', async () => {
    const { session } = await bench(kind);
    const keyed = { idempotencyKey: 'one' };
    const copy = await session.fork({}, keyed);
    await session.delete();
    expect((await session.fork({}, keyed)).id).toBe(copy.id);
    expect(await codeOf(session.fork({ turnId: null }, keyed))).toBe('idempotency_mismatch');
    expect(await codeOf(session.fork({}))).toBe('session_not_found');
    expect(await codeOf(session.fork({ externalId: 'copy' }, { idempotencyKey: 'three' }))).toBe('session_not_found');
  });

  it('asked for again reads nothing of its origin', async () => {
    const read: string[] = [];
    const { session } = await bench(kind, { readEntries: (inner, ref, range) => (read.push(ref.id), inner.readEntries(ref, range)) });
    const copy = await session.fork({ externalId: 'copy' }, { idempotencyKey: 'one' });
    expect(read).toContain(session.id);
    read.length = 0;
    expect([(await session.fork({ externalId: 'copy' }, { idempotencyKey: 'one' })).id, (await session.fork({ externalId: 'copy' })).id]).toEqual([copy.id, copy.id]);
    expect(read).not.toContain(session.id);
  });

  it.each([{ externalId: 'copy' }, {}])('that was cut off before its whole results were copied has them when it is asked for again: %j', async (body) => {
    let fails = false;
    const { session } = await bench(kind, { storeWholeResult: (inner, whole) => (fails ? Promise.reject(new Error('cut off')) : inner.storeWholeResult(whole)) });
    const again = { ...('externalId' in body ? {} : { idempotencyKey: 'one' }) };
    fails = true;
    await expect(session.fork(body, again)).rejects.toThrow('cut off');
    fails = false;
    const copy = await session.fork(body, again);
    expect([await wholeOf(session), await wholeOf(copy)]).toEqual(['x'.repeat(1_000), 'x'.repeat(1_000)]);
  });

  it('does not have what is redacted while its origin is read, and is not made of one that is deleted', async () => {
    let meanwhile: (() => Promise<unknown>) | null = null;
    const { holdfast, session } = await bench(kind, {
      readEntries: async (inner, ref, range) => {
        const entries = await inner.readEntries(ref, range);
        const happens = meanwhile;
        meanwhile = null;
        await happens?.();
        return entries;
      },
    });
    const { seq = 0 } = (await session.entries({ limit: 100 })).find((entry) => entry.kind === 'user-message') ?? {};
    meanwhile = () => session.redact(seq);
    const copy = await session.fork();
    expect((await copy.entries({ limit: 100 })).find((entry) => entry.kind === 'user-message')).toMatchObject({ parts: [{ text: '[redacted]' }], copied: true });
    meanwhile = () => session.delete();
    expect(await codeOf(session.fork())).toBe('session_not_found');
    expect((await holdfast.sessions.list()).items.map(({ id }) => id)).toEqual([copy.id]);
  });
});

it('a fork of more entries than one commit takes is refused, and one of fewer turns of it is made', async () => {
  const { holdfast, store } = await bench(stores[0] as TestStore);
  const ref = { tenant: 'default', id: 'ses_long' };
  const turn = { message: { parts: [{ type: 'text' as const, text: 'hi' }] }, steps: [{ parts: [{ type: 'text' as const, text: 'ho' }], finishReason: 'stop' as const, results: [] }] };
  let minted = 0;
  const turns = Array.from({ length: Math.ceil((limits.forkEntriesMax + 1) / 3) }, () => turn);
  const made = await store.create({
    ref, owner: 'local', replyToStore: () => null,
    build: () => importSession(ref, { agent: 'one', owner: 'local', metadata: {}, turns }, { nowMs: 1, mintId: (prefix) => `${prefix}_${minted += 1}` }),
  });
  if (made.kind !== 'created' || isRefusal(made.reply)) throw new Error('the session is made');
  const long = await holdfast.sessions.get(ref.id);
  expect(await codeOf(long.fork())).toBe('history_too_large');
  const ends = made.entries.filter((entry) => entry.kind === 'turn-ended');
  const copy = await long.fork({ turnId: ends[9]?.turnId ?? '' });
  expect((await copy.get()).turns).toBe(10);
});
