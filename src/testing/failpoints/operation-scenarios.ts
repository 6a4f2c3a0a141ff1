import type { ToolOptions } from '../../agent/tool.ts';
import type { Operation } from '../../core/operation.ts';
import { agentSaying, slowTool, type Parts, type Policy, type Saying } from './failing-agent.ts';
import type { FailpointScenario } from './scenario.ts';
import type { Stage } from './stage.ts';

const longMs = 4_000;

/** Calls the tool for the message, and says how it is to whatever comes then. */
const once: Saying = (_said, _step, prompt) => (prompt.some(({ role }) => role === 'tool') ? 'so it is' : [{ call: 'index', input: {} }]);

function indexing(ms: number, policy: Policy, effect?: (options: ToolOptions) => unknown): Parts {
  return { tools: (surroundings) => ({ index: slowTool(surroundings, ms, policy, effect) }) };
}

async function started(stage: Stage): Promise<string> {
  const id = await stage.create();
  await stage.send(id, 'one');
  return id;
}

function operation(stage: Stage, id: string): Operation | undefined {
  const found = stage.world.operationsOf(stage.session(id));
  stage.equals(found.length, 1, 'operations');
  return found[0];
}

function endedAs(stage: Stage, id: string, statuses: readonly Operation['status'][]): void {
  const found = operation(stage, id);
  stage.holds(found !== undefined && statuses.includes(found.status), `the operation is ${JSON.stringify(found)}, and not ${statuses.join(' or ')}`);
}

/** The result has been given to the model: in so many turns, or where something was late in one more or less. */
async function givenToTheModel(stage: Stage, id: string, turns: number): Promise<void> {
  await stage.until('the model has the result, and is done', () => stage.entries(id, 'operation-result').length > 0 && stage.session(id).turn === null);
  stage.equals(stage.entries(id, 'operation-result').map(({ result }) => result.output), ['indexed'], 'results given to the model');
  const reasons = stage.reasons(id);
  stage.holds(reasons.every((reason) => reason === 'complete') && (reasons.length === turns || (reasons.length <= 2 && stage.failpoint !== null)), `turns end ${reasons.join(', ')}`);
}

/** Work that goes on beside its turn. */
export const operationScenarios: readonly FailpointScenario[] = [
  {
    name: 'operation-awaited', fact: 'an operation that its turn waits for goes on when its process dies, and its result is its call\'s', processes: 2,
    agents: () => agentSaying(once, indexing(1_000, { background: 'await', recovery: 'rerun-keyed' }, ({ progress }) => {
      progress(0.9, 'almost');
      return 'indexed';
    })),
    play: async (stage) => {
      const id = await started(stage);
      await stage.turnsEnded(id, 1);
      stage.equals(stage.result(id, 'index')?.output ?? null, 'indexed', 'the result');
      endedAs(stage, id, ['succeeded']);
      stage.equals(new Set(stage.runs.map(({ callKey }) => callKey)).size, 1, 'keys');
    },
  },
  {
    name: 'operation-reported', fact: 'an operation that reports is begun once, and unknown when its process died',
    agents: () => agentSaying(once, indexing(1_000, { background: 'await', recovery: 'report' })),
    play: async (stage) => {
      const id = await started(stage);
      await stage.turnsEnded(id, 1);
      stage.holds(stage.runs.length <= 1, `it ran ${stage.runs.length} times`);
      stage.outcomeIs(id, 'index', stage.reported);
    },
  },
  {
    name: 'operation-detached', fact: 'the result of a detached operation opens one turn, or is given in the one that still runs, once', processes: 2,
    agents: () => agentSaying(once, indexing(2_000, { background: 'detach', recovery: 'rerun-keyed' }, () => 'indexed')),
    play: async (stage) => {
      const id = await started(stage);
      await givenToTheModel(stage, id, 2);
      endedAs(stage, id, ['succeeded']);
    },
  },
  {
    name: 'operation-detached-in-turn', fact: 'the result of a detached operation that ends in its turn is given to the model there, once',
    agents: () => agentSaying((_said, _step, prompt) => ([[{ call: 'index', input: {} }], [{ call: 'wait', input: {} }]][prompt.filter(({ role }) => role === 'tool').length] ?? 'so it is'), {
      tools: (surroundings) => ({ index: slowTool(surroundings, 100, { background: 'detach', recovery: 'rerun-keyed' }, () => 'indexed'), wait: slowTool(surroundings, longMs, { recovery: 'rerun' }) }),
    }),
    play: async (stage) => {
      const id = await started(stage);
      await givenToTheModel(stage, id, 1);
    },
  },
  {
    name: 'operation-completed-outside', fact: 'who completes an operation from outside does so once, whichever process gave the token', processes: 2,
    agents: () => (surroundings) => agentSaying(once, indexing(50, { background: 'await', recovery: 'rerun-keyed' }, async ({ externalCompletion }) => {
      // Where the store fails just then, it asks again.
      const { operationId, token } = await externalCompletion().catch(() => externalCompletion());
      surroundings.completable({ operationId, token });
    }))(surroundings),
    play: async (stage) => {
      const id = await started(stage);
      await stage.until('somebody outside may complete it', () => stage.world.completions.length > 0 && stage.world.operationsOf(stage.session(id)).some(({ external }) => external));
      const completion = stage.world.completions.at(-1);
      for (let times = 0; times < 2; times += 1) {
        const reply = await stage.post(`/v1/operations/${completion?.operationId}/complete`, { output: 'outside', token: completion?.token ?? '' }, { keyed: false });
        stage.equals(reply['status'] ?? null, 'succeeded', 'the reply');
      }
      await stage.turnsEnded(id, 1);
      stage.equals(stage.result(id, 'index')?.output ?? null, 'outside', 'the result');
    },
  },
  {
    name: 'operation-cancelled', fact: 'a cancelled operation is over with the answer, and what it does later does not count',
    agents: () => agentSaying(once, indexing(longMs, { background: 'await', recovery: 'rerun-keyed' })),
    play: async (stage) => {
      const id = await started(stage);
      await stage.began('index');
      const found = operation(stage, id);
      await stage.post(`/v1/operations/${found?.id}/cancel`, {}, { keyed: false });
      endedAs(stage, id, ['cancelled']);
      await stage.turnsEnded(id, 1);
      stage.equals(stage.results(id).length, 1, 'results');
      await stage.sleep(longMs);
      endedAs(stage, id, ['cancelled']);
    },
  },
  {
    name: 'operation-stopped', fact: 'a stop cancels the operation that the turn waits for',
    agents: () => agentSaying(once, indexing(longMs, { background: 'await', recovery: 'rerun-keyed' })),
    play: async (stage) => {
      const id = await started(stage);
      await stage.began('index');
      await stage.post(`/v1/sessions/${id}/stop`, {});
      stage.equals(stage.reasons(id), ['stopped'], 'turns end');
      endedAs(stage, id, ['cancelled']);
      stage.outcomeIs(id, 'index', ['stopped']);
    },
  },
];
