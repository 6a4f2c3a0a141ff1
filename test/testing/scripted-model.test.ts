import type { LanguageModelV4CallOptions, LanguageModelV4StreamPart } from '@ai-sdk/provider';
import { describe, expect, it } from 'vitest';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { gate } from '../../src/testing/gate.ts';
import { scriptedModel, type ScriptedModel } from '../../src/testing/scripted-model.ts';

function say(text: string, rest: Partial<LanguageModelV4CallOptions> = {}): LanguageModelV4CallOptions {
  return { prompt: [{ role: 'user', content: [{ type: 'text', text }] }], ...rest };
}

async function partsOf(model: ScriptedModel, options = say('hello')): Promise<readonly LanguageModelV4StreamPart[]> {
  const { stream } = await model.doStream(options);
  const parts: LanguageModelV4StreamPart[] = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

function typesOf(parts: readonly LanguageModelV4StreamPart[]): readonly string[] {
  return parts.map(({ type }) => type);
}

describe('a scripted model', () => {
  it('generates what the script says, one generation for each call, and records the calls', async () => {
    const model = scriptedModel(['hi', [{ reasoning: 'let me see' }, { call: 'weather', input: { city: 'Rome' }, id: 'c1' }]]);
    const first = await partsOf(model, say('one'));
    expect(typesOf(first)).toEqual(['stream-start', 'response-metadata', 'text-start', 'text-delta', 'text-end', 'finish']);
    expect(first.at(-1)).toMatchObject({ finishReason: { unified: 'stop', raw: 'stop' } });
    const second = await partsOf(model, say('two'));
    expect(second).toContainEqual({ type: 'tool-call', toolCallId: 'c1', toolName: 'weather', input: '{"city":"Rome"}' });
    expect(second.at(-1)).toMatchObject({ finishReason: { unified: 'tool-calls' } });
    expect(model.calls.map(({ number, prompt }) => [number, prompt])).toEqual([[0, say('one').prompt], [1, say('two').prompt]]);
  });

  it('says when it is asked for more than its script has, unless it is told what to say then', async () => {
    await expect(scriptedModel([]).doStream(say('x'))).rejects.toMatchObject({ code: 'script_over' });
    const model = scriptedModel(['one'], { otherwise: ({ number }) => `call ${number}` });
    await partsOf(model);
    expect(await partsOf(model)).toContainEqual({ type: 'text-delta', id: '1_0', delta: 'call 1' });
  });

  it('streams each piece by itself and waits at gates', async () => {
    const between = gate();
    const model = scriptedModel([[{ text: ['Hel', 'lo'] }, { gate: between }, { text: 'you' }]]);
    const { stream } = await model.doStream(say('x'));
    const reader = stream.getReader();
    const deltas: string[] = [];
    let reads = 0;
    const reading = (async () => {
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        reads += 1;
        if (read.value.type === 'text-delta') deltas.push(read.value.delta);
      }
    })();
    await between.reached;
    expect([deltas, reads]).toEqual([['Hel', 'lo'], 6]);
    between.open();
    await reading;
    expect(deltas).toEqual(['Hel', 'lo', 'you']);
  });

  it('fails as told: the call, the stream, the stream\'s end', async () => {
    const boom = new Error('boom');
    const model = scriptedModel([[{ error: boom }], [{ text: 'a' }, { error: boom }], [{ text: 'a' }, { truncated: true }]]);
    await expect(model.doStream(say('x'))).rejects.toBe(boom);
    expect((await partsOf(model)).at(-1)).toEqual({ type: 'error', error: boom });
    expect(typesOf(await partsOf(model)).at(-1)).toBe('text-end');
  });

  it('ends a wait and a silence when the call is aborted', async () => {
    for (const item of [{ silent: true }, { gate: gate() }] as const) {
      const controller = new AbortController();
      const { stream } = await scriptedModel([[{ text: 'a' }, item]]).doStream(say('x', { abortSignal: controller.signal }));
      const reader = stream.getReader();
      for (let part = 0; part < 5; part += 1) await reader.read();
      const next = reader.read();
      controller.abort(new Error('stopped'));
      await expect(next).rejects.toThrow('stopped');
    }
  });

  it('waits on the clock it is given', async () => {
    const system = fakeSystem({ startMs: 0 });
    const model = scriptedModel([[{ text: 'a' }, { delayMs: 500 }, { text: 'b' }]], { clock: system.clock });
    let endedAtMs = -1;
    const done = partsOf(model).then((parts) => {
      endedAtMs = system.clock.nowMs();
      return parts;
    });
    await system.advance(499);
    expect(endedAtMs).toBe(-1);
    await system.advance(1);
    expect(typesOf(await done).filter((type) => type === 'text-delta')).toHaveLength(2);
    expect(endedAtMs).toBe(500);
  });

  it('tells when a call has come', async () => {
    const model = scriptedModel(['a', 'b']);
    const second = model.called(1);
    await partsOf(model, say('one'));
    await partsOf(model, say('two'));
    expect((await second).prompt).toEqual(say('two').prompt);
    expect((await model.called(0)).number).toBe(0);
  });
});
