import { agent } from '../../../src/agent/agent.ts';
import { createHoldfast } from '../../../src/create-holdfast.ts';
import { scriptedModel } from '../../../src/testing/scripted-model.ts';
import { agentAnswer, personaSays } from '../../support/simulation.ts';

/** A process that simulates a user, and hangs where it is told to: while the persona, or the agent, says its `hangsAt`th thing. */
const { url, sessionId, hangs, hangsAt } = JSON.parse(process.argv[2] ?? '{}') as { readonly url: string; readonly sessionId: string; readonly hangs: 'persona' | 'agent'; readonly hangsAt: number };
const hanging = (who: typeof hangs, number: number): boolean => {
  if (who !== hangs || number !== hangsAt) return false;
  process.send?.({ event: 'hangs' });
  return true;
};
const model = scriptedModel([], { otherwise: ({ number, prompt }) => (hanging('agent', number) ? [{ silent: true }] : agentAnswer(prompt)) });
const persona = scriptedModel([], { otherwise: ({ number, prompt }) => (hanging('persona', number) ? [{ silent: true }] : personaSays(prompt, 3)) });
const holdfast = await createHoldfast({ agents: [agent({ name: 'one', model })], store: url, worker: { leaseMs: 1_000, pollMs: 50 } });
process.on('disconnect', () => process.exit(0));
await holdfast.simulate({ sessionId, persona: 'curious', model: persona });
