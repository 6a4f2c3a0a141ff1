import { describe, expect, it } from 'vitest';
import { demoAgent } from '../../src/demo/demo-agent.ts';
import { deskAgent } from '../../src/demo/desk-agent.ts';
import { ruleModel } from '../../src/demo/rule-model.ts';
import { openHoldfast } from '../support/open-holdfast.ts';

const noDelay = (): Promise<void> => Promise.resolve();

async function open() {
  const model = ruleModel({ delay: noDelay });
  const holdfast = await openHoldfast({ agents: [deskAgent({ model }), demoAgent({ model, delay: noDelay })] });
  const begin = async (agent: string) => {
    const session = await holdfast.sessions.create({ agent });
    const say = async (text: string): Promise<readonly [said: string, node: string | null]> => [(await (await session.send(text)).result).text, (await session.get()).node];
    return { session, say };
  };
  return { begin };
}

describe('the agent desk', () => {
  it('goes to the desk that has the tools for what it is asked, and back, and ends with a goodbye', async () => {
    const { session, say } = await (await open()).begin('desk');
    expect((await session.messages()).items.map(({ parts }) => parts.at(-1))).toMatchObject([{ text: 'Welcome. There is a desk for the weather and one for things to remember.' }]);
    expect(await say('hello')).toEqual(['You said: hello', 'door']);
    expect(await say('weather in Lisbon')).toEqual([expect.stringMatching(/^The weather in Lisbon: /) as string, 'weather']);
    expect(await say('remember colour = blue')).toEqual(['I will remember that colour is blue.', 'memory']);
    expect(await say('recall colour')).toEqual(['colour is blue.', 'memory']);
    expect(await say('go to door')).toEqual(['This is door.', 'door']);
    expect(await say('go to nowhere')).toEqual(['No way leads to nowhere from here.', 'door']);
    expect(await say('bye')).toEqual(['Goodbye.', 'goodbye']);
    expect((await session.get()).status).toBe('ended');
  });

  it('welcomes at each desk that is entered from outside', async () => {
    const { session } = await (await open()).begin('desk');
    expect((await (await session.enterNode('weather')).turn?.result)?.text).toBe('This is the weather desk. Which city?');
    expect((await session.enterNode('goodbye')).status).toBe('ended');
  });

  it('knows ways that the agent demo does not: there the words mean nothing', async () => {
    const { say } = await (await open()).begin('demo');
    expect([await say('go to memory'), await say('bye')]).toEqual([['You said: go to memory', null], ['You said: bye', null]]);
  });
});
