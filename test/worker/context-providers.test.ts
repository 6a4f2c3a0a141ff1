import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import { tool } from '../../src/index.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import { sqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import { realSystem } from '../../src/system.ts';
import { fakeSystem } from '../../src/testing/fake-system.ts';
import { scriptedModel } from '../../src/testing/scripted-model.ts';
import { userTexts } from '../support/checked-prompts.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';
import { wrappedStore } from '../support/wrapped-store.ts';
import { stores, type TestStore } from '../support/stores.ts';

/** A provider whose version and text a test sets, and which counts how often it was asked and loaded. */
function profile(text: string | null = 'Ada, likes ships') {
  const state = { version: '1', text, asked: 0, loaded: 0, fails: false };
  const provider = {
    version: () => {
      state.asked += 1;
      if (state.fails) throw new Error('no route to profile, api_key=sk-verysecretkey1');
      return state.version;
    },
    load: () => {
      state.loaded += 1;
      return state.text;
    },
  };
  return { state, provider };
}

async function open(kind: TestStore, options: Partial<AgentOptions>) {
  const model = options.model ?? scriptedModel([], { otherwise: 'yes' });
  const holdfast = await openHoldfast({ agents: [agent({ name: 'tester', model, ...options })], store: await kind.newUrl() });
  return { holdfast, session: await holdfast.sessions.create({ agent: 'tester' }) };
}

async function say(session: SessionHandle, text: string) {
  return (await session.send(text)).result;
}

const injected = '[context profile, version 1]\nAda, likes ships';

describe.each(stores)('the context of a provider on $name', (kind) => {
  it('is given to the model once for each version, as an entry before the step, in the same commit', async () => {
    const { state, provider } = profile();
    const model = scriptedModel([], { otherwise: 'yes' });
    const { session } = await open(kind, { model, contextProviders: { profile: provider } });
    await say(session, 'one');
    await say(session, 'two');
    state.version = '2';
    state.text = 'Ada, likes trains';
    await say(session, 'three');
    expect(model.calls.map(({ prompt }) => userTexts(prompt))).toEqual([
      ['one', injected], ['one', injected, 'two'], ['one', injected, 'two', 'three', '[context profile, version 2]\nAda, likes trains'],
    ]);
    expect([state.asked, state.loaded]).toEqual([3, 2]);
    const entries = await session.entries();
    expect(entries.slice(1, 5).map(({ kind: of }) => of)).toEqual(['user-message', 'context-injected', 'assistant-step', 'turn-ended']);
    expect(ofKind(entries, 'context-injected')[0]).toMatchObject({ provider: 'profile', version: '1', text: 'Ada, likes ships', visibility: 'model' });
    expect(JSON.stringify(await session.messages())).not.toContain('likes ships');
  });

  it('that is nothing is remembered as nothing, and not asked for again', async () => {
    const { state, provider } = profile(null);
    const model = scriptedModel([], { otherwise: 'yes' });
    const { session } = await open(kind, { model, contextProviders: { profile: provider } });
    await say(session, 'one');
    await say(session, 'two');
    expect(state.loaded).toBe(1);
    expect(ofKind(await session.entries(), 'context-injected')).toMatchObject([{ version: '1', text: null }]);
    expect(userTexts(model.calls[1]?.prompt ?? [])).toEqual(['one', 'two']);
  });

  it('that cannot be had is warned of on the steps of the turn, without its secrets, and asked for again in the next turn; the turn completes', async () => {
    const { state, provider } = profile();
    state.fails = true;
    const look = tool({ recovery: 'rerun', inputSchema: z.object({}), execute: () => 'seen' });
    const model = scriptedModel([[{ call: 'look' }], 'yes', 'yes']);
    const { session } = await open(kind, { model, tools: { look }, contextProviders: { profile: provider, other: { version: () => '7', load: () => 'fine' } } });
    expect((await say(session, 'one')).reason).toBe('complete');
    expect(state.asked).toBe(1);
    const steps = ofKind(await session.entries(), 'assistant-step');
    for (const { warnings } of steps) expect(warnings).toEqual(['context provider profile failed, and is asked again in the next turn: no route to profile, api_key=[redacted]']);
    expect(ofKind(await session.entries(), 'context-injected').map(({ provider: name }) => name)).toEqual(['other']);
    state.fails = false;
    await say(session, 'two');
    expect(userTexts(model.calls[2]?.prompt ?? []).at(-1)).toBe(injected);
    expect(ofKind(await session.entries(), 'assistant-step').at(-1)?.warnings).toBe(undefined);
  });

  it('is neither lost nor told twice when the attempt fails that it came with', async () => {
    const { state, provider } = profile();
    const model = scriptedModel([[{ text: 'so' }, { error: new Error('overloaded') }], 'yes']);
    const { session } = await open(kind, { model, contextProviders: { profile: provider } });
    expect((await say(session, 'one')).reason).toBe('complete');
    expect(model.calls.map(({ prompt }) => userTexts(prompt))).toEqual([['one', injected], ['one', injected]]);
    expect([state.loaded, ofKind(await session.entries(), 'context-injected').length]).toEqual([1, 1]);
  });

  it('follows the history: it is told again where a rewind took it away or a summary stands for it, and not in a fork that has it', async () => {
    const { state, provider } = profile();
    const model = scriptedModel([], { otherwise: 'yes' });
    const { session } = await open(kind, { model, contextProviders: { profile: provider } });
    await say(session, 'one');
    const copy = await session.fork();
    await say(copy, 'two');
    expect(state.loaded).toBe(1);
    await (await session.compact()).result;
    await say(session, 'three');
    expect(userTexts(model.calls.at(-1)?.prompt ?? []).slice(1)).toEqual(['three', injected]);
    expect(userTexts(model.calls.at(-2)?.prompt ?? []).join()).not.toContain('likes ships');
    await session.rewind(null);
    await say(session, 'four');
    expect(userTexts(model.calls.at(-1)?.prompt ?? [])).toEqual(['four', injected]);
    expect(state.loaded).toBe(3);
  });
});

const [sqlite] = stores;

describe('a context provider', () => {
  it('costs a turn no commit of its own, whether it has something new or not', async () => {
    let commits = 0;
    const store = wrappedStore(await sqliteStore({ path: await temporaryDatabase(), system: realSystem() }), {
      update: (inner, request) => {
        commits += 1;
        return inner.update(request as never) as never;
      },
    });
    const { state, provider } = profile();
    const holdfast = await openHoldfast({ store, agents: [agent({ name: 'tester', model: scriptedModel([], { otherwise: 'yes' }), contextProviders: { profile: provider, none: { version: () => '1', load: () => null } } })] });
    const session = await holdfast.sessions.create({ agent: 'tester' });
    for (const [turn, version] of ['1', '1', '2'].entries()) {
      commits = 0;
      state.version = version;
      await say(session, `turn ${turn}`);
      expect(commits).toBe(2);
    }
    expect(state.loaded).toBe(2);
  });

  if (sqlite === undefined) throw new Error('there is a store');

  it('that does not answer holds a turn up no longer than its time limit', async () => {
    const system = fakeSystem();
    const model = scriptedModel([], { otherwise: 'yes' });
    const holdfast = await openHoldfast({
      system, store: await sqlite.newUrl(),
      agents: [agent({ name: 'tester', model, limits: { contextTimeoutMs: 2_000 }, contextProviders: { slow: { version: () => new Promise(() => undefined), load: () => null } } })],
    });
    const session = await holdfast.sessions.create({ agent: 'tester' });
    const { result } = await session.send('one');
    let ended = false;
    void result.then(() => { ended = true; });
    await system.runUntil(() => ended);
    expect((await result).reason).toBe('complete');
    expect(ofKind(await session.entries(), 'assistant-step')[0]?.warnings).toEqual(['context provider slow failed, and is asked again in the next turn: it took longer than 2000 ms']);
  });

  it.each([
    ['a version that is no text', { version: () => 3 as unknown as string, load: () => 'x' }, 'its version is of type number; it has to be a text of 1 to 255'],
    ['a version that is too long', { version: () => 'v'.repeat(256), load: () => 'x' }, 'its version is a text of 256 characters; it has to be a text of 1 to 255'],
    ['a text that is none', { version: () => '1', load: () => 3 as unknown as string }, 'what it loaded is of type number; it has to be a text or null'],
  ])('with %s is warned of', async (_what, provider, problem) => {
    const { session } = await open(sqlite, { contextProviders: { bad: provider } });
    expect((await say(session, 'one')).reason).toBe('complete');
    expect(ofKind(await session.entries(), 'assistant-step')[0]?.warnings).toEqual([`context provider bad failed, and is asked again in the next turn: ${problem}`]);
  });

  it('is given the scope of the step, with the agent\'s context; a text that is too long keeps head and tail', async () => {
    const seen: unknown[] = [];
    const { session } = await open(sqlite, {
      context: () => ({ client: 'a client' }), limits: { toolResultBytesMax: 600 },
      contextProviders: { files: { version: ({ context, principal }) => { seen.push(context, principal.owner); return '1'; }, load: () => `head ${'x'.repeat(2_000)} tail` } },
    });
    await say(session, 'one');
    expect(seen).toEqual([{ client: 'a client' }, 'local']);
    expect(ofKind(await session.entries(), 'context-injected')[0]?.text).toMatch(/^head x+\n\[… \d+ of 2010 bytes left out …\]\nx+ tail$/);
  });

  it('has a name that can be told apart in a prompt, and both functions', () => {
    const model = scriptedModel([]);
    const fine = { version: () => '1', load: () => null };
    expect(() => agent({ name: 'a', model, contextProviders: { 'a b': fine } })).toThrow(expect.objectContaining({ code: 'agent_invalid' }));
    expect(() => agent({ name: 'a', model, contextProviders: { a: { version: fine.version } as never } })).toThrow(/needs the functions version and load/);
    expect(() => agent({ name: 'a', model, limits: { compactAtShare: 1.5 } })).toThrow(/at most 1/);
  });
});
