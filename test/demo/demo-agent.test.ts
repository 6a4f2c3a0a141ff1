import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/core/entry.ts';
import { demoAgent } from '../../src/demo/demo-agent.ts';
import { modelFromEnvironment } from '../../src/demo/model-from-environment.ts';
import { ruleModel } from '../../src/demo/rule-model.ts';
import { openHoldfast, temporaryDatabase } from '../support/open-holdfast.ts';

const noDelay = (): Promise<void> => Promise.resolve();

interface Turns {
  readonly say: (text: string) => Promise<readonly Entry[]>;
  readonly sleptMs: readonly number[];
  readonly journal: string;
}

async function turns(): Promise<Turns> {
  const store = await temporaryDatabase();
  const journal = path.join(path.dirname(store), 'journal');
  const sleptMs: number[] = [];
  const delay = (ms: number): Promise<void> => {
    sleptMs.push(ms);
    return Promise.resolve();
  };
  const holdfast = await openHoldfast({ agents: [demoAgent({ model: ruleModel({ delay: noDelay }), delay, journal })], store: `sqlite:${store}` });
  const say = async (text: string): Promise<readonly Entry[]> => {
    const session = await holdfast.sessions.create({ agent: 'demo' });
    await (await session.send(text)).result;
    return session.entries();
  };
  return { say, sleptMs, journal };
}

function outputs(entries: readonly Entry[]): readonly unknown[] {
  return entries.flatMap((entry) => (entry.kind === 'tool-results' ? entry.results.map(({ output }) => output) : []));
}

describe('the demo agent', () => {
  it('has the same weather for a city every time, however it is written', async () => {
    const { say } = await turns();
    const [first, second, other] = [outputs(await say('weather in Oslo')), outputs(await say('weather in  oslo ')), outputs(await say('weather in Lima'))];
    expect(first).toEqual([{ sky: expect.any(String) as string, celsius: expect.any(Number) as number }]);
    expect(second).toEqual(first);
    expect(other).not.toEqual(first);
  });

  it('writes each real run of a sleep into the journal, with the key of its call', async () => {
    const { say, journal, sleptMs } = await turns();
    const keys = [await say('sleep 5'), await say('sleep 6 once')].map((entries) => entries.find((entry) => entry.kind === 'assistant-step')?.seq);
    expect((await readFile(journal, 'utf8')).split('\n')).toEqual([
      expect.stringMatching(new RegExp(`^sleep ses_\\w+/${keys[0]}/0$`)), expect.stringMatching(new RegExp(`^sleep_once ses_\\w+/${keys[1]}/0$`)), '',
    ]);
    expect(sleptMs).toEqual([5, 6]);
  });

  it('remembers in the conversation what it is told, and recalls it until that is rewound', async () => {
    const holdfast = await openHoldfast({ agents: [demoAgent({ model: ruleModel({ delay: noDelay }), delay: noDelay })] });
    const session = await holdfast.sessions.create({ agent: 'demo' });
    const say = async (text: string) => (await session.send(text)).result;
    expect((await say('recall colour')).text).toBe('I remember nothing of colour.');
    const first = await say('remember colour = deep = blue');
    expect(first.text).toBe('I will remember that colour is deep = blue.');
    expect((await say('recall colour')).text).toBe('colour is deep = blue.');
    expect((await session.state.get('conversation', 'colour'))?.value).toBe('deep = blue');
    await session.rewind(null);
    expect((await say('recall colour')).text).toBe('I remember nothing of colour.');
  });

  it('sleeps ten minutes at most, and says how long', async () => {
    const { say, sleptMs } = await turns();
    expect(outputs(await say('sleep 999999999'))).toEqual([{ sleptMs: 600_000 }]);
    expect(sleptMs).toEqual([600_000]);
  });

  it('declares what becomes of a call whose process dies', () => {
    const { tools } = demoAgent({ model: ruleModel({ delay: noDelay }), delay: noDelay }).rules;
    expect([...tools].map(([name, { recovery }]) => [name, recovery])).toEqual([
      ['weather', 'rerun'], ['refund', 'report'], ['location', 'report'], ['ask_user', 'report'], ['index_documents', 'rerun'], ['remember', 'rerun'], ['recall', 'rerun'], ['sleep', 'rerun'], ['sleep_once', 'report'],
    ]);
  });
});

describe('the model from the environment', () => {
  it('is the offline one by default', async () => {
    for (const environment of [{}, { HOLDFAST_MODEL: '' }]) expect((await modelFromEnvironment(environment)).modelId).toBe('demo-rules');
  });

  it.each([
    ['openai/gpt-5.1', 'openai.responses', 'gpt-5.1'],
    ['anthropic/claude-x', 'anthropic.messages', 'claude-x'],
    ['openai-compatible/org/some-model', 'openai-compatible.chat', 'org/some-model'],
  ])('is the one that %s names', async (HOLDFAST_MODEL, provider, modelId) => {
    const model = await modelFromEnvironment({ HOLDFAST_MODEL, HOLDFAST_BASE_URL: 'http://127.0.0.1:9/v1', HOLDFAST_API_KEY: 'k' });
    expect({ provider: model.provider, modelId: model.modelId, version: model.specificationVersion }).toEqual({ provider, modelId, version: 'v4' });
  });

  it.each(['gpt-5.1', 'openai/', 'openai/ ', '/x', 'toString/x', 'google/x', '/'])('is refused with the forms there are: %j', async (HOLDFAST_MODEL) => {
    await expect(modelFromEnvironment({ HOLDFAST_MODEL })).rejects.toMatchObject({ code: 'model_invalid', message: expect.stringContaining('openai/NAME, anthropic/NAME or openai-compatible/NAME') as string });
  });

  it('needs an address for a compatible server', async () => {
    await expect(modelFromEnvironment({ HOLDFAST_MODEL: 'openai-compatible/x' })).rejects.toMatchObject({ code: 'model_base_url_missing', message: expect.stringContaining('HOLDFAST_BASE_URL') as string });
  });
});
