import { describe, expect, it } from 'vitest';
import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import type { JsonValue } from '../../src/core/json.ts';
import { limits } from '../../src/core/limits.ts';
import type { StateScope } from '../../src/index.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';

const scopes: readonly StateScope[] = ['conversation', 'actor', 'subject', 'agent'];

async function bench(state?: AgentOptions['state']) {
  const system = fakeSystem();
  const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([], { otherwise: 'ok' }), ...(state === undefined ? {} : { state }) })], system, worker: false });
  const session = await holdfast.sessions.create({ agent: 'one', externalId: 'outside', subject: { type: 'case', id: '7' } });
  return { system, holdfast, session };
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : error;
}

describe('state', () => {
  it.each(scopes)('of the scope %s is set, read, counted, listed, deleted and cleared', async (scope) => {
    const { session: { state } } = await bench();
    const set = await state.set(scope, 'k', null, { ifVersion: 0 });
    expect(await state.get(scope, 'k')).toEqual(set);
    expect([set.value, set.scope, set.followsHistory, set.provenance.by]).toEqual([null, scope, scope === 'conversation', 'api']);
    expect(await state.set(scope, 'k', 1, { ifVersion: 0 }).catch(codeOf)).toBe('state_version_conflict');
    expect((await state.set(scope, 'k', [1], { ifVersion: set.version })).version).toBeGreaterThan(set.version);
    expect([(await state.increment(scope, 'n')).value, (await state.increment(scope, 'n', 1.5)).value]).toEqual([1, 2.5]);
    expect(await state.increment(scope, 'k').catch(codeOf)).toBe('invalid_request');
    expect((await state.list(scope, { prefix: 'n' })).items.map(({ key, value }) => [key, value])).toEqual([['n', 2.5]]);
    expect([await state.delete(scope, 'n'), await state.delete(scope, 'n'), await state.get(scope, 'n')]).toEqual([true, false, null]);
    expect([await state.clear(scope), await state.clear(scope), (await state.list(scope)).items]).toEqual([1, 0, []]);
  });

  it.each(scopes)('of the scope %s takes 262,144 bytes of UTF-8 exactly, and 255 characters of a key', async (scope) => {
    const { session: { state } } = await bench();
    const most = 'é'.repeat(limits.stateValueBytesMax / 2 - 1);
    const key = '😀'.repeat(255);
    expect((await state.set(scope, key, most)).value === most).toBe(true);
    expect(await state.set(scope, key, `${most}x`).catch(codeOf)).toBe('state_too_large');
    for (const bad of ['', `${key}a`, 'a\0', '\uD800']) expect(await state.set(scope, bad, 1).catch(codeOf)).toBe('state_key_invalid');
    expect(await state.set(scope, 'k', (() => 1) as unknown as JsonValue).catch(codeOf)).toBe('state_not_json');
  });

  it.each([100, 2_500, 100_000])('that nests %i levels deep is refused like a body, and so is metadata', async (depth) => {
    const { holdfast, session } = await bench();
    let deep: JsonValue = 1;
    for (let level = 0; level < depth; level += 1) deep = [deep];
    for (const scope of scopes) expect(await session.state.set(scope, 'k', deep).catch(codeOf)).toMatch(/^(invalid_request|state_not_json)$/);
    expect(await session.update({ metadata: { deep: deep as never } }).catch(codeOf)).toBe('invalid_request');
    expect(await holdfast.sessions.create({ agent: 'one', metadata: { deep: deep as never } }).catch(codeOf)).toBe('invalid_request');
    expect((await session.get()).metadata).toEqual({});
  });

  it('is of nobody whose name is longer than an id, or one that no store keeps', async () => {
    const { holdfast } = await bench();
    const [longest, tooLong] = ['x'.repeat(limits.clientIdCharsMax), 'x'.repeat(limits.clientIdCharsMax + 1)];
    expect((await holdfast.state({ agent: 'one', actor: { type: 'user', id: longest } }).set('actor', 'k', 1)).value).toBe(1);
    for (const target of [{ actor: { type: 'user', id: tooLong } }, { actor: { type: 'a\0', id: 'x' } }, { owner: tooLong }, { binding: { id: tooLong } }]) expect(await holdfast.state({ agent: 'one', ...target }).set('actor', 'k', 1).catch(codeOf)).toBe('invalid_request');
    expect(await holdfast.state({ agent: 'one', subject: { type: 'x', id: '\uD800' } }).get('subject', 'k').catch(codeOf)).toBe('invalid_request');
  });

  it.each(scopes)('of the scope %s may be a value that looks like a refusal of ours', async (scope) => {
    const { session: { state } } = await bench();
    for (const value of [{ refused: 'session_ended', message: 'no' }, { refused: null }]) {
      expect((await state.set(scope, 'k', value)).value).toEqual(value);
      expect((await state.get(scope, 'k'))?.value).toEqual(value);
    }
  });

  it.each(scopes)('of the scope %s is gone when its time is over', async (scope) => {
    const { system, session: { state } } = await bench();
    const set = await state.set(scope, 'k', 1, { ttlMs: 1_000 });
    expect(set.expiresAtMs).toBe(set.provenance.atMs + 1_000);
    await system.advance(999);
    expect((await state.increment(scope, 'k')).expiresAtMs).toBe(set.expiresAtMs);
    await system.advance(1);
    expect([await state.get(scope, 'k'), (await state.list(scope)).items, await state.delete(scope, 'k')]).toEqual([null, [], false]);
  });

  it('is refused by name: off, disabled, unknown, without an identity', async () => {
    const some = await bench({ scopes: ['conversation'] });
    expect(await some.session.state.get('actor', 'k').catch(codeOf)).toBe('state_scope_off');
    expect(await some.session.state.get('elsewhere' as StateScope, 'k').catch(codeOf)).toBe('state_scope_unknown');
    expect(await some.holdfast.state({ agent: 'one' }).get('conversation', 'k').catch(codeOf)).toBe('state_identity_missing');
    expect(await some.holdfast.state({ agent: 'two' }).get('conversation', 'k').catch(codeOf)).toBe('agent_not_found');
    const none = await bench(false);
    expect(await none.session.state.set('conversation', 'k', 1).catch(codeOf)).toBe('state_disabled');
    const all = await bench();
    expect(await all.holdfast.state({ agent: 'one' }).get('subject', 'k').catch(codeOf)).toBe('state_identity_missing');
    expect(() => agent({ name: 'x', model: scriptedModel([]), state: { scopes: ['nobody' as StateScope] } })).toThrow('nobody');
    expect(() => agent({ name: 'x', model: scriptedModel([]), state: { aliases: { a: 'b', b: 'c' } } })).toThrow('alias');
  });

  it('under an old key is that of the new one', async () => {
    const { session: { state } } = await bench({ aliases: { old: 'new' } });
    await state.set('agent', 'old', 1);
    await state.increment('agent', 'new');
    expect([(await state.get('agent', 'old'))?.key, (await state.get('agent', 'old'))?.value, (await state.list('agent')).items.map(({ key }) => key)]).toEqual(['new', 2, ['new']]);
  });

  it('as a snapshot has all four scopes, and says what the conversation is called', async () => {
    const { session, holdfast } = await bench({ scopes: ['conversation', 'agent'] });
    expect(await session.state.snapshot()).toEqual({ conversation: { 'external.conversation_id': 'outside' }, actor: {}, subject: {}, agent: {}, complete: true });
    await session.state.set('conversation', 'external.conversation_id', 'mine');
    for (let at = 0; at < 45; at += 1) await session.state.set('agent', `k${at}`, at);
    const { conversation, agent: values } = await session.state.snapshot();
    expect([conversation, Object.keys(values).length]).toEqual([{ 'external.conversation_id': 'mine' }, 45]);
    expect((await holdfast.state({ agent: 'one' }).snapshot()).agent).toEqual(values);
    for (let at = 0; at < 17; at += 1) await session.state.set('agent', `large ${at}`, 'x'.repeat(260_000));
    expect((await session.state.snapshot()).complete).toBe(false);
  });

  it('is bound to subject, binding, owner and actor, whatever their names look like', async () => {
    const { holdfast } = await bench();
    const of = (rest: object) => holdfast.state({ agent: 'one', ...rest });
    const places = [
      {}, { actor: { type: 'a', id: 'b:c' } }, { actor: { type: 'a:b', id: 'c' } }, { owner: 'ada' }, { owner: 'ada', actor: { type: 'a', id: 'b:c' } }, { binding: { id: 'x' } },
      { binding: { botId: 'x' } }, { binding: { workspaceId: 'x' } }, { binding: { id: 'x', botId: 'x' } },
    ];
    for (const [at, place] of places.entries()) await of(place).set('actor', 'k', at);
    for (const [at, place] of places.entries()) expect((await of(place).get('actor', 'k'))?.value).toBe(at);
  });

  it('written once with a key is written once, however often that is asked', async () => {
    const { session: { state } } = await bench();
    for (const scope of ['conversation', 'agent'] as const) {
      for (let times = 0; times < 3; times += 1) expect((await state.increment(scope, 'n', 1, { idempotencyKey: 'once' })).value).toBe(1);
      expect(await state.increment(scope, 'n', 2, { idempotencyKey: 'once' }).catch(codeOf)).toBe('idempotency_mismatch');
    }
  });

  it('of a session goes with it; of its agent it stays', async () => {
    const { session, holdfast } = await bench();
    await session.state.set('conversation', 'k', 1);
    await session.state.set('agent', 'k', 1);
    await session.end();
    expect(await session.state.set('conversation', 'k', 2).catch(codeOf)).toBe('session_ended');
    await session.delete();
    expect(await session.state.get('conversation', 'k').catch(codeOf)).toBe('session_not_found');
    expect((await holdfast.state({ agent: 'one' }).get('agent', 'k'))?.value).toBe(1);
  });
});
