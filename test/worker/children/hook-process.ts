import { agent } from '../../../src/agent/agent.ts';
import { createHoldfast } from '../../../src/create-holdfast.ts';
import { scriptedModel } from '../../../src/testing/scripted-model.ts';

/** A process that does one turn and never gets through its hook: what it says is all that leaves it. */
const { path } = JSON.parse(process.argv[2] ?? '{}') as { readonly path: string };
const holdfast = await createHoldfast({
  agents: [agent({ name: 'one', model: scriptedModel(['hello']) })],
  store: `sqlite:${path}`,
  hooks: { onTurnEnd: ({ sessionId, entry }) => { process.send?.({ event: 'hook', sessionId, seq: entry.seq }); return new Promise(() => undefined); } },
});
process.on('disconnect', () => process.exit(0));
await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
