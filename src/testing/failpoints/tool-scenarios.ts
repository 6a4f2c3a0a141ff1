import type { ToolOptions } from '../../agent/tool.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';
import { openActions } from '../../core/session.ts';
import type { AgentsOf } from '../simulation/observed-agents.ts';
import { agentSaying, calling, slowTool, type Policy } from './failing-agent.ts';
import type { FailpointScenario } from './scenario.ts';
import type { Stage } from './stage.ts';

function oneTool(policy: Policy, ms = 200): AgentsOf {
  return agentSaying(calling('work'), { tools: (surroundings) => ({ work: slowTool(surroundings, ms, policy) }) });
}

async function asked(stage: Stage): Promise<string> {
  const id = await stage.create();
  await stage.send(id, 'one');
  return id;
}

/** Whether a person is asked, known once one is or the turn has ended. */
async function asksBeforeItIsOver(stage: Stage, id: string): Promise<boolean> {
  const isOver = (): boolean => stage.entries(id, 'turn-ended').length > 0;
  await stage.until('it is over, or a person is asked', () => isOver() || openActions(stage.session(id).turn).length > 0);
  return !isOver();
}

async function answered(stage: Stage): Promise<string> {
  const id = await asked(stage);
  await stage.turnsEnded(id, 1);
  stage.equals(stage.reasons(id), ['complete'], 'turns end');
  return id;
}

const large = 'x'.repeat(5_000);

/** Tools, and what becomes of their calls when their process dies. */
export const toolScenarios: readonly FailpointScenario[] = [
  {
    name: 'tool-rerun', fact: 'a call that may run again is run until it is done',
    agents: () => oneTool({ recovery: 'rerun' }),
    play: async (stage) => {
      const id = await answered(stage);
      stage.outcomeIs(id, 'work', ['done']);
      stage.holds(stage.runs.length === 1 || (stage.runs.length === 2 && stage.failpoint !== null), `it ran ${stage.runs.length} times`);
    },
  },
  {
    name: 'tool-rerun-keyed', fact: 'a call that runs again has the same key', processes: 2,
    agents: () => oneTool({ recovery: 'rerun-keyed' }),
    play: async (stage) => {
      const id = await answered(stage);
      stage.outcomeIs(id, 'work', ['done']);
      stage.equals(new Set(stage.runs.map(({ callKey }) => callKey)).size, 1, 'keys');
    },
  },
  {
    name: 'tool-report', fact: 'a call of a tool that reports runs at most once, and is never said to be done when nobody knows', processes: 2,
    agents: () => oneTool({ recovery: 'report' }),
    play: async (stage) => {
      const id = await answered(stage);
      stage.holds(stage.runs.length <= 1, `it ran ${stage.runs.length} times`);
      stage.outcomeIs(id, 'work', stage.reported);
      if (stage.result(id, 'work')?.outcome === 'done') stage.equals(stage.runs.length, 1, 'runs of what is done');
    },
  },
  {
    name: 'tool-ask', fact: 'a call that may have run is run again only when a person says so',
    agents: () => oneTool({ recovery: 'ask' }),
    play: async (stage) => {
      const id = await asked(stage);
      const isAsked = await asksBeforeItIsOver(stage, id);
      stage.holds(stage.runs.length <= 1, `it ran ${stage.runs.length} times with nobody asked`);
      if (isAsked) {
        stage.equals((await stage.action(id)).type, 'recovery', 'what is asked');
        await stage.answer(id, { type: 'approve' });
      }
      await stage.turnsEnded(id, 1);
      stage.outcomeIs(id, 'work', ['done']);
      stage.holds(!isAsked || stage.failpoint !== null, 'somebody was asked, and nothing had failed');
    },
  },
  {
    name: 'tool-ask-denied', fact: 'a call that may have run ends as unknown when a person leaves it so',
    agents: () => oneTool({ recovery: 'ask' }),
    play: async (stage) => {
      const id = await asked(stage);
      const isAsked = await asksBeforeItIsOver(stage, id);
      if (isAsked) await stage.answer(id, { type: 'deny', reason: 'better not' });
      await stage.turnsEnded(id, 1);
      stage.holds(stage.runs.length <= 1, `it ran ${stage.runs.length} times`);
      stage.outcomeIs(id, 'work', [isAsked ? 'unknown' : 'done']);
    },
  },
  {
    name: 'tool-probe', fact: 'a call whose tool finds out whether it ran has its effect exactly once',
    agents: (outside) => agentSaying(calling('work'), {
      tools: (surroundings) => ({
        work: slowTool(surroundings, 200, { recovery: (_input, { callKey }: ToolOptions) => (outside.includes(callKey) ? { ran: true, output: 'done before' } : { ran: false }) }, ({ callKey }) => {
          if (surroundings.lives()) outside.push(callKey);
          return 'done';
        }),
      }),
    }),
    play: async (stage) => {
      const id = await answered(stage);
      stage.outcomeIs(id, 'work', ['done']);
      stage.equals(stage.outside.length, 1, 'effects outside');
    },
  },
  {
    name: 'parallel-tools', fact: 'an outcome that was stored early is not run again when the other call is', processes: 2,
    agents: () => agentSaying(calling('quick', 'slow'), {
      tools: (surroundings) => ({ quick: slowTool(surroundings, 10, { recovery: 'report' }), slow: slowTool(surroundings, 1_000, { recovery: 'rerun' }) }),
    }),
    play: async (stage) => {
      const id = await answered(stage);
      stage.equals(stage.results(id).map(({ toolName }) => toolName), ['quick', 'slow'], 'results');
      stage.holds(stage.runsOf('quick').length <= 1, `quick ran ${stage.runsOf('quick').length} times`);
      stage.outcomeIs(id, 'quick', stage.reported);
      stage.outcomeIs(id, 'slow', ['done']);
    },
  },
  {
    name: 'large-result', fact: 'a result that is cut can be read whole',
    agents: () => agentSaying(calling('work'), { tools: (surroundings) => ({ work: slowTool(surroundings, 10, { recovery: 'rerun', maxResultBytes: 1_000 }, () => large) }) }),
    play: async (stage) => {
      const id = await answered(stage);
      stage.outcomeIs(id, 'work', ['done']);
      const [step] = stage.entries(id, 'assistant-step');
      const { items } = await stage.request('GET', `/v1/sessions/${id}/effects`);
      stage.holds(Array.isArray(items), 'effects are listed');
      const answer = await stage.ask('GET', `/v1/sessions/${id}/calls/${step?.seq}-0/result`);
      // Where the whole cannot be stored, the turn goes on without.
      const mayBeGone = stage.failpoint?.way.startsWith('error') === true;
      stage.holds((answer.status === 200 && answer.body === large) || (mayBeGone && answer.status === 404), `the whole result is ${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`);
    },
  },
  {
    name: 'state-by-tool', fact: 'what a tool counts up is counted once, however often it ran',
    agents: () => agentSaying(calling('count'), {
      tools: (surroundings) => ({ count: slowTool(surroundings, 50, { recovery: 'rerun' }, async ({ state }) => {
        await state.set('conversation', 'color', 'blue');
        return state.increment('agent', 'count');
      }) }),
    }),
    play: async (stage) => {
      const id = await answered(stage);
      // A tool that cannot read state throws, as ours does not look after it; then none of what it wrote lands.
      stage.outcomeIs(id, 'count', stage.failpoint === null ? ['done'] : ['done', 'failed']);
      const isDone = stage.result(id, 'count')?.outcome === 'done';
      const stored = async (key: string): Promise<JsonValue> => {
        const { status, body } = await stage.ask('GET', `/v1/sessions/${id}/state/${key}`, undefined, { roles: ['system'] });
        return status === 200 ? ((body as JsonObject)['value'] ?? null) : null;
      };
      stage.equals([await stored('agent/count'), await stored('conversation/color')], isDone ? [1, 'blue'] : [null, null], 'the state');
    },
  },
  {
    name: 'state-by-api', fact: 'what is written, counted and deleted over HTTP is so once',
    agents: () => oneTool({ recovery: 'rerun' }),
    play: async (stage) => {
      const id = await stage.create();
      const at = `/v1/sessions/${id}/state/conversation`;
      await stage.request('PUT', `${at}/color`, { value: 'blue' });
      await stage.post(`${at}/count/increment`, { by: 2 });
      await stage.post('/v1/state/agent/count/increment?agent=failing', { by: 3 }, { roles: ['system'] });
      await stage.request('PUT', `${at}/gone`, { value: 1 });
      await stage.request('DELETE', `${at}/gone`);
      stage.equals((await stage.request('GET', `${at}/color`))['value'] ?? null, 'blue', 'the color');
      stage.equals((await stage.request('GET', `${at}/count`))['value'] ?? null, 2, 'the count');
      stage.equals((await stage.request('GET', '/v1/state/agent/count?agent=failing', undefined, { roles: ['system'] }))['value'] ?? null, 3, 'the count of the agent');
      stage.equals((await stage.ask('GET', `${at}/gone`)).status, 404, 'what is deleted');
    },
  },
];
