import { createHoldfast } from '../../../src/create-holdfast.ts';
import { walkingAgent } from './walking-agent.ts';

/** A process that works until it is killed. Its argument is JSON: the store's URL and the lease. */
const { url, leaseMs } = JSON.parse(process.argv[2] ?? '{}') as { readonly url: string; readonly leaseMs: number };
await createHoldfast({ agents: [walkingAgent()], store: url, worker: { leaseMs, pollMs: 50 } });
process.on('disconnect', () => process.exit(0));
process.send?.({ event: 'ready' });
