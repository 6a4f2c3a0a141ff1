import { describe, expect, it, onTestFinished } from 'vitest';
import { foldSegments, type StreamSegment } from '../../src/core/stream-parts.ts';
import type { ChunkWrite, Store } from '../../src/store/store.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { agent } from '../../src/agent/agent.ts';
import { ChunkWriter } from '../../src/worker/chunk-writer.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { eventually } from '../support/eventually.ts';
import { ofKind } from '../support/run-turn.ts';
import { wrappedStore, type StoreOverrides } from '../support/wrapped-store.ts';

type Stored = 'stored' | 'fence-lost';

const target = { ref: { tenant: 't', id: 'ses_1' }, fence: 1, attemptId: 'att_1' };

/** A writer to a store that keeps what it is given; `store` may answer otherwise or later. */
function writing(store: (write: ChunkWrite) => Promise<Stored> | Stored = () => 'stored') {
  const system = fakeSystem();
  const stored: ChunkWrite[] = [];
  let losses = 0;
  const port = {
    appendChunkIfHeld: async (write: ChunkWrite): Promise<Stored> => {
      stored.push(write);
      return store(write);
    },
  };
  const writer = new ChunkWriter(port, system.clock, target, 100, () => { losses += 1; });
  let offset = 0;
  const say = (text: string): void => {
    writer.add([{ part: 0, type: 'text', offset, text }]);
    offset += text.length;
  };
  const texts = (): readonly string[] => stored.map(({ segments }) => segments.map(({ text }) => text).join('|'));
  return { system, writer, stored, texts, say, losses: () => losses };
}

describe('live output', () => {
  it('is stored at once when it begins, then packed by the interval', async () => {
    const { system, say, texts } = writing();
    say('a');
    say('b');
    expect(texts()).toEqual([]);
    await system.settle();
    expect(texts()).toEqual(['ab']);
    say('c');
    say('d');
    await system.advance(99);
    expect(texts()).toEqual(['ab']);
    await system.advance(1);
    expect(texts()).toEqual(['ab', 'cd']);
    await system.advance(1_000);
    say('e');
    await system.advance(99);
    expect(texts()).toEqual(['ab', 'cd']);
    await system.advance(1);
    expect(texts()).toEqual(['ab', 'cd', 'e']);
  });

  it('is stored before the interval is over when 4 KB wait', async () => {
    const { system, say, texts } = writing();
    say('a');
    await system.settle();
    say('é'.repeat(2_047));
    await system.settle();
    expect(texts()).toHaveLength(1);
    say('é');
    await system.settle();
    expect(texts()).toEqual(['a', 'é'.repeat(2_048)]);
  });

  it('keeps its order and loses nothing while the store is slow, with one write at a time', async () => {
    const slow = gate();
    let atOnce = 0;
    const { system, say, texts, stored, writer } = writing(async (): Promise<Stored> => {
      atOnce += 1;
      expect(atOnce).toBe(1);
      await slow.pass();
      atOnce -= 1;
      return 'stored';
    });
    say('a');
    await system.settle();
    say('b'.repeat(5_000));
    say('c');
    await system.advance(1_000);
    expect(texts()).toEqual(['a']);
    slow.open();
    await system.settle();
    expect(texts()).toEqual(['a', `${'b'.repeat(5_000)}c`]);
    expect(stored.map(({ ordinal }) => ordinal)).toEqual([0, 1]);
    expect(foldSegments(stored.flatMap(({ segments }) => segments))).toMatchObject([{ text: `a${'b'.repeat(5_000)}c` }]);
    await writer.close();
  });

  it('keeps parts apart, and joins what was added to one', async () => {
    const { system, writer, stored } = writing();
    const segment = (part: number, offset: number, text: string): StreamSegment => ({ part, type: 'text', offset, text });
    writer.add([segment(0, 0, 'a'), segment(0, 1, 'b'), segment(1, 0, 'x')]);
    writer.add([segment(0, 2, 'c')]);
    writer.add([]);
    await system.settle();
    expect(stored).toEqual([{ ...target, ordinal: 0, segments: [segment(0, 0, 'ab'), segment(1, 0, 'x'), segment(0, 2, 'c')] }]);
  });

  it('is not stored for a model that has answered before its first chunk is due, nor after the end', async () => {
    const { system, writer, say, texts } = writing();
    say('a');
    await writer.close();
    await system.settle();
    say('b');
    await system.advance(1_000);
    expect(texts()).toEqual([]);
    expect(system.waitingTimers).toBe(0);
  });

  it('ends when the end comes while the store writes, and that is waited for', async () => {
    const slow = gate();
    const { system, writer, say, texts } = writing(() => slow.pass().then(() => 'stored' as const));
    say('a');
    await system.settle();
    say('b');
    let closed = false;
    const closing = writer.close().then(() => { closed = true; });
    await system.settle();
    expect(closed).toBe(false);
    slow.open();
    await closing;
    await system.advance(1_000);
    expect(texts()).toEqual(['a']);
  });

  it('stops when the fence is lost, and says so once', async () => {
    const { system, say, texts, losses } = writing(() => 'fence-lost');
    say('a');
    await system.settle();
    say('b');
    await system.advance(1_000);
    expect(texts()).toEqual(['a']);
    expect(losses()).toBe(1);
  });

  it('is given up when the store fails, without a fence lost', async () => {
    const { system, say, texts, losses, writer } = writing(() => Promise.reject(new Error('disk full')));
    say('a');
    await system.settle();
    say('b');
    await system.advance(1_000);
    await writer.close();
    expect(texts()).toEqual(['a']);
    expect(losses()).toBe(0);
  });
});

describe('a generation whose live output', () => {
  it('cannot be stored is committed whole', async () => {
    let refused = 0;
    const store = await storeWith({
      appendChunkIfHeld: () => {
        refused += 1;
        return Promise.reject(new Error('disk full'));
      },
    });
    const open = gate();
    const model = scriptedModel([[{ text: 'one' }, { gate: open }, { text: ' two' }]]);
    const holdfast = await openHoldfast({ store, agents: [agent({ name: 'tester', model })] });
    const session = await holdfast.sessions.create({ agent: 'tester', message: { text: 'go' } });
    await eventually('the chunk to be refused', () => refused > 0);
    open.open();
    expect(await session.firstTurn?.result).toMatchObject({ reason: 'complete' });
    expect(ofKind(await session.entries(), 'assistant-step')[0]?.parts).toMatchObject([{ text: 'one' }, { text: ' two' }]);
    expect(refused).toBe(1);
  });

  it('loses the fence ends at once, and commits nothing', async () => {
    const store = await storeWith({ appendChunkIfHeld: () => Promise.resolve('fence-lost' as const) });
    const model = scriptedModel([[{ text: 'one' }, { silent: true }]]);
    const holdfast = await openHoldfast({ store, agents: [agent({ name: 'tester', model })] });
    const session = await holdfast.sessions.create({ agent: 'tester', message: { text: 'go' } });
    const call = await model.called(0);
    await eventually('the model to be told', () => call.options.abortSignal?.aborted);
    await eventually('the worker to let go', () => holdfast.worker?.runs === 0);
    expect((await session.entries()).map((entry) => entry.kind)).toEqual(['session-created', 'user-message']);
    await session.stop();
  });
});

async function storeWith(overrides: StoreOverrides): Promise<Store> {
  const store = await sqliteStore({ path: await temporaryDatabase(), system: realSystem() });
  onTestFinished(() => store.close());
  return wrappedStore(store, overrides);
}
