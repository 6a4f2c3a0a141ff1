import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { demoAgent } from '../../src/demo/demo-agent.ts';
import { ruleModel } from '../../src/demo/rule-model.ts';
import type { SessionHandle } from '../../src/library/handles.ts';
import type { TurnHandle, TurnResult } from '../../src/index.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import { gate, type Gate } from '../../src/testing/gate.ts';
import { eventually } from '../support/eventually.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';
import { ofKind } from '../support/run-turn.ts';

const noDelay = (): Promise<void> => Promise.resolve();

interface DemoSession {
  readonly holdfast: Holdfast;
  readonly session: SessionHandle;
  /** Sends a text; resolves when its turn has ended or waits. */
  readonly say: (text: string) => Promise<{ readonly turn: TurnHandle; readonly result: TurnResult; readonly actionId: string }>;
  readonly journal: () => Promise<string>;
}

async function demoSession({ documentGate }: { readonly documentGate?: Gate } = {}): Promise<DemoSession> {
  const store = await temporaryDatabase();
  const journal = path.join(path.dirname(store), 'journal');
  const delay = documentGate === undefined ? noDelay : async (_ms: number, signal: AbortSignal): Promise<void> => {
    await documentGate.pass();
    signal.throwIfAborted();
  };
  const holdfast = await openHoldfast({ agents: [demoAgent({ model: ruleModel({ delay: noDelay }), delay, journal })], store: `sqlite:${store}` });
  const session = await holdfast.sessions.create({ agent: 'demo' });
  return {
    holdfast, session,
    say: async (text) => {
      const turn = await session.send(text);
      const result = await turn.result;
      return { turn, result, actionId: result.actions[0]?.id ?? '' };
    },
    journal: () => readFile(journal, 'utf8').catch(() => ''),
  };
}

describe('refund AMOUNT', () => {
  it('waits for approval, pays once, and says so', async () => {
    const { session, say, journal } = await demoSession();
    const { turn, result, actionId } = await say('refund 50');
    expect(result).toMatchObject({ status: 'requires_action', actions: [{ type: 'approval', toolName: 'refund', input: { amount: 50 } }] });
    expect(await journal()).toBe('');
    await session.approve(actionId);
    expect(await turn.result).toMatchObject({ status: 'ended', text: 'I refunded 50.' });
    expect(await journal()).toMatch(/^refund ses_\w+\/\d+\/0\n$/);
  });

  it('does not pay when denied, and says why', async () => {
    const { session, say, journal } = await demoSession();
    const { turn, actionId } = await say('refund 50');
    await session.deny(actionId, 'too much');
    expect(await turn.result).toMatchObject({ text: 'The refund of 50 was denied: too much' });
    expect(await journal()).toBe('');
  });

  it('pays what its approver made of it, and says so', async () => {
    const { session, say } = await demoSession();
    const { turn, actionId } = await say('refund 50');
    await session.approve(actionId, { input: { amount: 20 } });
    expect(await turn.result).toMatchObject({ text: 'I refunded 20 in place of 50, as you changed it.' });
  });

  it('is stopped while it waits, and is over', async () => {
    const { session, say, journal } = await demoSession();
    const { actionId } = await say('refund 50');
    await session.stop();
    await expect(session.approve(actionId)).rejects.toMatchObject({ code: 'action_withdrawn' });
    expect((await say('hello')).result.text).toBe('You said: hello');
    expect(await journal()).toBe('');
  });
});

describe('weather in CITY and refund AMOUNT', () => {
  it('makes both calls in one step and speaks of both', async () => {
    const { session, say } = await demoSession();
    const { turn, result, actionId } = await say('weather in Oslo and refund 50');
    expect(result.actions.map(({ toolName }) => toolName)).toEqual(['refund']);
    await session.approve(actionId);
    expect((await turn.result).text).toMatch(/^The weather in Oslo: .+ °C\. I refunded 50\.$/);
    expect(ofKind(await session.entries(), 'tool-results').map(({ results }) => results.map(({ toolName }) => toolName))).toEqual([['weather', 'refund']]);
  });
});

describe('locate me', () => {
  it('asks the client, and says where it is', async () => {
    const { session, say } = await demoSession();
    const { turn, result, actionId } = await say('locate me');
    expect(result.actions).toMatchObject([{ type: 'client-tool', toolName: 'location', input: {} }]);
    await session.respond(actionId, { type: 'result', output: { place: 'Lisbon' } });
    expect(await turn.result).toMatchObject({ text: 'You are at Lisbon.' });
  });

  it('says that the client declined, and that it could not', async () => {
    const { session, say } = await demoSession();
    const declined = await say('locate me');
    await session.deny(declined.actionId);
    expect((await declined.turn.result).text).toBe('The question where you are was denied. It did not run.');
    const failed = await say('locate me');
    await session.respond(failed.actionId, { type: 'error', errorText: 'no signal' });
    expect((await failed.turn.result).text).toBe('The question where you are failed: no signal');
  });
});

describe('ask me QUESTION', () => {
  it('asks, with answers to choose from, and says what was answered', async () => {
    const { session, say } = await demoSession();
    const { turn, result, actionId } = await say('ask me Tea or coffee? tea / coffee');
    expect(result.actions).toMatchObject([{ type: 'question', input: { question: 'Tea or coffee?', options: ['tea', 'coffee'] } }]);
    await expect(session.respond(actionId, { type: 'answer', value: 7 })).rejects.toMatchObject({ code: 'invalid_request' });
    await session.respond(actionId, { type: 'answer', value: 'tea' });
    expect(await turn.result).toMatchObject({ text: 'You answered: tea' });
  });
});

describe('index N', () => {
  it('waits for its operation, which says how far it is', async () => {
    const documentGate = gate();
    const { session, journal } = await demoSession({ documentGate });
    const turn = await session.send('index 10');
    await documentGate.reached;
    const progress = await eventually('its progress', async () => (await session.operations()).items[0]?.progress);
    expect(progress).toMatchObject({ fraction: 0, text: 'document 1 of 10' });
    expect((await session.get()).status).toBe('waiting');
    documentGate.open();
    expect(await turn.result).toMatchObject({ status: 'ended', text: 'I indexed 10 documents.' });
    expect(await journal()).toMatch(/^index_documents ses_\w+\/\d+\/0\n$/);
  });

  it('is cancelled, and says so', async () => {
    const documentGate = gate();
    const { holdfast, session } = await demoSession({ documentGate });
    const turn = await session.send('index 10');
    await documentGate.reached;
    await holdfast.operations.cancel((await session.operations()).items[0]?.id ?? '');
    expect((await turn.result).text).toBe('The indexing of 10 documents was cancelled while it ran. Part of it may be done.');
    documentGate.open();
  });

  it('takes from 1 to 10,000 documents', async () => {
    const { say } = await demoSession();
    for (const number of ['0', '10001']) expect((await say(`index ${number}`)).result.text).toBe('I can index any number of documents from 1 to 10,000.');
  });
});

describe('index N in the background', () => {
  it('is answered at once, and its end opens a turn of its own', async () => {
    const documentGate = gate();
    const { session, say } = await demoSession({ documentGate });
    expect((await say('index 3 in the background')).result).toMatchObject({ status: 'ended', text: 'The indexing of 3 documents has begun in the background. I will say when it is done.' });
    expect((await say('hello')).result.text).toBe('You said: hello');
    documentGate.open();
    const opened = await eventually('the turn of its end', async () => ofKind(await session.entries(), 'turn-started').at(-1));
    expect(await session.turn(opened).result).toMatchObject({ status: 'ended', text: 'The indexing in the background is done: 3 documents.' });
  });

  it('ends in the running turn, which says so', async () => {
    const documentGate = gate();
    const { session, say } = await demoSession({ documentGate });
    await say('index 3 in the background');
    const { turn, actionId } = await say('refund 50');
    documentGate.open();
    await eventually('its end', async () => ofKind(await session.entries(), 'operation-ended')[0]);
    await session.approve(actionId);
    expect((await turn.result).text).toBe('The indexing in the background is done: 3 documents. I refunded 50.');
  });
});

describe('a steered message', () => {
  it('joins the running turn and is answered in it', async () => {
    const { session, say } = await demoSession();
    const { turn, actionId } = await say('refund 50');
    await session.steer('and hurry');
    await session.approve(actionId);
    expect((await turn.result).text).toBe('You said: and hurry');
    expect(ofKind(await session.entries(), 'user-message').map(({ turnId, steered }) => [turnId, steered])).toEqual([[turn.id, undefined], [turn.id, true]]);
  });
});
