import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import type { EntryKind, EntryOf } from '../../src/core/entry.ts';
import { limits } from '../../src/core/limits.ts';
import { question, tool, type SessionHandle } from '../../src/index.ts';
import { scriptedModel, type ScriptedGeneration, type ScriptedModel } from '../../src/testing/scripted-model.ts';
import { startChild } from '../support/child-process.ts';
import { openHoldfast } from '../support/open-holdfast.ts';
import { calling } from '../support/run-turn.ts';
import { agentAnswer, personaSays } from '../support/simulation.ts';
import { stores } from '../support/stores.ts';

const answering = () => scriptedModel([], { otherwise: ({ prompt }) => agentAnswer(prompt) });
const persona = (count: number): ScriptedModel => scriptedModel([], { modelId: 'persona-1', otherwise: ({ prompt }) => personaSays(prompt, count) });
const saying = (...generations: readonly ScriptedGeneration[]): ScriptedModel => scriptedModel(generations);
const ends: ScriptedGeneration = [{ call: 'end_conversation', input: { reason: 'enough' } }];

async function ofKind<Kind extends EntryKind>(session: SessionHandle, kind: Kind): Promise<readonly EntryOf<Kind>[]> {
  return (await session.entries()).filter((entry): entry is EntryOf<Kind> => entry.kind === kind);
}

async function textsOf(session: SessionHandle): Promise<readonly string[]> {
  return (await session.messages()).items.map(({ role, parts }) => `${role}: ${parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('')}`);
}

describe.each(stores)('a simulated user, on $name', ({ newUrl }) => {
  async function bench(options: Partial<AgentOptions> = {}) {
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: answering(), ...options })], store: await newUrl() });
    return { holdfast, session: await holdfast.sessions.create({ agent: 'one' }) };
  }

  it('is nobody unless it is asked for', async () => {
    const { holdfast, session } = await bench();
    await (await session.send('hello')).result;
    expect([(await session.get()).simulator, await ofKind(session, 'user-simulated')]).toEqual([null, []]);
    const model = persona(1);
    await expect(holdfast.simulate({ sessionId: session.id, model })).rejects.toMatchObject({ code: 'simulator_off' });
    await session.update({ simulator: { enabled: false, persona: 'curious' } });
    await expect(holdfast.simulate({ sessionId: session.id, model })).rejects.toMatchObject({ code: 'simulator_off' });
    expect([model.calls.length, (await session.get()).turns]).toEqual([0, 1]);
  });

  it('talks until its persona ends the conversation; each message is its own, and each generation on record and counted', async () => {
    const { holdfast } = await bench();
    const model = persona(2);
    const simulation = await holdfast.simulate({ agent: 'one', owner: 'ada', persona: 'curious', model });
    expect(simulation).toMatchObject({ turns: 2, reason: 'persona', error: null, usage: { attempts: 5, inputTokens: 50 } });
    const session = await holdfast.sessions.get(simulation.sessionId);
    expect(await textsOf(session)).toEqual(['user: thing 1', 'assistant: answer to thing 1', 'user: thing 2', 'assistant: answer to thing 2']);
    expect(await session.get()).toMatchObject({ owner: 'ada', simulator: { enabled: true, persona: 'curious', maxTurns: 10, turns: 2, ended: true } });
    const [first] = await ofKind(session, 'user-message');
    expect(first).toMatchObject({ messageId: 'sim_2_1', actor: { type: 'simulated-user', id: 'sim_2' }, metadata: { simulated: { number: 1, maxTurns: 10 } } });
    const generations = await ofKind(session, 'user-simulated');
    expect(generations.map(({ number, messageId, ended }) => [number, messageId, ended?.reason])).toEqual([[1, 'sim_2_1', undefined], [2, 'sim_2_2', undefined], [3, undefined, 'enough']]);
    expect(generations[0]?.attempt).toMatchObject({ purpose: 'simulated-user', model: 'persona-1', usage: { inputTokens: 10 } });
    // It sees the conversation from the other side.
    expect(model.calls[1]?.prompt.map(({ role, content }) => (role === 'system' ? role : [role, content]))).toEqual([
      'system', ['assistant', [{ type: 'text', text: 'thing 1' }]], ['user', [{ type: 'text', text: 'answer to thing 1' }]],
    ]);
    // It is over: asked again, nothing more is said.
    expect(await holdfast.simulate({ sessionId: session.id, model })).toMatchObject({ turns: 2, reason: 'persona' });
    expect(model.calls.length).toBe(3);
  });

  it('sends no longer a message than it may', async () => {
    const { holdfast, session } = await bench();
    await holdfast.simulate({ sessionId: session.id, persona: 'curious', maxTurns: 1, model: saying(`${'x'.repeat(limits.simulatedTextCharsMax - 1)}${'🌊'.repeat(1_000)}`) });
    const [sent] = await ofKind(session, 'user-message');
    expect(sent?.parts).toEqual([{ type: 'text', text: `${'x'.repeat(limits.simulatedTextCharsMax - 1)}\uFFFD` }]);
  });

  it('sends no more messages than it may, and goes on where it may send more', async () => {
    const { holdfast, session } = await bench();
    const model = persona(9);
    expect(await holdfast.simulate({ sessionId: session.id, persona: 'curious', maxTurns: 2, model })).toMatchObject({ turns: 2, reason: 'max_turns' });
    expect(await holdfast.simulate({ sessionId: session.id, model })).toMatchObject({ turns: 2, reason: 'max_turns' });
    expect(await holdfast.simulate({ sessionId: session.id, maxTurns: 3, persona: 'curious', model })).toMatchObject({ turns: 3, reason: 'max_turns' });
    expect((await session.get()).turns).toBe(3);
    await expect(holdfast.simulate({ sessionId: session.id, persona: 'curious', maxTurns: 0, model })).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('is another one with another persona, and begins anew', async () => {
    const { holdfast, session } = await bench();
    await holdfast.simulate({ sessionId: session.id, persona: 'curious', model: persona(1) });
    expect(await holdfast.simulate({ sessionId: session.id, persona: 'angry', model: saying('I am angry', ends) })).toMatchObject({ turns: 1, reason: 'persona' });
    expect((await ofKind(session, 'user-message')).map(({ messageId }) => messageId)).toEqual(['sim_2_1', expect.stringMatching(/^sim_[^2]\d*_1$/)]);
  });

  it('stops when the conversation has come far enough, when it is aborted, when it is switched off, and when the session ends', async () => {
    const { holdfast, session } = await bench();
    const model = persona(99);
    const played = { sessionId: session.id, persona: 'curious', maxTurns: 99, model };
    expect(await holdfast.simulate({ ...played, stopWhen: ({ text }) => text === 'answer to thing 2' })).toMatchObject({ turns: 2, reason: 'stop_when' });
    const leaving = new AbortController();
    expect(await holdfast.simulate({ ...played, signal: leaving.signal, stopWhen: () => { leaving.abort(); return false; } })).toMatchObject({ turns: 3, reason: 'aborted' });
    expect(await holdfast.simulate({ ...played, stopWhen: async () => { await session.update({ simulator: { enabled: false, persona: 'curious', maxTurns: 99 } }); return false; } })).toMatchObject({ turns: 4, reason: 'switched_off' });
    expect(await holdfast.simulate({ ...played, stopWhen: async () => { await session.end(); return false; } })).toMatchObject({ turns: 5, reason: 'session_ended' });
    expect((await textsOf(session)).length).toBe(10);
  });

  it('that is aborted while its model speaks has that on record, and says nothing', async () => {
    const { holdfast, session } = await bench();
    const leaving = new AbortController();
    const model = saying([{ silent: true }], 'hello');
    void model.called(0).then(() => leaving.abort());
    expect(await holdfast.simulate({ sessionId: session.id, persona: 'curious', model, signal: leaving.signal })).toMatchObject({ turns: 0, reason: 'aborted' });
    expect(await ofKind(session, 'user-simulated')).toMatchObject([{ number: 1, error: { code: 'aborted' }, attempt: { usage: null, purpose: 'simulated-user' } }]);
    expect(await holdfast.simulate({ sessionId: session.id, persona: 'curious', maxTurns: 1, model })).toMatchObject({ turns: 1, reason: 'max_turns' });
  });

  it('says nothing while a budget is used up, and goes on when there is some again', async () => {
    let limit = 1_000;
    const model = scriptedModel([], { otherwise: () => { limit = 0; return 'answer'; } });
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model })], store: await newUrl(), budgets: () => [{ per: 'owner', unit: 'tokens', period: 'month', limit }] });
    const player = saying('first', ends);
    const first = await holdfast.simulate({ agent: 'one', persona: 'curious', model: player });
    expect([first, player.calls.length]).toMatchObject([{ turns: 1, reason: 'usage_limit', error: { code: 'usage_limit' } }, 1]);
    limit = 1_000;
    expect(await holdfast.simulate({ sessionId: first.sessionId, persona: 'curious', model: player })).toMatchObject({ turns: 1, reason: 'persona' });
  });

  it('whose model fails for good ends the simulation; what may pass is tried again, and all of it is counted', async () => {
    const { holdfast, session } = await bench();
    const denied = { error: Object.assign(new Error('bad key'), { code: 'authentication_error' }) };
    expect(await holdfast.simulate({ sessionId: session.id, persona: 'curious', model: saying('first', [denied]) })).toMatchObject({ turns: 1, reason: 'model_failed', error: { code: 'authentication' } });
    // An empty message is a failure that may pass.
    expect(await holdfast.simulate({ sessionId: session.id, persona: 'curious', model: saying('  ', 'second', ends) })).toMatchObject({ turns: 2, reason: 'persona' });
    expect((await ofKind(session, 'user-simulated')).map(({ number, error, messageId }) => [number, error?.code ?? messageId ?? 'end'])).toEqual([
      [1, 'sim_2_1'], [2, 'authentication'], [2, 'empty_message'], [2, 'sim_2_2'], [3, 'end'],
    ]);
    expect((await session.get()).usage.attempts).toBe(7);
  }, 20_000);

  it('stops at a turn of the agent that fails', async () => {
    const { holdfast, session } = await bench({ model: saying([{ error: Object.assign(new Error('bad key'), { code: 'authentication_error' }) }], 'better') });
    expect(await holdfast.simulate({ sessionId: session.id, persona: 'curious', model: persona(2) })).toMatchObject({ turns: 1, reason: 'turn_failed', error: { code: 'authentication' } });
    expect(await holdfast.simulate({ sessionId: session.id, maxTurns: 2, persona: 'curious', model: saying('again') })).toMatchObject({ turns: 2, reason: 'max_turns' });
  });

  it('approves nothing unless it is told to, runs the client\'s tools that it is given, and answers questions', async () => {
    const ran: unknown[] = [];
    const tools = {
      refund: tool({ inputSchema: z.object({ amount: z.number() }), needsApproval: true, execute: ({ amount }) => { ran.push(amount); return 'paid'; } }),
      where: tool({ inputSchema: z.object({}) }),
      which: question({ answerSchema: z.number() }),
    };
    const model = () => scriptedModel([calling(['refund', { amount: 5 }], ['where'], ['which', { question: 'How many?' }]), 'done']);
    const outcomes = async (session: SessionHandle) => (await ofKind(session, 'tool-results'))[0]?.results.map(({ outcome, output }) => output ?? outcome);

    const careful = await bench({ model: model(), tools });
    expect(await careful.holdfast.simulate({ sessionId: careful.session.id, persona: 'curious', maxTurns: 1, model: saying('go', '42') })).toMatchObject({ turns: 1, reason: 'max_turns' });
    expect([ran, await outcomes(careful.session)]).toEqual([[], ['denied', 'failed', 42]]);
    expect((await ofKind(careful.session, 'user-simulated')).map(({ actionId }) => actionId ?? null)).toEqual([null, expect.stringMatching(/^act_\d+_2$/)]);

    const free = await bench({ model: model(), tools });
    await free.holdfast.simulate({ sessionId: free.session.id, persona: 'curious', maxTurns: 1, model: saying('go', 'no number'), approve: 'all', clientTools: { where: () => 'here' } });
    expect([ran, await outcomes(free.session)]).toEqual([[5], ['paid', 'here', 'denied']]);
  });

  it('begins with what an agent that greets says', async () => {
    const { holdfast, session } = await bench({ greet: true, model: scriptedModel(['Welcome', 'And so on']) });
    const model = saying('Thank you');
    await holdfast.simulate({ sessionId: session.id, persona: 'polite', maxTurns: 1, model });
    expect(await textsOf(session)).toEqual(['assistant: Welcome', 'user: Thank you', 'assistant: And so on']);
    expect(model.calls[0]?.prompt.at(-1)).toMatchObject({ role: 'user', content: [{ text: 'Welcome' }] });
  });

  it('played by two processes at once says everything once', async () => {
    const url = await newUrl();
    const open = () => openHoldfast({ agents: [agent({ name: 'one', model: answering() })], store: url });
    const [one, two] = [await open(), await open()];
    const session = await one.sessions.create({ agent: 'one' });
    const played = { sessionId: session.id, persona: 'curious' };
    const both = await Promise.all([one.simulate({ ...played, model: persona(4) }), two.simulate({ ...played, model: persona(4) })]);
    expect(both.map(({ turns, reason }) => [turns, reason])).toEqual([[4, 'persona'], [4, 'persona']]);
    expect((await textsOf(session)).filter((text) => text.startsWith('user'))).toEqual([1, 2, 3, 4].map((number) => `user: thing ${number}`));
  });

  it.each(['persona', 'agent'] as const)('goes on where it was when its process is killed while the %s speaks: nothing is sent twice, nothing is left out', async (hangs) => {
    const url = await newUrl();
    const holdfast = await openHoldfast({ agents: [agent({ name: 'one', model: answering() })], store: url, worker: false });
    const session = await holdfast.sessions.create({ agent: 'one' });
    const child = startChild('test/library/children/simulate-process.ts', { url, sessionId: session.id, hangs, hangsAt: 1 });
    await child.hears('hangs');
    await child.signal('SIGKILL');
    const worker = await openHoldfast({ agents: [agent({ name: 'one', model: answering() })], store: url, worker: { pollMs: 50 } });
    expect(await worker.simulate({ sessionId: session.id, model: persona(3) })).toMatchObject({ turns: 3, reason: 'persona' });
    expect(await textsOf(session)).toEqual([1, 2, 3].flatMap((number) => [`user: thing ${number}`, `assistant: answer to thing ${number}`]));
    expect((await ofKind(session, 'attempt-lost')).length).toBe(hangs === 'agent' ? 1 : 0);
  }, 20_000);
});
