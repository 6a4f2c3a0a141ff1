import { agentSaying, answering, calling, slowTool, type Saying } from './failing-agent.ts';
import type { FailpointScenario } from './scenario.ts';
import type { Stage } from './stage.ts';

/** Long enough that whatever is sent meanwhile comes in time, also where it has to be sent again. */
const longMs = 4_000;

/** Says something, and then takes long. */
const talking: Saying = (said) => [{ text: 'so ' }, { delayMs: 300 }, { text: 'it ' }, { delayMs: 300 }, { text: 'goes ' }, { delayMs: said === 'one' ? longMs : 0 }, { text: `on with ${said}` }];

/** To the first message it calls a tool that takes long, and is done with the others at once. */
const busyAtFirst: Saying = (said, step) => (said === 'one' && step === 0 ? [{ call: 'slow', input: {} }] : `the answer to ${said}`);

const slow = { tools: (surroundings: Parameters<typeof slowTool>[0]) => ({ slow: slowTool(surroundings, longMs, { recovery: 'rerun-keyed' }) }) };

const brokenUntilMs = Date.UTC(2026, 0, 1, 12) + 2_500;

function said(stage: Stage, id: string): readonly string[] {
  return stage.entries(id, 'user-message').flatMap(({ parts }) => parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])));
}

async function begun(stage: Stage): Promise<string> {
  const id = await stage.create();
  await stage.send(id, 'one');
  await stage.began('slow');
  return id;
}

const moves: readonly FailpointScenario[] = (['interrupt', 'replace'] as const).map((whenBusy) => ({
  name: whenBusy, fact: `a message that is to ${whenBusy} ends the turn that runs, and is answered next`,
  agents: () => agentSaying(busyAtFirst, slow),
  play: async (stage) => {
    const id = await begun(stage);
    await stage.send(id, 'two', { whenBusy });
    await stage.turnsEnded(id, 2);
    stage.equals(stage.reasons(id), ['stopped', 'complete'], 'turns end');
    stage.outcomeIs(id, 'slow', ['stopped']);
    stage.equals(stage.lastText(id), 'the answer to two', 'the answer');
    stage.equals(stage.entries(id, 'branch-discarded').length, whenBusy === 'replace' ? 1 : 0, 'branches');
  },
}));

/** Messages, their order, and their end. */
export const turnScenarios: readonly FailpointScenario[] = [
  {
    name: 'start', fact: 'a process starts, wherever its start fails, and answers', fromStart: true,
    agents: () => agentSaying(answering),
    play: async (stage) => {
      const id = await stage.create();
      await stage.send(id, 'one');
      await stage.turnsEnded(id, 1);
      stage.equals(stage.reasons(id), ['complete'], 'turns end');
    },
  },
  {
    name: 'plain-turn', fact: 'a message is answered once', processes: 2,
    agents: () => agentSaying(answering),
    play: async (stage) => {
      const id = await stage.create();
      await stage.send(id, 'one');
      await stage.turnsEnded(id, 1);
      stage.equals(stage.reasons(id), ['complete'], 'turns end');
      stage.equals(stage.lastText(id), 'the answer to one', 'the answer');
      stage.equals(said(stage, id), ['one'], 'messages');
    },
  },
  {
    name: 'streamed-turn', fact: 'an answer that was stored in pieces is whole in its step, also where its first try was lost', processes: 2,
    agents: () => agentSaying(() => [{ text: 'so ' }, { delayMs: 150 }, { text: 'it ' }, { delayMs: 150 }, { text: 'is ' }, { delayMs: 150 }, { text: 'said' }]),
    play: async (stage) => {
      const id = await stage.create();
      await stage.send(id, 'one');
      await stage.turnsEnded(id, 1);
      stage.equals(stage.lastText(id), 'so it is said', 'the answer');
      stage.equals(stage.entries(id, 'assistant-step').length, 1, 'steps');
    },
  },
  {
    name: 'provider-retry', fact: 'a provider that fails is asked again until it answers, and each try is recorded',
    agents: () => (surroundings) => agentSaying((text) => (surroundings.system.clock.nowMs() < brokenUntilMs ? [{ error: Object.assign(new Error('overloaded'), { statusCode: 529, isRetryable: true }) }] : `the answer to ${text}`))(surroundings),
    play: async (stage) => {
      const id = await stage.create();
      await stage.send(id, 'one');
      await stage.turnsEnded(id, 1);
      stage.equals(stage.lastText(id), 'the answer to one', 'the answer');
      const tried = stage.entries(id, 'attempt-failed').length + stage.entries(id, 'attempt-lost').length;
      stage.holds(tried > 0, 'no failed try is recorded');
    },
  },
  {
    name: 'step-limit', fact: 'a turn that reaches its last step ends there',
    agents: () => agentSaying(() => [{ call: 'quick', input: {} }], { limits: { maxSteps: 2 }, tools: (surroundings) => ({ quick: slowTool(surroundings, 10, { recovery: 'rerun' }) }) }),
    play: async (stage) => {
      const id = await stage.create();
      await stage.send(id, 'one');
      await stage.turnsEnded(id, 1);
      stage.equals(stage.reasons(id), ['max_steps'], 'turns end');
      stage.equals(stage.entries(id, 'assistant-step').length, 2, 'steps');
      stage.equals(stage.results(id).map(({ outcome }) => outcome), ['done', 'done'], 'results');
    },
  },
  {
    name: 'stop-in-generation', fact: 'a stop ends the generation, keeps what was shown, and nothing comes after it',
    agents: () => agentSaying(talking),
    play: async (stage) => {
      const id = await stage.create();
      await stage.send(id, 'one');
      await stage.until('it is tried', () => stage.session(id).turn?.attempt !== null);
      await stage.sleep(500);
      await stage.post(`/v1/sessions/${id}/stop`, {});
      stage.equals(stage.reasons(id), ['stopped'], 'at the answer to the stop, turns have ended');
      await stage.sleep(longMs);
      stage.equals(stage.reasons(id), ['stopped'], 'turns end');
      stage.holds(!stage.lastText(id).includes('on with'), 'what came after the stop is in the log');
    },
  },
  {
    name: 'stop-in-tool', fact: 'a stop ends the call that runs, and its result changes nothing later',
    agents: () => agentSaying(busyAtFirst, slow),
    play: async (stage) => {
      const id = await begun(stage);
      await stage.post(`/v1/sessions/${id}/stop`, {});
      stage.equals(stage.reasons(id), ['stopped'], 'at the answer to the stop, turns have ended');
      stage.outcomeIs(id, 'slow', ['stopped']);
      await stage.sleep(longMs);
      stage.equals(stage.entries(id, 'assistant-step').length, 1, 'steps');
    },
  },
  {
    name: 'steer', fact: 'a message that steers joins the turn that runs, once',
    agents: () => agentSaying(busyAtFirst, slow),
    play: async (stage) => {
      const id = await begun(stage);
      await stage.send(id, 'two', { whenBusy: 'steer' });
      await stage.turnsEnded(id, 1);
      stage.equals(stage.entries(id, 'user-message').map(({ steered = false }) => steered), [false, true], 'messages that steered');
      stage.outcomeIs(id, 'slow', ['done']);
      stage.equals(stage.lastText(id), 'the answer to two', 'the answer');
    },
  },
  {
    name: 'queue-of-three', fact: 'messages that wait are answered in their order, each once', processes: 2,
    agents: () => agentSaying(busyAtFirst, slow),
    play: async (stage) => {
      const id = await begun(stage);
      for (const text of ['two', 'three', 'four']) await stage.send(id, text);
      await stage.turnsEnded(id, 4);
      stage.equals(said(stage, id), ['one', 'two', 'three', 'four'], 'messages');
      stage.equals(stage.reasons(id), Array(4).fill('complete'), 'turns end');
    },
  },
  {
    name: 'queue-changed', fact: 'a queue is held, edited, promoted, shortened and released, each once',
    agents: () => agentSaying(busyAtFirst, slow),
    play: async (stage) => {
      const id = await begun(stage);
      for (const text of ['two', 'three', 'four']) await stage.send(id, text, { messageId: `queued-${text}` });
      await stage.post(`/v1/sessions/${id}/queue/hold`, {});
      await stage.request('PATCH', `/v1/sessions/${id}/queue/queued-two`, { text: 'two again' });
      await stage.post(`/v1/sessions/${id}/queue/queued-four/promote`, {});
      await stage.request('DELETE', `/v1/sessions/${id}/queue/queued-three`);
      await stage.turnsEnded(id, 1);
      await stage.post(`/v1/sessions/${id}/queue/release`, {});
      await stage.turnsEnded(id, 3);
      stage.equals(said(stage, id), ['one', 'four', 'two again'], 'messages');
    },
  },
  ...moves,
  {
    name: 'end', fact: 'an ended session takes nothing any more',
    agents: () => agentSaying(answering),
    play: async (stage) => {
      const id = await stage.create();
      await stage.send(id, 'one');
      await stage.turnsEnded(id, 1);
      await stage.post(`/v1/sessions/${id}/end`, {});
      await stage.post(`/v1/sessions/${id}/end`, {});
      stage.equals((await stage.ask('POST', `/v1/sessions/${id}/messages`, { text: 'two' })).status, 409, 'a message afterwards');
      stage.equals(stage.entries(id, 'session-ended').length, 1, 'ends');
    },
  },
  {
    name: 'end-and-stop', fact: 'a session that is ended in its turn is stopped in the same commit',
    agents: () => agentSaying(busyAtFirst, slow),
    play: async (stage) => {
      const id = await begun(stage);
      await stage.post(`/v1/sessions/${id}/end`, { stop: true });
      stage.equals(stage.reasons(id), ['stopped'], 'turns end');
      await stage.status(id, 'ended');
    },
  },
  {
    name: 'create-with-message', fact: 'a session with an external id and a message is made once, and answers once', processes: 2,
    agents: () => agentSaying(calling('quick'), { tools: (surroundings) => ({ quick: slowTool(surroundings, 10, { recovery: 'rerun' }) }) }),
    play: async (stage) => {
      const body = { externalId: 'chat-1', message: { text: 'one', messageId: 'first' } };
      const id = await stage.create(body);
      const again = await stage.create(body, { keyed: false });
      stage.equals(again, id, 'the session with the external id');
      await stage.turnsEnded(id, 1);
      stage.equals(said(stage, id), ['one'], 'messages');
      stage.equals(stage.world.sessions.length, 1, 'sessions');
    },
  },
];
