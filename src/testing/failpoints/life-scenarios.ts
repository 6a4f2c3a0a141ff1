import { agentSaying, answering, calling, slowTool, type Saying } from './failing-agent.ts';
import type { FailpointScenario } from './scenario.ts';
import type { Stage } from './stage.ts';

async function answered(stage: Stage): Promise<string> {
  const id = await stage.create();
  await stage.send(id, 'one');
  await stage.turnsEnded(id, 1);
  return id;
}

const conversation = JSON.stringify({ id: 'old-1', messages: [{ role: 'user', content: 'hello' }, { role: 'assistant', content: 'hello to you' }] });

const labelled: Saying = (said, _step, prompt) => (prompt[0]?.role === 'system' && said.startsWith('{') ? (String(prompt[0].content).includes('title') ? 'A title' : 'What came of it') : `the answer to ${said}`);

/** What a process that died or failed left unmade is taken over after 30 s, by a look every 10 s; one that it may still make, after its time for it. */
const labelledWithinMs = 90_000;

/** The life of a session from its beginning to its end. */
export const lifeScenarios: readonly FailpointScenario[] = [
  {
    name: 'node-to-end', fact: 'a transition to an end node is taken once, and ends the session with its turn', processes: 2,
    agents: () => agentSaying(calling('go_to_over'), { firstNode: 'desk', nodes: { desk: { transitions: ['over'], greeting: 'welcome' }, over: { end: true } } }),
    play: async (stage) => {
      const id = await stage.create();
      await stage.send(id, 'one');
      await stage.status(id, 'ended');
      stage.equals(stage.entries(id, 'node-entered').map(({ node }) => node), ['desk', 'over'], 'nodes that were entered');
      stage.equals(stage.entries(id, 'session-ended').map(({ reason }) => reason), ['node'], 'ends');
    },
  },
  {
    name: 'node-by-api', fact: 'a node is entered by request, once',
    agents: () => agentSaying(answering, { firstNode: 'desk', nodes: { desk: { transitions: ['money'] }, money: { greeting: 'about money then' } } }),
    play: async (stage) => {
      const id = await answered(stage);
      await stage.post(`/v1/sessions/${id}/node`, { node: 'money' });
      await stage.until('it is greeted', () => stage.lastText(id) === 'about money then');
      stage.equals(stage.entries(id, 'node-entered').filter(({ node }) => node === 'money').length, 1, 'entries of the node');
    },
  },
  {
    name: 'title-and-summary', fact: 'a session gets one title and its turn one summary', processes: 2,
    agents: () => agentSaying(labelled, { titles: {}, summaries: {} }),
    play: async (stage) => {
      const id = await answered(stage);
      await stage.until('there are labels', () => stage.session(id).title !== null && stage.session(id).summary !== null && stage.session(id).labelling === null, labelledWithinMs);
      stage.equals(stage.session(id).title, 'A title', 'the title');
      stage.equals(stage.session(id).summary?.text ?? null, 'What came of it', 'the summary');
      stage.equals([stage.entries(id, 'title-set').length, stage.entries(id, 'summary-set').length], [1, 1], 'labels that were set');
    },
  },
  {
    name: 'settings', fact: 'a title, metadata and the archive are set once each',
    agents: () => agentSaying(answering),
    play: async (stage) => {
      const id = await answered(stage);
      await stage.request('PATCH', `/v1/sessions/${id}`, { title: 'mine', metadata: { color: 'blue' } });
      await stage.request('PATCH', `/v1/sessions/${id}`, { archived: true });
      const { title, metadata, archived } = stage.session(id);
      stage.equals([title, metadata, archived], ['mine', { color: 'blue' }, true], 'the settings');
      stage.equals([stage.entries(id, 'title-set').length, stage.entries(id, 'metadata-set').length, stage.entries(id, 'archived-set').length], [1, 1, 1], 'settings that were set');
    },
  },
  {
    name: 'delete', fact: 'a deleted session is gone with everything of it, and its deletion is answered the same again',
    agents: () => agentSaying(calling('slow'), { tools: (surroundings) => ({ slow: slowTool(surroundings, 4_000, { recovery: 'rerun' }) }) }),
    play: async (stage) => {
      const id = await stage.create();
      await stage.request('PUT', `/v1/sessions/${id}/state/conversation/color`, { value: 'blue' });
      await stage.send(id, 'one');
      await stage.began('slow');
      await stage.request('DELETE', `/v1/sessions/${id}`);
      stage.equals((await stage.ask('GET', `/v1/sessions/${id}`)).status, 404, 'the session afterwards');
      await stage.sleep(6_000);
      stage.holds(stage.world.observer.session({ id }) === null, 'it is there again');
    },
  },
  {
    name: 'transfer', fact: 'a session that was given away belongs to the other owner, once',
    agents: () => agentSaying(answering),
    play: async (stage) => {
      const id = await answered(stage);
      await stage.post(`/v1/sessions/${id}/transfer`, { owner: 'bob' }, { roles: ['system'] });
      stage.equals((await stage.ask('GET', `/v1/sessions/${id}`)).status, 404, 'the session for its first owner');
      stage.equals((await stage.ask('GET', `/v1/sessions/${id}`, undefined, { owner: 'bob' })).status, 200, 'the session for the other');
      stage.equals(stage.entries(id, 'owner-changed').length, 1, 'changes of the owner');
    },
  },
  {
    name: 'import', fact: 'a conversation is imported once, and goes on',
    agents: () => agentSaying(answering),
    play: async (stage) => {
      const importing = (): Promise<string> => stage.byHand(async (holdfast) => {
        for await (const outcome of holdfast.import([conversation], { owner: 'ada' })) return JSON.stringify(outcome);
        return 'nothing';
      });
      await importing();
      const outcome = await importing();
      stage.equals(stage.world.sessions.length, 1, `sessions after ${outcome}`);
      const [session] = stage.world.sessions;
      const id = session?.id ?? '';
      await stage.send(id, 'two');
      await stage.until('it is answered', () => stage.lastText(id) === 'the answer to two');
      stage.equals(stage.entries(id, 'user-message').length, 2, 'messages');
    },
  },
  {
    name: 'export-and-import', fact: 'a session that is exported whole is imported once under new ids',
    agents: () => agentSaying(answering),
    play: async (stage) => {
      const id = await answered(stage);
      const lines = await stage.byHand(async (holdfast) => {
        const found: string[] = [];
        for await (const line of holdfast.export(id)) found.push(line);
        return found;
      });
      await stage.request('DELETE', `/v1/sessions/${id}`);
      await stage.byHand(async (holdfast) => {
        for await (const { status } of holdfast.import(lines)) if (status === 'bad') throw new RangeError('the lines are bad');
      });
      stage.equals(stage.world.sessions.map((session) => session.id), [id], 'sessions');
      stage.equals(stage.lastText(id), 'the answer to one', 'the answer');
    },
  },
];
