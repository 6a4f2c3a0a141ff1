import { question } from '../../agent/tool.ts';
import type { AgentsOf } from '../simulation/observed-agents.ts';
import { agentSaying, calling, clientTool, slowTool, type Policy } from './failing-agent.ts';
import type { FailpointScenario } from './scenario.ts';
import type { Stage } from './stage.ts';

function approved(policy: Policy = {}): AgentsOf {
  return agentSaying(calling('work'), { tools: (surroundings) => ({ work: slowTool(surroundings, 100, { needsApproval: true, recovery: 'report', ...policy }) }) });
}

async function paused(stage: Stage): Promise<string> {
  const id = await stage.create();
  await stage.send(id, 'one');
  await stage.status(id, 'requires_action');
  stage.equals(stage.runs.length, 0, 'runs before anybody answered');
  return id;
}

async function ended(stage: Stage, id: string): Promise<void> {
  await stage.turnsEnded(id, 1);
  stage.equals(stage.reasons(id), ['complete'], 'turns end');
  stage.equals(stage.entries(id, 'action-resolved').filter(({ index }) => index === 0).length, 1, 'resolutions of the action');
}

/** What waits for somebody. */
export const pauseScenarios: readonly FailpointScenario[] = [
  {
    name: 'approval-approved', fact: 'a call that was approved runs at most once, and not before', processes: 2,
    agents: () => approved(),
    play: async (stage) => {
      const id = await paused(stage);
      await stage.answer(id, { type: 'approve' });
      await ended(stage, id);
      stage.holds(stage.runs.length <= 1, `it ran ${stage.runs.length} times`);
      stage.outcomeIs(id, 'work', stage.reported);
    },
  },
  {
    name: 'approval-denied', fact: 'a call that was denied never runs',
    agents: () => approved(),
    play: async (stage) => {
      const id = await paused(stage);
      await stage.answer(id, { type: 'deny', reason: 'no' });
      await ended(stage, id);
      stage.outcomeIs(id, 'work', ['denied']);
      stage.equals(stage.runs.length, 0, 'runs');
    },
  },
  {
    name: 'approval-expired', fact: 'a call that nobody decides on in time expires and never runs',
    agents: () => approved({ actionExpiresAfterMs: 5_000 }),
    play: async (stage) => {
      const id = await paused(stage);
      await ended(stage, id);
      stage.outcomeIs(id, 'work', ['expired']);
      stage.equals(stage.runs.length, 0, 'runs');
    },
  },
  {
    name: 'approval-changed', fact: 'a call that was approved with another input runs with that, and once',
    agents: () => approved({ recovery: 'rerun' }),
    play: async (stage) => {
      const id = await paused(stage);
      await stage.answer(id, { type: 'approve', input: { amount: 5 } });
      await ended(stage, id);
      stage.outcomeIs(id, 'work', ['done']);
      stage.holds(stage.runs.every(({ input }) => JSON.stringify(input) === '{"amount":5}'), `it ran with ${JSON.stringify(stage.runs.map(({ input }) => input))}`);
    },
  },
  {
    name: 'client-tool', fact: 'the result that a client gives is the result of its call, once', processes: 2,
    agents: () => agentSaying(calling('locate'), { tools: () => ({ locate: clientTool }) }),
    play: async (stage) => {
      const id = await paused(stage);
      await stage.answer(id, { type: 'result', output: { city: 'Ulm' } });
      await ended(stage, id);
      stage.equals(stage.result(id, 'locate')?.output ?? null, { city: 'Ulm' }, 'the result');
    },
  },
  {
    name: 'question', fact: 'an answer of a person is the result of the question, once',
    agents: () => agentSaying((_said, step) => (step === 0 ? [{ call: 'ask', input: { question: 'which?' } }] : 'so it is'), { tools: () => ({ ask: question() }) }),
    play: async (stage) => {
      const id = await paused(stage);
      await stage.answer(id, { type: 'answer', value: 'this' });
      await ended(stage, id);
      stage.equals(stage.result(id, 'ask')?.output ?? null, 'this', 'the answer');
    },
  },
  {
    name: 'two-decisions', fact: 'calls of one step are decided one by one, each once, while another runs',
    agents: () => agentSaying(calling('one', 'two', 'quick'), {
      tools: (surroundings) => ({
        one: slowTool(surroundings, 50, { needsApproval: true, recovery: 'rerun-keyed' }), two: slowTool(surroundings, 50, { needsApproval: true, recovery: 'report' }), quick: slowTool(surroundings, 400, { recovery: 'rerun' }),
      }),
    }),
    play: async (stage) => {
      const id = await stage.create();
      await stage.send(id, 'one');
      const action = await stage.action(id);
      await stage.answer(id, { type: 'approve' });
      await stage.until('the other one waits', () => stage.session(id).turn?.actions.some((each) => each.id !== action.id && each.resolved === undefined) === true);
      await stage.answer(id, { type: 'deny' });
      await stage.turnsEnded(id, 1);
      stage.outcomeIs(id, 'one', ['done']);
      stage.outcomeIs(id, 'two', ['denied']);
      stage.outcomeIs(id, 'quick', ['done']);
      stage.equals(stage.runsOf('two').length, 0, 'runs of what was denied');
    },
  },
  {
    name: 'stopped-while-paused', fact: 'a stop withdraws what waits, and the answer that comes later changes nothing',
    agents: () => approved(),
    play: async (stage) => {
      const id = await paused(stage);
      const action = await stage.action(id);
      await stage.post(`/v1/sessions/${id}/stop`, {});
      stage.equals(stage.reasons(id), ['stopped'], 'turns end');
      stage.equals((await stage.ask('POST', `/v1/sessions/${id}/actions/${action.id}`, { type: 'approve' })).status, 409, 'the answer afterwards');
      stage.outcomeIs(id, 'work', ['stopped']);
      stage.equals(stage.runs.length, 0, 'runs');
    },
  },
];
