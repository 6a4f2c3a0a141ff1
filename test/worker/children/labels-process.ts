import { agent } from '../../../src/agent/agent.ts';
import { createHoldfast } from '../../../src/create-holdfast.ts';
import { scriptedModel } from '../../../src/testing/scripted-model.ts';

/** A process that answers, and whose titles never come: its model says that it was asked, and nothing more. */
const { url } = JSON.parse(process.argv[2] ?? '{}') as { readonly url: string };
const titling = scriptedModel([], { otherwise: () => { process.send?.({ event: 'titling' }); return [{ silent: true }]; } });
const holdfast = await createHoldfast({ agents: [agent({ name: 'one', model: scriptedModel([], { otherwise: 'hello' }), titles: { model: titling } })], store: url });
process.on('disconnect', () => process.exit(0));
const session = await holdfast.sessions.create({ agent: 'one', message: { text: 'go' } });
await session.firstTurn?.result;
process.send?.({ event: 'answered', sessionId: session.id });
