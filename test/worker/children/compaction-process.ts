import { agent } from '../../../src/agent/agent.ts';
import { createHoldfast } from '../../../src/create-holdfast.ts';
import { scriptedModel } from '../../../src/testing/scripted-model.ts';
import { asksForSummary, promptTokens } from '../../support/checked-prompts.ts';

/** A process that works, and never gets done with a summary: it says that it has begun one. */
const { url, leaseMs, contextWindowTokens } = JSON.parse(process.argv[2] ?? '{}') as { readonly url: string; readonly leaseMs: number; readonly contextWindowTokens: number };

const model = scriptedModel([], {
  otherwise: ({ prompt }) => {
    const total = promptTokens(prompt);
    if (!asksForSummary(prompt)) return [{ text: 'yes' }, { finish: 'stop', usage: { inputTokens: { total, noCache: total, cacheRead: 0, cacheWrite: 0 }, outputTokens: { total: 1, text: 1, reasoning: 0 } } }];
    process.send?.({ event: 'summarising' });
    return [{ text: 'half a summ' }, { silent: true }];
  },
});
await createHoldfast({ agents: [agent({ name: 'tester', model, limits: { contextWindowTokens } })], store: url, worker: { leaseMs, pollMs: 100 } });
process.on('disconnect', () => process.exit(0));
process.send?.({ event: 'ready' });
